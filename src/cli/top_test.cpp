#include "cli/top.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace millrace::cli {
namespace {

constexpr double infinite = INFINITY;

TEST(Scrape, ReadsPrometheusText) {
  const auto samples = read_samples(
      "# HELP a Things.\n# TYPE a counter\na 3\na{x=\"1\",y=\"say \\\"y\\\"\\n\\\\\"} 4.5e3 1700000000\n"
      "b_bucket{le=\"+Inf\"} +Inf\nb_nan NaN\nbroken{x=\"1\nbroken\nbroken{x=1} 2\nbroken x\n\nlast -1");
  ASSERT_EQ(samples.size(), 5u);
  EXPECT_EQ(samples[0].name, "a");
  EXPECT_EQ(samples[0].value, 3);
  EXPECT_EQ(samples[1].labels, (std::map<std::string, std::string>{{"x", "1"}, {"y", "say \"y\"\n\\"}}));
  EXPECT_EQ(samples[1].value, 4500);
  EXPECT_TRUE(std::isinf(samples[2].value));
  EXPECT_TRUE(std::isnan(samples[3].value));
  EXPECT_EQ(samples[4].name, "last");
  EXPECT_EQ(samples[4].value, -1);
}

TEST(Scrape, WhatTheServerUsed) {
  auto before = read_server_counters("process_cpu_seconds_total 10.5\nmillrace_app_processors 2\n");
  auto after = read_server_counters("process_cpu_seconds_total 13.5\nmillrace_app_processors 2\n");
  ASSERT_TRUE(before && after);
  before->at_s = 100;
  after->at_s = 102;
  const auto use = server_use(*before, *after);
  ASSERT_TRUE(use);
  EXPECT_DOUBLE_EQ(use->cores_used, 1.5);
  EXPECT_EQ(use->cores, 2);
  EXPECT_FALSE(server_use(*after, *before));                               // no time passed
  EXPECT_FALSE(server_use({102, 13.5, 0, 2}, {103, 0.1, 0, 2}));           // started anew
  EXPECT_FALSE(read_server_counters("process_cpu_seconds_total 10.5\n"));  // of how many processors?
  EXPECT_FALSE(read_server_counters("<html>"));
}

TEST(Top, QuantilesAreThoseOfPrometheus) {
  const std::vector<Bucket> buckets{{0.1, 50}, {0.2, 40}, {1, 8}, {infinite, 2}};
  EXPECT_NEAR(*bucket_quantile(buckets, 0.25), 0.05, 1e-12);
  EXPECT_NEAR(*bucket_quantile(buckets, 0.5), 0.1, 1e-12);
  EXPECT_NEAR(*bucket_quantile(buckets, 0.7), 0.15, 1e-12);
  EXPECT_NEAR(*bucket_quantile(buckets, 0.98), 1, 1e-12);
  EXPECT_EQ(*bucket_quantile(buckets, 0.99), 1);  // beyond the last bound nobody knows
  EXPECT_FALSE(bucket_quantile({}, 0.5));
  EXPECT_FALSE(bucket_quantile({{1, 0}, {infinite, 0}}, 0.5));
}

TopLook look(double at_s, int requests, bool by_model) {
  const double n = requests;
  std::string text = std::format(
      "process_cpu_seconds_total {}\nprocess_resident_memory_bytes 83100000\nprocess_open_fds "
      "34\nmillrace_app_processors 2\n"
      "millrace_net_connections 17\nmillrace_net_requests_in_flight 3\nmillrace_net_refused_full_total {}\n"
      "millrace_serve_version{{model=\"churn\"}} 3\nmillrace_serve_requests{{model=\"churn\"}} "
      "{}\nmillrace_serve_rows{{model=\"churn\"}} {}\n"
      "millrace_serve_version{{model=\"new\"}} -1\nmillrace_serve_requests{{model=\"new\"}} "
      "0\nmillrace_serve_rows{{model=\"new\"}} 0\n",
      10 + n / 1000, n / 100, n, n * 2);
  const std::string labels = "method=\"POST\",route=\"/predict/{model}\"";
  text += std::format(
      "millrace_net_requests_total{{{},status=\"2xx\"}} {}\nmillrace_net_requests_total{{{},status=\"4xx\"}} {}\n",
      labels, n * 0.9, labels, n * 0.1);
  text += std::format("millrace_net_requests_total{{method=\"GET\",route=\"/healthz\",status=\"2xx\"}} 7\n");
  for (const auto& [family, with] : std::vector<std::pair<std::string, std::string>>{
           {"millrace_net_request_seconds", labels}, {"millrace_serve_request_seconds", "model=\"churn\""}}) {
    if (family.contains("serve") && !by_model) continue;
    text += std::format(
        "{0}_bucket{{{1},le=\"0.0005\"}} {2}\n{0}_bucket{{{1},le=\"0.002\"}} {3}\n{0}_bucket{{{1},le=\"+Inf\"}} {4}\n",
        family, with, n * 0.5, n, n);
  }
  if (by_model) text += std::format("nv_inference_request_failure{{model=\"churn\",version=\"3\"}} {}\n", n * 0.1);
  TopLook out{.at_s = at_s, .samples = read_samples(text), .status = {}};
  if (by_model) {
    out.status.emplace();
    out.status->project = "churn";
    out.status->running = {"train 45 %  since 14:03:01"};
    out.status->waiting = {"retrain: 12 of 50 new labels"};
  }
  return out;
}

std::string shown(const TopLook& before, const TopLook& after, int columns) {
  auto view = top_view(before, after);
  view.url = "http://127.0.0.1:7070";
  view.time = "2026-11-22T14:03:22Z";
  return top_text(view, columns);
}

TEST(Top, WholeScreen) {
  EXPECT_EQ(shown(look(100, 1000, true), look(102, 5000, true), 0),
            "millrace   http://127.0.0.1:7070   project churn   2026-11-22T14:03:22Z\n"
            "server     cpu 2.00 of 2   memory 83.1 MB   files 34   connections 17   in flight 3   refused 20/s\n"
            "\n"
            "model  version  requests/s  rows/s  errors/s      p50      p99\n"
            "churn        3       2,000   4,000       200  0.50 ms  1.97 ms\n"
            "new       none           0       0         -        -        -\n"
            "\n"
            "route                  requests/s  4xx/s  5xx/s      p50      p99\n"
            "POST /predict/{model}       2,000    200      0  0.50 ms  1.97 ms\n"
            "\n"
            "running    train 45 %  since 14:03:01\n"
            "waiting    retrain: 12 of 50 new labels\n");
}

TEST(Top, AServerThatCountsLess) {
  EXPECT_EQ(shown(look(100, 1000, false), look(102, 1004, false), 30),
            "millrace   http://127.0.0.1:70\n"
            "server     cpu 0.00 of 2   mem\n"
            "\n"
            "model  version  requests/s  ro\n"
            "churn        3         2.0    \n"
            "new       none           0    \n"
            "\n"
            "route                  request\n"
            "POST /predict/{model}         \n");
  EXPECT_EQ(shown({.at_s = 1, .samples = {}, .status = {}}, {.at_s = 2, .samples = {}, .status = {}}, 0),
            "millrace   http://127.0.0.1:7070   2026-11-22T14:03:22Z\n"
            "server     connections 0   in flight 0   refused 0/s\n\n"
            "no model yet\n");
}

TEST(Top, StartedAnewInBetween) {
  const auto text = shown(look(100, 5000, true), look(102, 1000, true), 0);
  EXPECT_TRUE(text.contains("started anew")) << text;
  EXPECT_TRUE(text.contains("churn        3         500   1,000")) << text;
}

TEST(Top, Json) {
  const auto text = top_json(top_view(look(100, 1000, true), look(102, 5000, true)));
  EXPECT_TRUE(text.starts_with("{\"url\":\"\",\"project\":\"churn\"")) << text;
  EXPECT_TRUE(text.contains("\"requests_per_s\":2000")) << text;
}

}  // namespace
}  // namespace millrace::cli
