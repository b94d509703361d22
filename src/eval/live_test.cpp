#include "eval/live.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "eval/catalogue.hpp"
#include "eval/testing/scored.hpp"

namespace millrace::eval {
namespace {

using namespace testing;

std::vector<LivePrediction> from(const Scored& rows, const std::string& version) {
  std::vector<LivePrediction> out;
  for (std::size_t r = 0; r < rows.size(); ++r) out.push_back({version, {rows.scores[r]}, rows.y[r], false});
  return out;
}

TEST(Live, EqualsTheMetricOverTheLabelledRows) {
  const Scored rows = binary_rows(300, 1.5);
  auto predictions = from(rows, "m:1");
  for (int i = 0; i < 50; ++i) predictions.push_back({"m:1", {0.9}, std::nullopt, true});
  for (int i = 0; i < 50; ++i) predictions.push_back({"m:1", {0.9}, std::nullopt, false});
  const auto live = live_quality(predictions, {.classes = {"No", "Yes"}});
  ASSERT_TRUE(live);
  ASSERT_EQ(live->size(), 1u);
  const LiveQuality& q = live->front();
  EXPECT_EQ(q.metric, "auc");
  EXPECT_EQ(q.predictions, 400u);
  EXPECT_EQ(q.labelled, 300u);
  EXPECT_EQ(q.waiting, 50u);
  EXPECT_DOUBLE_EQ(q.waiting_share, 0.125);
  ASSERT_TRUE(q.value && q.interval);
  EXPECT_NEAR(*q.value, measure(rows, *find_metric(TaskType::binary, "auc")), 1e-12);
  EXPECT_LT(q.interval->low, *q.value);
}

TEST(Live, OrderDoesNotMatterToTheLastBit) {
  auto predictions = from(binary_rows(200, 1.5), "m:1");
  for (auto& p : from(binary_rows(200, 1, 3), "m:2")) predictions.push_back(p);
  const LiveTask task{.classes = {"No", "Yes"}, .metric = "log_loss", .bootstrap = {.resamples = 50}};
  const auto first = live_quality(predictions, task);
  std::reverse(predictions.begin(), predictions.end());
  const auto again = live_quality(predictions, task);
  ASSERT_TRUE(first && again);
  ASSERT_EQ(first->size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(*(*first)[i].value, *(*again)[i].value);
    EXPECT_EQ((*first)[i].interval->low, (*again)[i].interval->low);
  }
}

TEST(Live, NothingLabelledYetSaysSo) {
  const auto live = live_quality({{"m:1", {0.3}, std::nullopt, true}}, {.classes = {"No", "Yes"}});
  ASSERT_TRUE(live);
  EXPECT_FALSE(live->front().value);
  EXPECT_EQ(live->front().why_undefined, "no rows");
  EXPECT_EQ(live_quality({}, {})->size(), 0u);
  EXPECT_EQ(live_quality({}, {.metric = "rmse"}).error().reason, "eval.unknown_metric");
}

}  // namespace
}  // namespace millrace::eval
