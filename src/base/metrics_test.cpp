#include "base/metrics.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace millrace {
namespace {

TEST(Metrics, TextForPrometheus) {
  Metrics metrics;
  metrics.counter({"millrace_b_total", "Things.", {{"kind", "x"}}}).add(3);
  metrics.counter({"millrace_b_total", "Things.", {{"kind", "say \"y\"\n"}}}).add();
  metrics.gauge({"millrace_a_bytes", "Room."}).set(1.5);
  auto& histogram = metrics.histogram({"millrace_c_seconds", "Time."}, {0.5, 1});
  for (const double value : {0.1, 0.5, 0.7, 9.0}) histogram.observe(value);
  EXPECT_EQ(metrics.render(),
            "# HELP millrace_a_bytes Room.\n"
            "# TYPE millrace_a_bytes gauge\n"
            "millrace_a_bytes 1.5\n"
            "# HELP millrace_b_total Things.\n"
            "# TYPE millrace_b_total counter\n"
            "millrace_b_total{kind=\"say \\\"y\\\"\\n\"} 1\n"
            "millrace_b_total{kind=\"x\"} 3\n"
            "# HELP millrace_c_seconds Time.\n"
            "# TYPE millrace_c_seconds histogram\n"
            "millrace_c_seconds_count 4\n"
            "millrace_c_seconds_sum 10.3\n"
            "millrace_c_seconds_bucket{le=\"0.5\"} 2\n"
            "millrace_c_seconds_bucket{le=\"1\"} 3\n"
            "millrace_c_seconds_bucket{le=\"+Inf\"} 4\n");
}

TEST(Metrics, TheSameNameAndLabelsAreOneSeries) {
  Metrics metrics;
  auto& a = metrics.counter({"millrace_x_total", "X.", {{"a", "1"}, {"b", "2"}}});
  auto& b = metrics.counter({"millrace_x_total", "X.", {{"b", "2"}, {"a", "1"}}});
  EXPECT_EQ(&a, &b);
  EXPECT_NE(&a, &metrics.counter({"millrace_x_total", "X.", {{"a", "2"}}}));
}

TEST(Metrics, CountsFromManyThreads) {
  Metrics metrics;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      auto& counter = metrics.counter({"millrace_x_total", "X."});
      auto& gauge = metrics.gauge({"millrace_y", "Y."});
      auto& histogram = metrics.histogram({"millrace_z_seconds", "Z."}, latency_buckets_s());
      for (int j = 0; j < 10'000; ++j) {
        counter.add();
        gauge.add(j % 2 == 0 ? 1 : -1);
        histogram.observe(0.25);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(metrics.counter({"millrace_x_total", "X."}).value(), 40'000u);
  EXPECT_EQ(metrics.gauge({"millrace_y", "Y."}).value(), 0);
  auto& histogram = metrics.histogram({"millrace_z_seconds", "Z."}, latency_buckets_s());
  EXPECT_EQ(histogram.count(), 40'000u);
  EXPECT_DOUBLE_EQ(histogram.sum(), 10'000);
}

TEST(MetricsDeathTest, DefectsAbort) {
  Metrics metrics;
  metrics.counter({"millrace_x_total", "X."});
  EXPECT_DEATH(metrics.gauge({"millrace_x_total", "X."}), "one kind");
  EXPECT_DEATH(metrics.counter({"millrace-x", "X."}), "allows");
  EXPECT_DEATH(metrics.counter({"millrace_y_total", "X.", {{"a-b", "1"}}}), "label");
}

}  // namespace
}  // namespace millrace
