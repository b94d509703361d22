#include "base/ids.hpp"

#include <gtest/gtest.h>

#include <set>

#include "base/rng.hpp"

namespace millrace {
namespace {

// A clock that a test sets, back as well as forth.
struct HandClock final : Clock {
  TimePoint time{std::chrono::milliseconds(1'700'000'000'000)};
  TimePoint now() override { return time; }
  SteadyPoint steady() override { return {}; }
};

TEST(Ids, AreUuidVersion7) {
  HandClock clock;
  SeededRng rng(1);
  IdMaker ids(clock, rng);
  for (int i = 0; i < 100; ++i) {
    const Id id = ids.make();
    EXPECT_EQ(id.bytes[6] >> 4, 7);
    EXPECT_EQ(id.bytes[8] >> 6, 2);
    EXPECT_EQ(id.time(), clock.time);
    EXPECT_EQ(id.hex().size(), 32u);
  }
}

TEST(Ids, IncreaseWhateverTheClockDoes) {
  HandClock clock;
  SeededRng rng(2);
  IdMaker ids(clock, rng);
  std::string last_text;
  Id last;
  for (int i = 0; i < 20'000; ++i) {
    if (i % 7'000 == 0) clock.time -= std::chrono::hours(1);
    if (i % 3'000 == 0) clock.time += std::chrono::milliseconds(2);
    const Id id = ids.make();
    ASSERT_GT(id, last);
    ASSERT_GT(id.text(), last_text) << "text order is id order";
    last = id;
    last_text = id.text();
  }
}

TEST(Ids, GoThroughText) {
  SeededRng rng(3);
  for (int i = 0; i < 1'000; ++i) {
    Id id;
    for (auto& byte : id.bytes) byte = static_cast<std::uint8_t>(rng.next());
    const auto text = id.text();
    ASSERT_EQ(text.size(), 26u);
    EXPECT_EQ(*Id::parse(text), id);
    std::string lower;
    for (const char c : text) lower += static_cast<char>(std::tolower(c));
    EXPECT_EQ(*Id::parse(lower), id);
  }
  Id ones;
  ones.bytes.fill(0xff);
  EXPECT_EQ(ones.text(), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
  EXPECT_EQ(Id{}.text(), std::string(26, '0'));
  EXPECT_EQ(*Id::parse("0000000000000000000000000i"), *Id::parse("0000000000000000000000000L"));
}

TEST(Ids, RefuseOtherText) {
  for (const auto* text : {"", "0", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "0000000000000000000000000U",
                           "000000000000000000000000000", "00000000000000000000000 00"}) {
    const auto got = Id::parse(text);
    ASSERT_FALSE(got) << text;
    EXPECT_EQ(got.error().reason, "base.bad_id");
  }
}

}  // namespace
}  // namespace millrace
