#include "serve/statistics.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "base/testing/sim_clock.hpp"
#include "serve/statistics_text.hpp"

namespace millrace::serve {
namespace {

using std::chrono::microseconds;

TEST(Measure, CountsEachPhase) {
  SimClock clock;
  VersionStatistics version;
  PhaseHistograms phases;
  Cost cost;
  EXPECT_FALSE(cost.of(1000));
  {
    const auto came = clock.steady();
    clock.advance(microseconds(40));
    Measure measure(version, phases, cost, clock, {.bytes = 936, .came = came});
    clock.advance(microseconds(5));
    measure.infers();
    clock.advance(microseconds(70));
    measure.inferred(3, clock.now());
    clock.advance(microseconds(2));
    measure.succeeded();
    clock.advance(microseconds(100));  // nobody counts what comes after
  }
  const auto counts = version.counts();
  EXPECT_EQ(1u, counts.succeeded);
  EXPECT_EQ(0u, counts.failed);
  EXPECT_EQ(3u, counts.rows);
  EXPECT_EQ((std::array<Duration, 5>{microseconds(5), microseconds(70), microseconds(2), microseconds(117),
                                     microseconds(40)}),
            counts.times.spent);
  EXPECT_EQ(clock.now() - microseconds(102), counts.last);
  const auto histogram = phases.counts();
  EXPECT_EQ(1u, histogram.buckets[0][2]);  // up to 5 us, itself among them
  EXPECT_EQ(1u, histogram.buckets[1][6]);  // up to 100 us
  EXPECT_EQ(1u, histogram.buckets[2][1]);  // up to 3 us
  EXPECT_EQ(microseconds(117), histogram.sums.spent[3]);
  EXPECT_EQ(1u, histogram.buckets[4][5]);     // up to 50 us
  EXPECT_EQ(microseconds(77), cost.of(936));  // without what it waited
}

TEST(Measure, SaysWhatWaitedTooLong) {
  SimClock clock;
  VersionStatistics version;
  PhaseHistograms phases;
  Cost cost;
  const auto came = clock.steady();
  clock.advance(std::chrono::milliseconds(20));
  const Measure measure(version, phases, cost, clock, {.came = came});
  clock.advance(std::chrono::seconds(1));  // the request itself takes as long as it takes
  EXPECT_TRUE(measure.check_in_time(std::nullopt));
  EXPECT_TRUE(measure.check_in_time(std::chrono::milliseconds(20)));
  const auto late = measure.check_in_time(std::chrono::milliseconds(19));
  ASSERT_FALSE(late);
  EXPECT_EQ("it waited 20ms for its turn, longer than its timeout of 19ms", late.error().message);
  EXPECT_TRUE(Measure(version, phases, cost, clock).check_in_time(std::chrono::microseconds(1)));
}

TEST(Cost, IsAnAverageBySizeThatForgets) {
  Cost cost;
  cost.add(936, microseconds(1000));
  EXPECT_EQ(microseconds(10'000), cost.of(9936));
  cost.add(1936, microseconds(2000));  // the same for its size
  EXPECT_EQ(microseconds(1000), cost.of(936));
  for (int i = 0; i < 60; ++i) cost.add(936, microseconds(10));
  EXPECT_LT(*cost.of(936), microseconds(13));
  EXPECT_GE(*cost.of(936), microseconds(10));
  cost.add(936, microseconds(50'000));
  EXPECT_LT(*cost.of(936), microseconds(20)) << "one that was put aside in the middle";
  for (int i = 0; i < 40; ++i) cost.add(936, microseconds(1000));
  EXPECT_GT(*cost.of(936), microseconds(900)) << "the model has become slower";
}

TEST(Measure, CountsAFailureWhereverItEnds) {
  SimClock clock;
  VersionStatistics version;
  PhaseHistograms phases;
  Cost cost;
  for (int steps = 0; steps < 3; ++steps) {
    Measure measure(version, phases, cost, clock);
    clock.advance(microseconds(10));
    if (steps > 0) measure.infers();
    if (steps > 1) measure.inferred(1, clock.now());
  }
  const auto counts = version.counts();
  EXPECT_EQ(3u, counts.failed);
  EXPECT_EQ(microseconds(30), counts.failed_time);
  EXPECT_EQ(0u, counts.succeeded + counts.rows);
  EXPECT_FALSE(counts.last);
  EXPECT_EQ(Duration(0), phases.counts().sums.spent[3]);
}

TEST(Measure, LosesNothingBetweenThreads) {
  SimClock clock;
  VersionStatistics version;
  PhaseHistograms phases;
  Cost cost;
  std::vector<std::thread> threads;
  constexpr std::uint64_t each = 5000;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (std::uint64_t k = 0; k < each; ++k) {
        Measure measure(version, phases, cost, clock);
        measure.infers();
        measure.inferred(2, clock.now());
        if (k % 5 != 0) measure.succeeded();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(4 * each / 5 * 4, version.counts().succeeded);
  EXPECT_EQ(4 * each / 5, version.counts().failed);
  EXPECT_EQ(2 * version.counts().succeeded, version.counts().rows);
  EXPECT_EQ(version.counts().succeeded, phases.counts().buckets[3][0]);
}

ModelReport report(std::string name, std::uint64_t requests) {
  ModelReport out{.name = std::move(name), .versions = {{1, {}}, {2, {}}}};
  out.versions[0].counts.succeeded = requests;
  out.versions[1].counts.rows = 10 * requests;
  out.versions[1].counts.times.spent[1] = microseconds(7);
  out.phases.buckets[3] = {1, 2};
  out.phases.buckets[3].back() = requests;
  out.phases.sums.spent[3] = microseconds(1500);
  return out;
}

bool has_line(const std::string& text, const std::string& line) {
  return text.starts_with(line + "\n") || text.contains("\n" + line + "\n");
}

TEST(StatisticsText, TritonsNamesAndOurHistogram) {
  const ModelReport models[] = {report("churn", 4)};
  const auto text = prometheus_text(models);
  EXPECT_TRUE(has_line(text, "# TYPE nv_inference_request_success counter"));
  EXPECT_TRUE(has_line(text, R"(nv_inference_request_success{model="churn",version="1"} 4)"));
  EXPECT_TRUE(has_line(text, R"(nv_inference_count{model="churn",version="2"} 40)"));
  EXPECT_TRUE(has_line(text, R"(nv_inference_compute_infer_duration_us{model="churn",version="2"} 7)"));
  EXPECT_TRUE(has_line(text, R"(nv_inference_pending_request_count{model="churn"} 0)"));
  EXPECT_TRUE(has_line(text, "# TYPE millrace_request_seconds histogram"));
  EXPECT_TRUE(has_line(text, R"(millrace_request_seconds_bucket{model="churn",phase="whole",le="1e-06"} 1)"));
  EXPECT_TRUE(has_line(text, R"(millrace_request_seconds_bucket{model="churn",phase="whole",le="3e-06"} 3)"));
  EXPECT_TRUE(has_line(text, R"(millrace_request_seconds_bucket{model="churn",phase="whole",le="1"} 3)"));
  EXPECT_TRUE(has_line(text, R"(millrace_request_seconds_bucket{model="churn",phase="whole",le="+Inf"} 7)"));
  EXPECT_TRUE(has_line(text, R"(millrace_request_seconds_sum{model="churn",phase="whole"} 0.0015)"));
  EXPECT_TRUE(has_line(text, R"(millrace_request_seconds_count{model="churn",phase="whole"} 7)"));
}

TEST(StatisticsText, ManyModelsHaveFewLabels) {
  std::vector<ModelReport> models;
  for (int i = 0; i < 10; ++i) models.push_back(report("m" + std::to_string(i), 1));
  const auto text = prometheus_text(models, 3);
  EXPECT_TRUE(has_line(text, R"(nv_inference_request_success{model="m2",version="1"} 1)"));
  EXPECT_FALSE(text.contains("\"m3\""));
  EXPECT_TRUE(has_line(text, R"(nv_inference_request_success{model="other",version=""} 7)"));
  EXPECT_TRUE(has_line(text, R"(nv_inference_count{model="other",version=""} 70)"));
  EXPECT_TRUE(has_line(text, R"(millrace_request_seconds_count{model="other",phase="whole"} 28)"));
  EXPECT_FALSE(prometheus_text(std::span(models).first(3), 3).contains("other"));
}

}  // namespace
}  // namespace millrace::serve
