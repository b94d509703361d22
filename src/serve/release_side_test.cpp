#include "serve/release_side.hpp"

#include <gtest/gtest.h>

#include <string>

#include "serve/choice.hpp"

namespace millrace::serve {
namespace {

constexpr int keys = 100'000;

std::string key_of(int n) { return "customer-" + std::to_string(n); }

// Computed elsewhere: a restart, and another process, give a key the same side.
TEST(ReleaseSide, IsTheSameEverywhere) {
  EXPECT_EQ(release_side("06F3X", "alice"), 0.4120464354877309);
  EXPECT_EQ(release_side("06F3X", "bob"), 0.17816672296597458);
  EXPECT_EQ(release_side("", ""), 0.14838301097631856);
}

TEST(ReleaseSide, FivePercentAreFivePercent) {
  for (const std::string release : {"06F3XK7JQ0V5", "06F3XK7JQ0V6", "1", ""}) {
    int candidate = 0;
    for (int n = 0; n < keys; ++n) candidate += on_candidate(release, key_of(n), 0.05);
    EXPECT_NEAR(static_cast<double>(candidate) / keys, 0.05, 0.003) << release;
  }
}

TEST(ReleaseSide, MoreWeightMovesNoKeyBack) {
  int five = 0, more = 0, all = 0, none = 0;
  for (int n = 0; n < keys; ++n) {
    const auto key = key_of(n);
    const bool before = on_candidate("r", key, 0.05), after = on_candidate("r", key, 0.25);
    five += before;
    more += after;
    ASSERT_TRUE(!before || after) << key;
    all += on_candidate("r", key, 1);
    none += on_candidate("r", key, 0);
  }
  EXPECT_GT(more, 4 * five);
  EXPECT_EQ(all, keys);
  EXPECT_EQ(none, 0);
}

// The next release asks other keys first.
TEST(ReleaseSide, ReleasesDrawAnew) {
  int both = 0;
  for (int n = 0; n < keys; ++n) both += on_candidate("r1", key_of(n), 0.05) && on_candidate("r2", key_of(n), 0.05);
  EXPECT_NEAR(both, keys * 0.05 * 0.05, 60);
}

TEST(Choice, WhatAHeaderMayName) {
  using Kind = Choice::Kind;
  EXPECT_EQ(parse_choice("")->kind, Kind::traffic);
  EXPECT_EQ(parse_choice("current")->kind, Kind::current);
  EXPECT_EQ(parse_choice("candidate")->kind, Kind::candidate);
  EXPECT_EQ(parse_choice("12")->number, 12);
  for (const char* bad : {"v2", "-1", "1.0", "99999999999999999999", "Current"})
    EXPECT_EQ(parse_choice(bad).error().reason, "serve.bad_choice") << bad;
}

}  // namespace
}  // namespace millrace::serve
