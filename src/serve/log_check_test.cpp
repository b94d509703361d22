#include "serve/log_check.hpp"

#include <gtest/gtest.h>

#include <format>
#include <vector>

#include "base/rng.hpp"
#include "base/testing/env.hpp"
#include "serve/prediction_log.hpp"

namespace millrace::serve {
namespace {

const LogSchema schema{"churn", 3, {{"a", table::Type::float64}, {"c", table::Type::text}}, {"no", "yes"}};
constexpr int count = 10;

std::string a_segment(TestEnv& t) {
  PredictionLog::Config config;
  config.dir = t.path("log");
  config.segment_bytes = 16384;
  auto log = *PredictionLog::open(config, t.env);
  auto handle = log->schema(schema);
  IdMaker ids(t.clock, t.rng);
  const float scores[] = {0.5f};
  for (int i = 0; i < count; ++i)
    EXPECT_TRUE(log->append(handle, ids.make(), t.clock.now(), "", scores, 1, table::Row{0.25, std::string("red")}));
  return t.path("log/000000000001.mpl");
}

SegmentCheck check(TestEnv& t, const std::string& path, std::uint64_t number = 1) {
  return *check_segment(t.env.fs, path, number);
}

std::uint64_t lines(TestEnv& t, const std::string& path) {
  auto stats = read_prediction_segment(t.env.fs, path, [](const auto&, auto&&) -> Result<void> { return {}; });
  EXPECT_TRUE(stats) << stats.error().message;
  EXPECT_EQ(stats->damaged, 0u);
  return stats->lines;
}

void write(TestEnv& t, const std::string& path, const std::string& bytes) {
  ASSERT_TRUE(write_file(t.env.fs, path, bytes));
}

TEST(LogCheck, AWholeSegmentAndOneWithoutALine) {
  TestEnv t;
  const auto path = a_segment(t);
  const auto found = check(t, path);
  EXPECT_TRUE(found.whole());
  EXPECT_EQ(found.lines, 10u);
  EXPECT_EQ(found.lines_lost_max(), 0u);
  write(t, path, "");
  EXPECT_TRUE(check(t, path).unmade);
  write(t, path, std::string(16384, '\0'));
  EXPECT_TRUE(check(t, path).unmade);
}

TEST(LogCheck, AnUnfinishedRecordIsNoDamage) {
  TestEnv t;
  const auto path = a_segment(t);
  auto bytes = *read_file(t.env.fs, path);
  // The writer of the fifth line is in the middle of it, or was killed there: all but the magic.
  auto at = bytes.find("MRPL", 64);
  for (int i = 0; i < 5; ++i) at = bytes.find("MRPL", at + 4);
  std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), 4, '\0');
  write(t, path, bytes);
  EXPECT_TRUE(check(t, path).whole());
  EXPECT_EQ(lines(t, path), 9u);
}

TEST(LogCheck, ADamagedLineIsOnePlaceAndIsMended) {
  TestEnv t;
  const auto path = a_segment(t);
  const auto whole = *read_file(t.env.fs, path);
  const auto end = check(t, path).used;
  for (auto at = std::uint64_t{64}; at < end; at += 3) {
    auto bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x5a);
    write(t, path, bytes);
    const auto found = check(t, path);
    // Padding behind a record is nobody's. The schema's loss makes all lines unreadable.
    const auto lost = count - found.lines;
    EXPECT_LE(lost, found.lines_lost_max()) << at;
    write(t, path, *mended_segment(t.env.fs, path, 1));
    EXPECT_TRUE(check(t, path).whole()) << at;
    EXPECT_EQ(lines(t, path), found.lines) << at;
  }
}

// Damage behind other damage, inside of a record that was never finished, across an end: one mending ends with a
// segment that is whole and has every line that could be read.
TEST(LogCheck, SeveralDamagesAreMendedAtOnce) {
  TestEnv t;
  const auto path = a_segment(t);
  const auto whole = *read_file(t.env.fs, path);
  const auto used = check(t, path).used;
  std::vector<std::size_t> magics;
  for (auto at = whole.find("MRPL", 64); at != whole.npos; at = whole.find("MRPL", at + 4)) magics.push_back(at);
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    SeededRng rng(seed);
    auto bytes = whole;
    for (auto damages = 2 + rng.below(4); damages > 0; --damages) {
      const auto magic = magics[rng.below(magics.size())];
      switch (rng.below(4)) {
        case 0:  // a record that was never finished, of any length
          std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(magic), 4, '\0');
          if (rng.below(2) == 0) bytes[magic + 4 + rng.below(8)] = static_cast<char>(rng.below(256));
          break;
        case 1:
          bytes[64 + rng.below(used + 64)] = static_cast<char>(rng.below(256));
          break;
        case 2:
          std::copy_n(whole.begin() + static_cast<std::ptrdiff_t>(magic), 40,
                      bytes.begin() + static_cast<std::ptrdiff_t>(64 + rng.below(used)));
          break;
        default:
          if (rng.below(8) == 0) bytes.resize(used - rng.below(200));
      }
      if (bytes.size() < whole.size()) break;
    }
    write(t, path, bytes);
    const auto found = check(t, path);
    const auto mended = *mended_segment(t.env.fs, path, 1);
    write(t, path, mended);
    ASSERT_TRUE(check(t, path).whole()) << seed;
    ASSERT_GE(lines(t, path), found.lines) << seed;
    ASSERT_EQ(*mended_segment(t.env.fs, path, 1), mended) << seed;
  }
}

TEST(LogCheck, AHeaderIsMadeAgainWithoutLoss) {
  TestEnv t;
  const auto path = a_segment(t);
  const auto whole = *read_file(t.env.fs, path);
  for (const std::size_t at : {0, 7, 8, 11, 34, 38, 63}) {
    auto bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 0xff);
    write(t, path, bytes);
    const auto found = check(t, path);
    EXPECT_FALSE(found.whole()) << at;
    EXPECT_EQ(found.lines, 10u) << at;
    write(t, path, *mended_segment(t.env.fs, path, 1));
    EXPECT_TRUE(check(t, path).whole()) << at;
    EXPECT_EQ(lines(t, path), 10u) << at;
  }
}

TEST(LogCheck, CutOrCopied) {
  TestEnv t;
  const auto path = a_segment(t);
  const auto whole = *read_file(t.env.fs, path);
  write(t, path, whole.substr(0, 8192));
  auto found = check(t, path);
  EXPECT_TRUE(found.cut());
  EXPECT_EQ(found.lines_lost_max(), 0u) << "room is left before the cut: nothing stood behind it";
  write(t, path, *mended_segment(t.env.fs, path, 1));
  EXPECT_TRUE(check(t, path).whole());
  EXPECT_EQ(lines(t, path), 10u);
  write(t, path, whole.substr(0, found.used - 16));
  found = check(t, path);
  EXPECT_TRUE(found.cut());
  EXPECT_EQ(found.lines, 9u);
  EXPECT_GT(found.lines_lost_max(), 0u);
  write(t, path, whole.substr(0, 20));
  EXPECT_FALSE(check(t, path).whole());
  const auto copy = t.path("log/000000000002.mpl");
  write(t, copy, whole);
  EXPECT_EQ(check(t, copy, 2).copy_of, 1u);
}

// Also where the cut leaves fewer bytes of a line than a record's header has.
TEST(LogCheck, CutAnywhereIsMended) {
  TestEnv t;
  const auto path = a_segment(t);
  const auto whole = *read_file(t.env.fs, path);
  const auto end = check(t, path).used;
  for (std::size_t size = end + 8; size > end - 250; --size) {
    write(t, path, whole.substr(0, size));
    const auto found = check(t, path);
    EXPECT_TRUE(found.cut()) << size;
    write(t, path, *mended_segment(t.env.fs, path, 1));
    EXPECT_TRUE(check(t, path).whole()) << size;
    EXPECT_EQ(lines(t, path), found.lines) << size;
  }
}

TEST(LogCheck, ByteInRoomThatWasNeverUsed) {
  TestEnv t;
  const auto path = a_segment(t);
  const auto whole = *read_file(t.env.fs, path);
  for (std::size_t at : {12000, 12001, 12007, 12008, 12015, 16383 - 8, 16383 - 7, 16383}) {
    auto bytes = whole;
    bytes[at] = 1;
    write(t, path, bytes);
    EXPECT_FALSE(check(t, path).whole()) << at;
    EXPECT_EQ(check(t, path).lines_lost_max(), 0u) << at;
    EXPECT_EQ(lines(t, path), 10u) << at;
  }
}

}  // namespace
}  // namespace millrace::serve
