#include "net/access_log.hpp"

#include <gtest/gtest.h>

#include <condition_variable>
#include <format>

#include "base/testing/real_env.hpp"
#include "base/testing/reason.hpp"

namespace millrace::net {
namespace {

TEST(AccessLog, Rules) {
  using Kind = AccessRule::Kind;
  const std::vector<std::tuple<std::string, Kind, double>> good{
      {"", Kind::off, 0},        {"off", Kind::off, 0},        {"all", Kind::all, 0},   {"errors", Kind::errors, 0},
      {"1%", Kind::share, 0.01}, {"0.5%", Kind::share, 0.005}, {"100%", Kind::share, 1}};
  for (const auto& [text, kind, share] : good) {
    const auto rule = parse_access_rule(text);
    ASSERT_TRUE(rule) << text;
    EXPECT_EQ(rule->kind, kind) << text;
    EXPECT_DOUBLE_EQ(rule->share, share) << text;
  }
  for (const char* bad : {"some", "%", "0%", "-1%", "101%", "1", "1 %", "1%%", "nan%"})
    EXPECT_EQ(reason_of(parse_access_rule(bad)), "net.bad_config") << bad;
}

TEST(AccessLog, WhatIsKept) {
  using Kind = AccessRule::Kind;
  for (const int status : {200, 204, 302, 399, 400, 404, 499, 503}) {
    EXPECT_FALSE(is_kept({}, status, "a"));
    EXPECT_TRUE(is_kept({Kind::all}, status, "a"));
    EXPECT_EQ(is_kept({Kind::errors}, status, "a"), status >= 400) << status;
  }
  int kept = 0;
  constexpr int all = 100'000;
  for (int i = 0; i < all; ++i) {
    const auto id = std::format("{:016x}{:016x}", 0x1234, i);  // as the server draws them
    const bool one = is_kept({Kind::share, 0.05}, 200, id);
    EXPECT_EQ(one, is_kept({Kind::share, 0.05}, 503, id));
    if (one) EXPECT_TRUE(is_kept({Kind::share, 0.2}, 200, id));  // a larger share keeps what the smaller one does
    kept += one;
  }
  EXPECT_NEAR(kept, all * 0.05, 300);
}

// Keeps lines, and waits in each while it is told to.
struct SlowLog final : Log {
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    bool stuck = false, inside = false;
    std::vector<std::string> lines;
  };
  explicit SlowLog(State& state) : state_(state) {}
  void write(Level, std::string_view event, std::initializer_list<LogField> fields) override {
    std::unique_lock lock(state_.mutex);
    state_.inside = true;
    state_.changed.notify_all();
    state_.changed.wait(lock, [&] { return !state_.stuck; });
    std::string line(event);
    for (const auto& field : fields)
      std::visit([&](const auto& value) { line += std::format(" {}={}", field.name, value); }, field.value);
    state_.lines.push_back(line);
  }
  State& state_;
};

TEST(AccessLog, LinesHoldWhatWasAskedAndAnswered) {
  SlowLog::State state;
  Metrics metrics;
  {
    AccessLog log({AccessRule::Kind::all}, std::make_unique<SlowLog>(state), metrics);
    log.add({.method = "POST",
             .path = "/predict/a\r\nb",
             .route = "/predict/{model}",
             .status = 200,
             .bytes = 123,
             .took = std::chrono::microseconds(456),
             .request = "ab",
             .trace = "ab",
             .remote = "127.0.0.1:5"});
    log.add({.method = "GET",
             .path = std::string(5000, 'x'),
             .route = "",
             .status = 404,
             .request = "cd",
             .trace = "",
             .remote = ""});
  }  // what waits is written
  ASSERT_EQ(state.lines.size(), 2u);
  EXPECT_TRUE(state.lines[0].starts_with("request method=POST path=/predict/a")) << state.lines[0];
  EXPECT_TRUE(state.lines[0].ends_with(
      " route=/predict/{model} status=200 bytes=123 us=456 request=ab trace=ab remote=127.0.0.1:5"));
  EXPECT_LT(state.lines[1].size(), 700u);
  EXPECT_EQ(metrics.counter({"millrace_net_access_log_lines_total", "Lines of the access log."}).value(), 2u);
}

TEST(AccessLog, ADiskThatHangsDropsLinesAndHoldsUpNobody) {
  SlowLog::State state;
  Metrics metrics;
  state.stuck = true;
  {
    AccessLog log({AccessRule::Kind::all}, std::make_unique<SlowLog>(state), metrics);
    log.add({.method = "GET", .path = "/first", .route = "", .request = "", .trace = "", .remote = ""});
    {
      std::unique_lock lock(state.mutex);
      state.changed.wait(lock, [&] { return state.inside; });  // the writer is stuck in the first line
    }
    for (std::size_t i = 0; i < AccessLog::waiting_max + 10; ++i)
      log.add({.method = "GET", .path = "/more", .route = "", .request = "", .trace = "", .remote = ""});
    EXPECT_EQ(metrics
                  .counter({"millrace_net_access_log_dropped_total",
                            "Lines that the access log could not keep: too many waited."})
                  .value(),
              10u);
    std::lock_guard lock(state.mutex);
    state.stuck = false;
    state.changed.notify_all();
  }
  EXPECT_EQ(state.lines.size(), AccessLog::waiting_max + 1);
}

}  // namespace
}  // namespace millrace::net
