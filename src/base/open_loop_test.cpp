#include "base/open_loop.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <thread>

#include "base/cpu.hpp"
#include "base/http_answer_internal.hpp"
#include "base/testing/tiny_server.hpp"

namespace millrace {
namespace {

using namespace std::chrono_literals;

TEST(Arrivals, FixedTimesDoNotDrift) {
  Arrivals arrivals(3000, Arrivals::Kind::fixed, 1);
  Duration last{};
  for (int i = 0; i < 30'000; ++i) {
    last = arrivals.next();
    ASSERT_LE(std::abs(static_cast<double>(last.count()) - i * 1e6 / 3000), 0.51) << i;
  }
  EXPECT_NEAR(static_cast<double>(last.count()), 1e7, 400);
}

TEST(Arrivals, PoissonHasItsRateAndSpreadAndRepeats) {
  Arrivals one(1000, Arrivals::Kind::poisson, 7), same(1000, Arrivals::Kind::poisson, 7);
  Arrivals other(1000, Arrivals::Kind::poisson, 8);
  constexpr int count = 100'000;
  double before = 0, sum = 0, squares = 0;
  bool differs = false;
  for (int i = 0; i < count; ++i) {
    const auto at = one.next();
    ASSERT_EQ(at, same.next());
    differs = differs || at != other.next();
    const auto gap = static_cast<double>(at.count()) - before;
    ASSERT_GE(gap, 0);
    before = static_cast<double>(at.count());
    sum += gap;
    squares += gap * gap;
  }
  EXPECT_TRUE(differs);
  const double mean = sum / count, deviation = std::sqrt(squares / count - mean * mean);
  EXPECT_NEAR(mean, 1000, 15);  // of an exponential both are the same
  EXPECT_NEAR(deviation, 1000, 25);
}

TEST(FailureReason, OfBothShapesOfErrors) {
  EXPECT_EQ(failure_reason(R"({"error":{"code":"not_found","reason":"serve.no_model","message":"x"}})"),
            "serve.no_model");
  EXPECT_EQ(failure_reason(R"({"error": "no such model"})"), "no such model");
  EXPECT_EQ(failure_reason("<html>502</html>"), "");
  EXPECT_EQ(failure_reason(R"({"error":)"), "");
  EXPECT_EQ(failure_reason(R"({"error":")" + std::string(500, 'x')).size(), 80u);
}

TEST(HttpAnswer, WholeInPiecesAndBad) {
  using State = HttpAnswer::State;
  struct Case {
    std::string text;
    State state;
    int status;
    std::string body;
    bool keep_alive;
  };
  const std::vector<Case> cases{
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", State::whole, 200, "", true},
      {"HTTP/1.1 404 Not Found\r\ncontent-length:2\r\nConnection: close\r\n\r\nno", State::whole, 404, "no", false},
      {"HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=1\r\nde\r\n0\r\n\r\n", State::whole, 503,
       "abcde", true},
      {"HTTP/1.1 204 X\r\n\r\n", State::whole, 204, "", true},
      {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", State::whole, 200, "", false},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", State::more, 200, "", true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello", State::bad, 200, "", true},
      {"HTTP/1.1 200 OK\r\n\r\nhello", State::bad, 200, "", true},  // nobody knows where it ends
      {"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello", State::bad, 200, "", true},
      {"SSH-2.0-OpenSSH_9.2\r\n\r\n", State::bad, 0, "", true},
  };
  for (const auto& [text, state, status, body, keep_alive] : cases) {
    HttpAnswer answer;
    EXPECT_EQ(answer.take(text), state) << text;
    EXPECT_EQ(answer.status(), status) << text;
    EXPECT_EQ(answer.body(), body) << text;
    EXPECT_EQ(answer.keep_alive(), keep_alive) << text;
    if (state != State::whole) continue;
    for (int again = 0; again < 2; ++again) {  // byte by byte, and once more after that
      answer.clear();
      for (std::size_t i = 0; i + 1 < text.size(); ++i) ASSERT_EQ(answer.take(text.substr(i, 1)), State::more) << text;
      EXPECT_EQ(answer.take(text.substr(text.size() - 1)), State::whole) << text;
      EXPECT_EQ(answer.body(), body);
    }
  }
}

struct OpenLoopTest : testing::Test {
  SystemClock clock;
  OpenLoopConfig config{.host = "127.0.0.1",
                        .requests = {"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "GET /b HTTP/1.1\r\nHost: x\r\n\r\n"},
                        .per_second = 200,
                        .duration = 500ms,
                        .connections = 4,
                        .patience = 5s};

  OpenLoopResult run(const TinyServer& server, const OpenLoopHooks& hooks = {}) {
    config.port = server.port();
    auto result = run_open_loop(config, clock, hooks);
    EXPECT_TRUE(result) << result.error().message;
    return result ? *result : OpenLoopResult{};
  }
};

TEST_F(OpenLoopTest, SendsWhatIsDueAndCountsIt) {
  std::atomic<int> a{0}, b{0};
  TinyServer server([&](const std::string& request) {
    ++(request.starts_with("GET /a ") ? a : b);
    return TinyServer::answer(200, "fine");
  });
  int seconds = 0;
  const auto result = run(server, {.second = [&](const OpenLoopSecond&) { ++seconds; }});
  EXPECT_EQ(result.due, 100u);
  EXPECT_EQ(result.answered, 100u);
  EXPECT_EQ(result.failed, 0u);
  EXPECT_EQ(result.latency.count(), 100u);
  EXPECT_EQ(result.send_delay.count(), 100u);
  EXPECT_EQ(a, 50);
  EXPECT_EQ(b, 50);
  EXPECT_EQ(server.connections(), 4);
  EXPECT_EQ(seconds, static_cast<int>(result.seconds.size()));
  EXPECT_GE(result.took_s, 0.5);
}

// A server that stands still for a while: each request that was due meanwhile has waited, though only one was being
// answered.
TEST_F(OpenLoopTest, WhatWasDueWhileTheServerStoodStillHasWaited) {
  std::atomic<int> count{0};
  TinyServer server([&](const std::string&) {
    if (++count == 20) std::this_thread::sleep_for(400ms);
    return TinyServer::answer(200, "fine");
  });
  config.connections = 1;
  config.duration = 1s;
  const auto result = run(server);
  EXPECT_EQ(result.answered, 200u);
  EXPECT_GE(result.latency.max(), 400'000u);
  std::uint64_t slow = 0;  // above 200 ms: half of the 80 that were due in those 400 ms
  for (double share = 1; share > 0 && result.latency.percentile(share) > 200'000; share -= 0.005) ++slow;
  EXPECT_GE(slow, 38u);
  EXPECT_GE(result.send_delay.max(), 380'000u);
  EXPECT_LT(result.client_delay.percentile(0.5), 50'000u);  // and that was not this program's fault
}

TEST_F(OpenLoopTest, ErrorsByStatusAndReason) {
  std::atomic<int> count{0};
  TinyServer server([&](const std::string&) {
    switch (++count % 4) {
      case 0:
        return TinyServer::answer(503, R"({"error":{"code":"unavailable","reason":"net.overloaded"}})");
      case 1:
        return TinyServer::answer(404, R"({"error":"no such model"})", "Connection: close\r\n");
      case 2:
        return "!" + std::string("HTTP/1.1 200 OK\r\nContent-Le");
      default:
        return TinyServer::answer(200, "fine");
    }
  });
  const auto result = run(server);
  EXPECT_EQ(result.due, 100u);
  EXPECT_EQ(result.answered, 25u);
  EXPECT_EQ(result.failed, 75u);
  const std::map<Failure, std::uint64_t> want{
      {{0, "connection_closed"}, 25}, {{404, "no such model"}, 25}, {{503, "net.overloaded"}, 25}};
  EXPECT_EQ(result.failures, want);
  EXPECT_GE(result.connected_again, 49u);
  std::uint64_t refused = 0;
  for (const auto& second : result.seconds) refused += second.refused;
  EXPECT_EQ(refused, 25u);
}

TEST_F(OpenLoopTest, NobodyAnswers) {
  TinyServer server([](const std::string&) { return std::string(); });
  config.connections = 2;
  config.duration = 100ms;
  config.patience = 300ms;
  const auto result = run(server);
  EXPECT_EQ(result.due, 20u);
  EXPECT_EQ(result.answered, 0u);
  EXPECT_EQ(result.failed, 20u);
  EXPECT_EQ(result.latency.count(), 20u);  // they count with the time that they had waited
  EXPECT_GE(result.latency.percentile(0), 300'000u);
  const auto timeouts = result.failures.find({0, "timeout"});
  ASSERT_NE(timeouts, result.failures.end());
  EXPECT_GE(timeouts->second, 2u);
}

TEST_F(OpenLoopTest, StoppedItTellsWhatItHas) {
  TinyServer server([](const std::string&) { return TinyServer::answer(200, "fine"); });
  config.duration = 1h;
  std::atomic<bool> stop{false};
  int seconds = 0;
  const auto result = run(
      server, {.second = [&](const OpenLoopSecond&) { stop = ++seconds == 1; }, .stop = [&] { return stop.load(); }});
  EXPECT_TRUE(result.interrupted);
  EXPECT_GE(result.answered, 100u);
  EXPECT_EQ(result.due, result.answered + result.failed);
  EXPECT_LT(result.took_s, 60);
}

TEST_F(OpenLoopTest, NoServer) {
  {
    TinyServer server([](const std::string&) { return std::string(); });
    config.port = server.port();
  }
  const auto result = run_open_loop(config, clock);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().reason, "load.unreachable");
  config.host = "no-such-host.invalid";
  EXPECT_EQ(run_open_loop(config, clock).error().reason, "load.unreachable");
  config.requests.clear();
  EXPECT_EQ(run_open_loop(config, clock).error().reason, "load.bad_config");
}

TEST(Cpu, CountsWhatWasUsed) {
  const auto thread = thread_cpu();
  const auto process = process_cpu();
  const auto machine = machine_cpu();
  double sum = 0;
  while (thread_cpu().used_s < thread.used_s + 0.05) sum += std::sqrt(sum + 1);
  EXPECT_GE(process_cpu().cpu_s, process.cpu_s + 0.03) << sum;
  EXPECT_GT(process.memory_bytes, 1u << 20);
  EXPECT_GE(process.files_open, 3u);
  EXPECT_GE(process.processors, 1);
  ASSERT_TRUE(machine);
  EXPECT_GE(machine->all_s, machine->busy_s);
  EXPECT_GT(machine->busy_s, 0);
}

}  // namespace
}  // namespace millrace
