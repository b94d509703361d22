#include "cli/loadtest_verdict.hpp"

#include <gtest/gtest.h>

#include "base/testing/reason.hpp"

namespace millrace::cli {
namespace {

using namespace std::chrono_literals;
using What = Saturation::What;

// A second in which all is well.
LoadSecond calm(double at_s) {
  return {.at_s = at_s,
          .due = 1000,
          .answered = 1000,
          .failed = 0,
          .refused = 0,
          .waiting = 0,
          .connections_busy = 0.2,
          .client_cpu = 0.3,
          .client_starved = 0,
          .server_cores_used = 0.8,
          .server_cores = 2,
          .machine_busy = 0.6};
}

TEST(LoadtestVerdict, WhatRanOutFirst) {
  const auto with = [](auto change) {
    std::vector<LoadSecond> seconds{calm(1), calm(2), calm(3)};
    change(seconds);
    return seconds;
  };
  struct Case {
    const char* name;
    std::vector<LoadSecond> seconds;
    What what;
    double at_s;
  };
  const std::vector<Case> cases{
      {"calm", with([](auto&) {}), What::nothing, 0},
      {"no seconds", {}, What::nothing, 0},
      {"the client's thread is busy", with([](auto& s) { s[1].client_cpu = 0.93; }), What::client, 2},
      {"the client before the server", with([](auto& s) {
         s[1].client_cpu = 0.93;
         s[1].server_cores_used = 2;
       }),
       What::client, 2},
      {"the earlier second counts", with([](auto& s) {
         s[0].server_cores_used = 1.95;
         s[1].client_cpu = 0.99;
       }),
       What::server_cpu, 1},
      {"server just below nine tenths", with([](auto& s) { s[0].server_cores_used = 1.79; }), What::nothing, 0},
      {"refusals", with([](auto& s) {
         s[2].refused = 3;
         s[2].failed = 3;
       }),
       What::refusals, 3},
      {"refused, with its processors busy", with([](auto& s) {
         s[2].refused = 3;
         s[2].server_cores_used = 2;
       }),
       What::refusals, 3},
      {"machine full, server not", with([](auto& s) { s[1].machine_busy = 0.97; }), What::machine, 2},
      {"no processor for the client", with([](auto& s) {
         s[1].client_starved = 0.4;
         s[1].machine_busy.reset();
       }),
       What::machine, 2},
      {"server stands still", with([](auto& s) {
         s[1].answered = 0;
         s[1].waiting = 500;
         s[1].connections_busy = 1;
       }),
       What::standstill, 2},
      {"nothing due, nothing answered", with([](auto& s) { s[1].due = s[1].answered = 0; }), What::nothing, 0},
      {"all connections wait", with([](auto& s) {
         s[1].waiting = 5;
         s[1].connections_busy = 0.99;
       }),
       What::connections, 2},
      {"a moment without a free one", with([](auto& s) {
         s[1].waiting = 5;
         s[1].connections_busy = 0.7;
       }),
       What::nothing, 0},
      {"a server that says nothing", with([](auto& s) {
         s[1].server_cores_used.reset();
         s[1].server_cores = 0;
         s[1].waiting = 9;
         s[1].connections_busy = 1;
       }),
       What::connections, 2},
  };
  for (const auto& [name, seconds, what, at_s] : cases) {
    const auto found = first_saturated(seconds, 16);
    EXPECT_EQ(saturation_name(found.what), saturation_name(what)) << name << ": " << found.why;
    EXPECT_EQ(found.at_s, at_s) << name;
    EXPECT_FALSE(found.why.empty()) << name;
  }
}

OpenLoopResult measured(std::uint64_t answered, std::uint64_t failed, std::uint64_t us) {
  OpenLoopResult out;
  out.due = answered + failed;
  out.answered = answered;
  out.failed = failed;
  out.latency.add(us, answered);
  out.client_delay.add(50, answered);
  out.took_s = 10;
  return out;
}

TEST(LoadtestVerdict, Limits) {
  LoadLimits limits;
  limits.latency = {{"p99", 0.99, 20ms}, {"max", 1, 25ms}};
  ASSERT_TRUE(set_errors(limits, "0"));
  auto result = measured(1000, 0, 19'000);
  for (const auto& line : check_limits(result, limits)) EXPECT_TRUE(line.passed) << line.name;
  result.latency.add(100'000, 5);  // half a percent: p99 is kept, the slowest is not
  auto lines = check_limits(result, limits);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_TRUE(lines[0].passed);
  EXPECT_FALSE(lines[1].passed);
  EXPECT_EQ(lines[1].limit, "<= 25ms");
  result.latency.add(100'000, 20);
  EXPECT_FALSE(check_limits(result, limits)[0].passed);
  EXPECT_FALSE(check_limits(measured(1000, 1, 5000), limits)[2].passed);
  // Nothing answered keeps no limit of a latency.
  EXPECT_FALSE(check_limits(measured(0, 10, 0), limits)[0].passed);
}

TEST(LoadtestVerdict, ErrorsAsCountOrShare) {
  const auto passes = [](const char* text, std::uint64_t failed) {
    LoadLimits limits;
    EXPECT_TRUE(set_errors(limits, text)) << text;
    const auto lines = check_limits(measured(1000 - failed, failed, 5), limits);
    EXPECT_EQ(lines.size(), 1u);
    return lines.front().passed;
  };
  EXPECT_TRUE(passes("0", 0));
  EXPECT_FALSE(passes("0", 1));
  EXPECT_TRUE(passes("12", 12));
  EXPECT_FALSE(passes("12", 13));
  EXPECT_TRUE(passes("0.5%", 5));
  EXPECT_FALSE(passes("0.5%", 6));
  for (const char* bad : {"", "%", "-1", "1.5", "101%", "none", "1 %x", "nan", "inf"}) {
    LoadLimits limits;
    EXPECT_EQ(reason_of(set_errors(limits, bad)), "cli.bad_limit") << bad;
  }
}

TEST(LoadtestVerdict, WhenItIsTheClientItSaysSo) {
  auto result = measured(1000, 0, 5000);
  EXPECT_EQ(client_too_slow(result, {}), "");
  EXPECT_NE(client_too_slow(result, {.what = What::client, .at_s = 1, .why = "x"}), "");
  EXPECT_EQ(client_too_slow(result, {.what = What::server_cpu, .at_s = 1, .why = "x"}), "");
  result.client_delay.add(3000, 100);  // a tenth left 3 ms late, of latencies of 5 ms
  EXPECT_NE(client_too_slow(result, {}), "");
  result.latency.add(100'000, 2000);  // but of 100 ms that is nothing
  EXPECT_EQ(client_too_slow(result, {}), "");
}

TEST(LoadtestVerdict, RampFindsTheHighestRateThatHolds) {
  for (const double truth : {99.0, 100.0, 450.0, 3210.0, 5000.0, 90'000.0}) {
    std::vector<RampStage> stages;
    for (auto rate = next_rate(stages, 100, 5000); rate; rate = next_rate(stages, 100, 5000)) {
      ASSERT_GE(*rate, 100);
      ASSERT_LE(*rate, 5000);
      stages.push_back({*rate, *rate <= truth});
      ASSERT_LT(stages.size(), 25u) << truth;
    }
    const auto found = highest_held(stages);
    if (truth < 100) {
      EXPECT_FALSE(found);
      EXPECT_EQ(stages.size(), 1u);
      continue;
    }
    ASSERT_TRUE(found) << truth;
    EXPECT_LE(*found, truth);
    EXPECT_GE(*found * 1.05 + 1, std::min(truth, 5000.0)) << truth;
  }
}

TEST(LoadtestVerdict, AHigherRateThatHeldByChanceDoesNotCount) {
  const std::vector<RampStage> stages{{100, true}, {150, false}, {122, true}, {225, true}};
  EXPECT_EQ(highest_held(stages), 122);
}

TEST(LoadtestVerdict, AStageHoldsAtItsPace) {
  auto result = measured(1000, 0, 1000);
  EXPECT_TRUE(stage_holds(result, 10, {}));
  result.took_s = 13;  // a queue that had to be emptied for three seconds
  EXPECT_FALSE(stage_holds(result, 10, {}));
  result.took_s = 10;
  EXPECT_FALSE(stage_holds(result, 10, {{"p99", "<= 1ms", "2ms", false}}));
  EXPECT_FALSE(stage_holds(measured(900, 100, 1000), 10, {}));
}

TEST(LoadtestVerdict, Ramp) {
  const auto ramp = parse_ramp("100..5000");
  ASSERT_TRUE(ramp);
  EXPECT_EQ(ramp->lowest, 100);
  EXPECT_EQ(ramp->highest, 5000);
  for (const char* bad : {"", "100", "100..", "..5", "5000..100", "0..100", "a..b", "1..1e9", "100.5000"})
    EXPECT_EQ(reason_of(parse_ramp(bad)), "cli.bad_ramp") << bad;
}

TEST(LoadtestVerdict, LatencyText) {
  EXPECT_EQ(latency_text(0), "0.00 ms");
  EXPECT_EQ(latency_text(216), "0.22 ms");
  EXPECT_EQ(latency_text(12'345), "12.3 ms");
  EXPECT_EQ(latency_text(123'456), "123 ms");
  EXPECT_EQ(latency_text(1'234'567), "1.23 s");
}

}  // namespace
}  // namespace millrace::cli
