#include "eval/report.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "eval/catalogue.hpp"
#include "eval/testing/scored.hpp"

namespace millrace::eval {
namespace {

using namespace testing;

TEST(Report, HoldsEveryMetricSlicesAndCalibration) {
  const Scored rows = binary_rows(600, 1.5);
  const auto report = report_of(rows);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->all.rows, 600u);
  EXPECT_EQ(report->all.class_rows.size(), 2u);
  EXPECT_EQ(report->all.class_rows[0] + report->all.class_rows[1], 600u);
  EXPECT_EQ(report->all.metrics.size(), metrics_of(TaskType::binary).size());
  EXPECT_TRUE(report->all.intervals.contains("auc"));
  EXPECT_EQ(report->rows_digest, digest_of_rows(rows));
  const Slice* slice = find_slice(*report, "country", "PT");
  ASSERT_NE(slice, nullptr);
  EXPECT_EQ(slice->measures.rows, 200u);
  double in_bins = 0;
  for (const auto& bin : report->calibration) in_bins += bin.rows;
  EXPECT_EQ(in_bins, 600);
}

TEST(Report, NumbersAreCutAtQuartiles) {
  const auto report = report_of(binary_rows(600, 1.5));
  ASSERT_TRUE(report);
  std::size_t slices = 0, rows = 0;
  for (const Slice& slice : report->slices) {
    if (slice.column != "age") continue;
    ++slices;
    rows += slice.measures.rows;
  }
  EXPECT_EQ(slices, 4u);
  EXPECT_EQ(rows, 600u);
}

TEST(Report, FewNumbersAreCategoriesAndMissingIsOne) {
  Scored rows = binary_rows(90, 1);
  rows.slices = {{.name = "rooms"}};
  for (std::size_t r = 0; r < 90; ++r) rows.slices[0].numbers.push_back(r % 3 == 0 ? std::nan("") : double(r % 3));
  const auto report = report_of(rows);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->slices.size(), 3u);
  EXPECT_NE(find_slice(*report, "rooms", "2"), nullptr);
  EXPECT_NE(find_slice(*report, "rooms", missing_value), nullptr);
}

TEST(Report, ManyValuesAreCutAndCounted) {
  Scored rows = binary_rows(100, 1);
  rows.slices = {{.name = "name"}};
  for (std::size_t r = 0; r < 100; ++r) rows.slices[0].texts.emplace_back("n" + std::to_string(r % 50));
  const auto report = report_of(rows);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->slices.size(), 20u);
  ASSERT_EQ(report->cut.size(), 1u);
  EXPECT_EQ(report->cut[0].values_left_out, 30u);
  EXPECT_EQ(report->cut[0].rows_left_out, 60u);
}

TEST(Report, UndefinedMetricsAreAbsentWithAReason) {
  Scored rows = binary_rows(40, 1);
  rows.y.assign(40, 1);
  const auto report = report_of(rows);
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->all.metrics.contains("auc"));
  EXPECT_TRUE(report->all.metrics.contains("log_loss"));
  EXPECT_EQ(report->all.undefined, "only one class (Yes) in 40 rows");
  Scored none{.task = TaskType::regression};
  const auto empty = report_of(none);
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->all.undefined, "no rows");
}

TEST(Report, JsonRoundTrip) {
  for (const Scored& rows : {binary_rows(60, 1.5), multiclass_rows(60, 0.7), regression_rows(60, 0.3)}) {
    auto report = report_of(rows);
    ASSERT_TRUE(report) << report.error().message;
    report->model = "churn:1";
    report->latency = latency_of({3, 1, 2});
    report->model_bytes = 12345;
    const std::string text = render_report(*report);
    const auto again = parse_report(text);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(render_report(*again), text);
    EXPECT_EQ(again->all.metrics, report->all.metrics);
  }
  EXPECT_EQ(parse_report(R"({"format":99})").error().reason, "eval.newer_format");
}

TEST(Report, LatencyIsNearestRank) {
  std::vector<double> calls;
  for (int i = 100; i >= 1; --i) calls.push_back(i);
  const auto latency = latency_of(calls);
  ASSERT_TRUE(latency);
  EXPECT_EQ(latency->p50_ms, 50);
  EXPECT_EQ(latency->p95_ms, 95);
  EXPECT_EQ(latency->p99_ms, 99);
  EXPECT_EQ(latency_of({7})->p99_ms, 7);
  EXPECT_FALSE(latency_of({}));
}

TEST(Report, BadScoresNameTheRow) {
  struct Case {
    const char* what;
    void (*spoil)(Scored&);
  };
  const Case cases[] = {
      {"probability", [](Scored& s) { s.scores[3] = 1.5; }},
      {"nan", [](Scored& s) { s.scores[3] = std::nan(""); }},
      {"class", [](Scored& s) { s.y[3] = 0.5; }},
      {"length", [](Scored& s) { s.scores.pop_back(); }},
      {"weights", [](Scored& s) { s.weights = {1, 2}; }},
      {"digests", [](Scored& s) { s.rows.pop_back(); }},
      {"slices", [](Scored& s) { s.slices[0].texts.pop_back(); }},
  };
  for (const Case& c : cases) {
    Scored rows = binary_rows(10, 1);
    c.spoil(rows);
    const auto report = report_of(rows);
    ASSERT_FALSE(report) << c.what;
    EXPECT_EQ(report.error().reason, "eval.bad_scores") << c.what;
  }
}

}  // namespace
}  // namespace millrace::eval
