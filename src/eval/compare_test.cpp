#include "eval/compare.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "eval/catalogue.hpp"
#include "eval/testing/scored.hpp"

namespace millrace::eval {
namespace {

using namespace testing;

TEST(Compare, SameSeedSameIntervalOtherSeedOther) {
  const Scored rows = binary_rows(300, 1.5);
  const auto first = interval_of(rows, "auc", {.seed = 1}), again = interval_of(rows, "auc", {.seed = 1});
  const auto other = interval_of(rows, "auc", {.seed = 2});
  ASSERT_TRUE(first && again && other);
  EXPECT_EQ(first->low, again->low);
  EXPECT_EQ(first->high, again->high);
  EXPECT_NE(first->low, other->low);
}

// The mean's 95 % interval is known: +- 1.96 standard errors.
TEST(Compare, IntervalOfAccuracyIsTheBinomialOne) {
  const Scored rows = binary_rows(2000, 1.5);
  const double accuracy = measure(rows, *find_metric(TaskType::binary, "accuracy"));
  const double half = 1.96 * std::sqrt(accuracy * (1 - accuracy) / 2000);
  const auto interval = interval_of(rows, "accuracy");
  ASSERT_TRUE(interval);
  EXPECT_NEAR(interval->low, accuracy - half, half / 5);
  EXPECT_NEAR(interval->high, accuracy + half, half / 5);
}

// A draw is given to the metrics as weights, and to the ranking ones with rows sorted once: both equal really copied
// rows.
TEST(Compare, WeightsEqualCopies) {
  const Scored rows = binary_rows(120, 1);
  std::vector<std::uint32_t> copies;
  std::vector<double> counts(rows.size());
  for (std::uint32_t r = 0; r < rows.size(); ++r) {
    counts[r] = r * 7 % 4;
    copies.insert(copies.end(), static_cast<std::size_t>(counts[r]), r);
  }
  const Scored copied = take(rows, copies);
  for (const char* name : {"auc", "average_precision", "ks", "gini", "log_loss", "ece", "f1", "kappa"}) {
    const MetricInfo& metric = *find_metric(TaskType::binary, name);
    EXPECT_NEAR(metric.value(rows, counts), measure(copied, metric), 1e-12) << name;
  }
}

// Intervals of the metrics with a short way are those of the long way: the same metric, hidden behind another name.
TEST(Compare, ShortWaysGiveTheSameIntervals) {
  const Scored all[] = {binary_rows(150, 1.5), multiclass_rows(150, 0.7), regression_rows(150, 0.5)};
  for (Scored rows : all) {
    for (std::size_t r = 0; r < rows.size(); ++r) rows.weights.push_back(1 + static_cast<double>(r % 3));
    for (std::size_t r = 0; r + 1 < rows.size() && rows.task == TaskType::binary; r += 2) {
      rows.scores[r] = rows.scores[r + 1];  // ties
    }
    for (const MetricInfo& metric : metrics_of(rows.task)) {
      if (metric.form == Form::unweighted) continue;
      MetricInfo slow = metric;
      slow.name = "slow";
      slow.form = Form::weighted;
      const auto quick_one = interval_of(rows, metric, {.resamples = 40});
      const auto slow_one = interval_of(rows, slow, {.resamples = 40});
      ASSERT_EQ(quick_one.has_value(), slow_one.has_value()) << metric.name;
      if (!quick_one) continue;
      EXPECT_NEAR(quick_one->low, slow_one->low, 1e-12) << metric.name;
      EXPECT_NEAR(quick_one->high, slow_one->high, 1e-12) << metric.name;
    }
  }
}

TEST(Compare, EveryMetricOfEveryTaskHasAnInterval) {
  const Scored all[] = {binary_rows(150, 1.5), multiclass_rows(150, 0.7), regression_rows(150, 0.5)};
  for (const Scored& rows : all) {
    for (const MetricInfo& metric : metrics_of(rows.task)) {
      const double value = measure(rows, metric);
      const auto interval = interval_of(rows, metric.name, {.resamples = 50});
      EXPECT_EQ(std::isfinite(value), interval.has_value()) << metric.name;
      if (!interval) continue;
      EXPECT_LE(interval->low, interval->high) << metric.name;
    }
  }
}

TEST(Compare, PairedIsNarrowerThanApart) {
  const Scored rows = binary_rows(500, 1.5);
  Scored nearly = rows;
  for (std::size_t r = 0; r < nearly.size(); r += 10) nearly.scores[r] = 0.5;
  const auto c = compare(rows, nearly, "current", "auc");
  ASSERT_TRUE(c) << c.error().message;
  const auto alone = interval_of(rows, "auc");
  ASSERT_TRUE(c->interval && alone);
  EXPECT_LT(c->interval->high - c->interval->low, (alone->high - alone->low) / 2);
  EXPECT_EQ(c->rows, 500u);
  EXPECT_EQ(c->resamples, 1000u);
  EXPECT_EQ(c->rows_digest, digest_of_rows(rows));
}

TEST(Compare, OtherRowsAreRefused) {
  const Scored rows = binary_rows(50, 1);
  Scored other = rows;
  std::swap(other.rows[0], other.rows[1]);
  const auto c = compare(rows, other, "current", "auc");
  ASSERT_FALSE(c);
  EXPECT_EQ(c.error().reason, "eval.rows_differ");
  EXPECT_EQ(c.error().code, Code::failed_precondition);
  EXPECT_EQ(digest_of_rows(rows), digest_of_rows(other)) << "the set of rows is the same";
}

TEST(Compare, UnknownMetricNamesTheNearest) {
  const Scored rows = binary_rows(50, 1);
  const auto c = compare(rows, rows, "current", "acuracy");
  ASSERT_FALSE(c);
  EXPECT_EQ(c.error().reason, "eval.unknown_metric");
  EXPECT_NE(c.error().message.find("'accuracy'"), std::string::npos);
}

TEST(Compare, OneClassIsUndefinedWithAReason) {
  Scored rows = binary_rows(50, 1);
  rows.y.assign(50, 0);
  const auto c = compare(rows, rows, "baseline", "auc");
  ASSERT_TRUE(c);
  EXPECT_FALSE(c->difference);
  EXPECT_EQ(c->why_undefined, "only one class (No) in 50 rows");
}

TEST(Compare, ResamplesAreBoundedByRows) {
  EXPECT_EQ(resamples_for(1000, {}), 1000u);
  EXPECT_EQ(resamples_for(50'000, {}), 400u);
  EXPECT_EQ(resamples_for(10'000'000, {}), 200u);
  EXPECT_EQ(resamples_for(0, {}), 1000u);
  EXPECT_EQ(resamples_for(10, {.resamples = 5}), 5u);
}

// 95 % of the intervals should hold the true value 0 of two models that differ by chance only.
TEST(Compare, CoversZeroAsOftenAsItSays) {
  int covered = 0;
  constexpr int runs = 100;
  for (int seed = 0; seed < runs; ++seed) {
    const Scored rows = binary_rows(200, 1.5, 100 + static_cast<std::uint64_t>(seed));
    const Scored noise = shuffled_truth(rows, static_cast<std::uint64_t>(seed));
    const auto c = compare(noise, constant_answer(noise), "baseline", "auc", {.resamples = 300});
    ASSERT_TRUE(c && c->interval);
    covered += c->interval->low <= 0 && c->interval->high >= 0 ? 1 : 0;
  }
  EXPECT_GE(covered, 88);
}

}  // namespace
}  // namespace millrace::eval
