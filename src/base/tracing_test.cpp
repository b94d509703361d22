#include "base/tracing.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/testing/env.hpp"
#include "base/testing/tiny_server.hpp"

namespace millrace {
namespace {

constexpr const char* trace_of_parent = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr const char* sampled_parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr const char* unsampled_parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
constexpr const char* own_id = "0123456789abcdef0123456789abcdef";

TEST(Tracing, ParentsAsTheStandardHasThem) {
  const auto parent = parse_traceparent(sampled_parent);
  EXPECT_EQ(parent.trace, trace_of_parent);
  EXPECT_EQ(parent.span, "00f067aa0ba902b7");
  EXPECT_TRUE(parent.sampled);
  EXPECT_FALSE(parse_traceparent(unsampled_parent).sampled);
  EXPECT_TRUE(parse_traceparent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0b-more").sampled);
  for (const char* bad : {"", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
                          "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                          "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                          "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                          "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                          "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
                          "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
                          "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more"})
    EXPECT_EQ(parse_traceparent(bad).trace, "") << bad;
}

TEST(Tracing, Otlp) {
  Span span{.trace = trace_of_parent,
            .id = "00f067aa0ba902b7",
            .parent = "",
            .name = "job train",
            .began_at = parse_time("2026-11-23T08:00:00Z").value(),
            .ended_at = parse_time("2026-11-23T08:00:01.5Z").value(),
            .attributes = {{"job", std::string("a\"b")}, {"rows", std::int64_t{7}}},
            .failed = true,
            .message = "no memory"};
  EXPECT_EQ(render_otlp({"millrace", "1.2", ""}, {&span, 1}),
            R"({"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"millrace"}},)"
            R"({"key":"service.version","value":{"stringValue":"1.2"}}]},"scopeSpans":[{"scope":{"name":"millrace",)"
            R"("version":"1.2"},"spans":[{"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b7",)"
            R"("name":"job train","kind":1,"startTimeUnixNano":"1795420800000000000",)"
            R"("endTimeUnixNano":"1795420801500000000","attributes":[{"key":"job","value":{"stringValue":"a\"b"}},)"
            R"({"key":"rows","value":{"intValue":"7"}}],"status":{"code":2,"message":"no memory"}}]}]}]})");
}

struct TracerTest : testing::Test {
  TestEnv t;
  Metrics metrics;
  std::uint64_t dropped(const char* why) {
    return metrics.counter({"millrace_telemetry_spans_dropped_total", "Spans that were dropped.", {{"why", why}}})
        .value();
  }
};

TEST_F(TracerTest, WhoIsSampled) {
  TinyServer collector([](const std::string&) { return TinyServer::answer(200, "{}"); });
  const auto sampled = [&](double share, const char* parent, const char* id) {
    Tracer tracer({.url = collector.url(""), .sample = share}, t.env, metrics);
    return tracer.begin(parent, id, "x") != nullptr;
  };
  EXPECT_TRUE(sampled(0, sampled_parent, own_id)) << "the parent's flag counts";
  EXPECT_FALSE(sampled(1, unsampled_parent, own_id));
  EXPECT_TRUE(sampled(1, "", own_id));
  EXPECT_FALSE(sampled(0, "", own_id));
  Tracer tracer({.url = collector.url(""), .sample = 0.1}, t.env, metrics);
  int count = 0;
  for (int i = 0; i < 10'000; ++i) count += tracer.begin("", std::to_string(i), "x") ? 1 : 0;
  EXPECT_NEAR(count, 1000, 150);
}

TEST_F(TracerTest, ATraceArrives) {
  std::mutex mutex;
  std::string seen;
  TinyServer collector([&](const std::string& request) {
    std::lock_guard lock(mutex);
    seen += request;
    return TinyServer::answer(200, "{}");
  });
  {
    Tracer tracer({.url = collector.url(""), .sample = 0}, t.env, metrics);
    auto trace = tracer.begin(sampled_parent, own_id, "POST /predict/{model}");
    ASSERT_TRUE(trace);
    TraceScope scope(trace.get());
    const auto now = t.env.clock.steady();
    current_trace()->add("compute", now, now + std::chrono::milliseconds(2));
    tracer.end(std::move(trace));
  }
  EXPECT_TRUE(seen.starts_with("POST /v1/traces HTTP/1.1\r\n")) << seen;
  EXPECT_NE(seen.find("\"name\":\"compute\""), seen.npos);
  EXPECT_NE(seen.find("\"parentSpanId\":\"00f067aa0ba902b7\",\"name\":\"POST /predict/{model}\",\"kind\":2"), seen.npos)
      << seen;
  EXPECT_EQ(metrics.counter({"millrace_telemetry_spans_sent_total", "Spans that the collector has taken."}).value(),
            2u);
  EXPECT_EQ(current_trace(), nullptr);
}

TEST_F(TracerTest, WhatFindsNoRoomOrIsNotTakenIsCounted) {
  std::atomic<bool> asked{false}, go_on{false};
  TinyServer collector([&](const std::string&) {
    asked = true;
    while (!go_on) std::this_thread::yield();
    return TinyServer::answer(503, "later");
  });
  {
    Tracer tracer({.url = collector.url(""), .waiting_max = 10, .every = std::chrono::milliseconds(1)}, t.env, metrics);
    tracer.note("first", {}, {}, {});
    while (!asked) std::this_thread::yield();
    for (int i = 0; i < 25; ++i) tracer.note("more", {}, {}, {});  // none of them waits
    EXPECT_EQ(dropped("full"), 15u);
    go_on = true;
  }
  EXPECT_EQ(dropped("not_taken"), 11u);
}

}  // namespace
}  // namespace millrace
