#include "label/queue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace millrace::label {
namespace {

std::vector<Candidate> candidates(int number) {
  std::vector<Candidate> out(static_cast<std::size_t>(number));
  for (int i = 0; i < number; ++i) {
    auto& c = out[static_cast<std::size_t>(i)];
    c.id.bytes[14] = static_cast<std::uint8_t>(i / 256);
    c.id.bytes[15] = static_cast<std::uint8_t>(i % 256);
    c.scores = {static_cast<double>(i) / number};
  }
  return out;
}

TEST(Queue, LeastCertainFirstThenRandom) {
  const auto all = candidates(1000);
  const auto picked = pick(all, {.per_day = 100, .random_share = 0.3});
  ASSERT_EQ(picked.size(), 100u);
  for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(picked[i].random, i >= 70);
  for (std::size_t i = 0; i < 70; ++i) EXPECT_LE(picked[i].margin, 0.072) << i;
  EXPECT_DOUBLE_EQ(picked[0].margin, 0);
  std::set<std::size_t> distinct;
  double random_margin = 0;
  for (const Picked& p : picked) {
    distinct.insert(p.candidate);
    if (p.random) random_margin += p.margin / 30;
  }
  EXPECT_EQ(distinct.size(), 100u);
  EXPECT_NEAR(random_margin, 0.53, 0.15) << "drawn from all the others alike";
}

TEST(Queue, TheSameDayGivesTheSameListInAnyOrder) {
  auto all = candidates(300);
  const auto ids = [](const std::vector<Candidate>& from, const QueueRules& rules) {
    std::vector<Id> out;
    for (const Picked& p : pick(from, rules)) out.push_back(from[p.candidate].id);
    return out;
  };
  const auto first = ids(all, {.seed = 5});
  std::reverse(all.begin(), all.end());
  EXPECT_EQ(ids(all, {.seed = 5}), first);
  EXPECT_NE(ids(all, {.seed = 6}), first);
}

TEST(Queue, LabelledOnesAndThoseOfTodayCount) {
  auto all = candidates(20);
  for (std::size_t i = 0; i < 15; ++i) all[i].labelled = true;
  EXPECT_EQ(pick(all, {.per_day = 100}).size(), 5u);
  EXPECT_EQ(pick(all, {.per_day = 10, .already = 8}).size(), 2u);
  EXPECT_EQ(pick(all, {.per_day = 10, .already = 12}).size(), 0u);
  EXPECT_TRUE(pick({}, {}).empty());
}

TEST(Queue, ManyClassesByTheGapOfTheFirstTwo) {
  std::vector<Candidate> all = candidates(2);
  all[0].scores = {0.5, 0.1, 0.4};
  all[1].scores = {0.34, 0.33, 0.33};
  all[0].classes = all[1].classes = 3;
  const auto picked = pick(all, {.per_day = 1, .random_share = 0});
  ASSERT_EQ(picked.size(), 1u);
  EXPECT_EQ(picked[0].candidate, 1u);
  EXPECT_NEAR(picked[0].margin, 0.01, 1e-12);
}

TEST(Queue, RegressionsAndRandomRulesAreAllRandom) {
  auto all = candidates(50);
  for (const Picked& p : pick(all, {.per_day = 10, .pick = Pick::random})) EXPECT_TRUE(p.random);
  for (Candidate& c : all) c.classes = 0;
  for (const Picked& p : pick(all, {.per_day = 10})) EXPECT_TRUE(p.random);
}

}  // namespace
}  // namespace millrace::label
