// Traces: what was done for one request or job, as spans, handed to a collector by OTLP over HTTP (JSON). Nothing here
// waits for the network: spans wait in a bounded list for a thread of its own, and are dropped and counted beyond that.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "base/env.hpp"
#include "base/http_client.hpp"
#include "base/metrics.hpp"
#include "base/result.hpp"

namespace millrace {

// W3C Trace Context, level 1.
struct TraceParent {
  std::string_view trace;  // 32 hex digits, of the header's text; "" when it is no traceparent
  std::string_view span;   // 16 hex digits
  bool sampled = false;
};
TraceParent parse_traceparent(std::string_view header);

struct SpanAttribute {
  std::string name;
  std::variant<std::string, std::int64_t> value;
};
struct Span {
  enum class Kind { internal = 1, server = 2 };  // OTLP's numbers
  std::string trace;                             // 32 hex digits
  std::string id;                                // 16
  std::string parent;                            // 16, or ""
  std::string name;
  Kind kind = Kind::internal;
  TimePoint began_at{}, ended_at{};
  std::vector<SpanAttribute> attributes;
  bool failed = false;
  std::string message;  // of a failure
};

// Who sends them.
struct SpanSource {
  std::string service = "millrace";
  std::string version;
  std::string instance;
};
// An ExportTraceServiceRequest of opentelemetry-proto's trace v1, in OTLP's JSON: ids are hexadecimal there.
std::string render_otlp(const SpanSource& source, std::span<const Span> spans);

// The spans of one request, taken down by whoever works for it: one thread at a time.
class Trace {
 public:
  Trace(Span root, SteadyPoint began, std::uint64_t salt) : root_(std::move(root)), began_(began), salt_(salt) {}
  // A part of it, below the whole.
  void add(std::string_view name, SteadyPoint begin, SteadyPoint end, std::vector<SpanAttribute> attributes = {});
  Span& root() { return root_; }

 private:
  friend class Tracer;
  TimePoint calendar(SteadyPoint point) const;
  Span root_;
  SteadyPoint began_;
  std::uint64_t salt_;
  std::vector<Span> parts_;
};

// The trace that this thread works for; nullptr mostly.
Trace*& current_trace();
class TraceScope {
 public:
  explicit TraceScope(Trace* trace) : before_(current_trace()) { current_trace() = trace; }
  ~TraceScope() { current_trace() = before_; }
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

 private:
  Trace* before_;
};

// Thread-safe. The destructor sends what waits, for 2 s at most.
class Tracer {
 public:
  struct Config {
    std::string url;       // of the collector: "/v1/traces" is put behind it
    double sample = 0.01;  // of requests that bring no traceparent
    SpanSource source;
    std::size_t waiting_max = 8192;  // spans
    std::size_t sent_max = 512;      // in one request
    Duration every = std::chrono::seconds(1);
  };
  // invalid_argument `base.bad_collector`.
  static Result<void> check_url(std::string_view url);
  // All outlive it.
  Tracer(const Config& config, Env& env, Metrics& metrics);
  ~Tracer();
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  // nullptr: this one is not sampled. A parent's flag decides, else the share, by `id` (32 hex digits), which is the
  // trace's then.
  std::unique_ptr<Trace> begin(std::string_view traceparent, std::string_view id, std::string_view name);
  void end(std::unique_ptr<Trace> trace);
  // A piece of work that no request asked for, as a trace of its own. Sampled always.
  void note(std::string_view name, TimePoint began_at, TimePoint ended_at, std::vector<SpanAttribute> attributes,
            const Result<void>& outcome = {});

 private:
  void put(std::span<Span> spans);
  void send_all();
  bool send(std::span<const Span> spans);
  std::uint64_t number();

  const Config config_;
  Env& env_;
  std::unique_ptr<HttpClient> client_;
  Counter& sent_;
  Counter& full_;
  Counter& refused_;
  const std::uint64_t salt_;
  std::atomic<std::uint64_t> next_{1};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Span> waiting_;
  bool over_ = false;
  std::atomic<bool> hurry_{false};
  bool failing_ = false;  // the thread's
  std::thread thread_;
};

}  // namespace millrace
