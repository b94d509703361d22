#include "base/tracing.hpp"

#include <algorithm>
#include <format>

#include "base/log.hpp"
#include "base/rng.hpp"

namespace millrace {

namespace {

constexpr auto send_max = std::chrono::seconds(5);
constexpr auto last_send_max = std::chrono::seconds(2);

bool is_hex_id(std::string_view id) {
  return std::ranges::all_of(id, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }) &&
         !std::ranges::all_of(id, [](char c) { return c == '0'; });
}

// splitmix64's: neighbours have nothing in common.
std::uint64_t mixed(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  x ^= x >> 31;
  return x == 0 ? 1 : x;
}

std::string span_id(std::uint64_t number) { return std::format("{:016x}", number); }

// In [0, 1), the same everywhere for the same id.
double sampled_at(std::string_view id) {
  std::uint64_t hash = 14695981039346656037ull;
  for (const unsigned char c : id) hash = (hash ^ c) * 1099511628211ull;
  return static_cast<double>(mixed(hash) >> 11) * 0x1.0p-53;
}

}  // namespace

TraceParent parse_traceparent(std::string_view header) {
  // version "-" trace-id "-" parent-id "-" flags (section 3.2); a later version may have more behind a "-"
  if (header.size() < 55 || header[2] != '-' || header[35] != '-' || header[52] != '-') return {};
  const auto version = header.substr(0, 2), trace = header.substr(3, 32), span = header.substr(36, 16),
             flags = header.substr(53, 2);
  const auto digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (version == "ff" || !std::ranges::all_of(version, digit) || !std::ranges::all_of(flags, digit)) return {};
  if (header.size() > 55 && (version == "00" || header[55] != '-')) return {};
  if (!is_hex_id(trace) || !is_hex_id(span)) return {};
  const auto low = flags[1];
  return {trace, span, ((low <= '9' ? low - '0' : low - 'a' + 10) & 1) != 0};
}

TimePoint Trace::calendar(SteadyPoint point) const { return root_.began_at + (point - began_); }

void Trace::add(std::string_view name, SteadyPoint begin, SteadyPoint end, std::vector<SpanAttribute> attributes) {
  constexpr std::size_t parts_max = 64;
  if (parts_.size() == parts_max) return;
  Span part;
  part.trace = root_.trace;
  part.id = span_id(mixed(salt_ + parts_.size() + 1));
  part.parent = root_.id;
  part.name = name;
  part.began_at = calendar(begin);
  part.ended_at = calendar(end);
  part.attributes = std::move(attributes);
  parts_.push_back(std::move(part));
}

Trace*& current_trace() {
  thread_local Trace* trace = nullptr;
  return trace;
}

Tracer::Tracer(const Config& config, Env& env, Metrics& metrics)
    : config_(config),
      env_(env),
      client_(make_http_client(env.fs, {.connect_max = std::chrono::seconds(2)})),
      sent_(metrics.counter({"millrace_telemetry_spans_sent_total", "Spans that the collector has taken."})),
      full_(metrics.counter({"millrace_telemetry_spans_dropped_total", "Spans that were dropped.", {{"why", "full"}}})),
      refused_(metrics.counter(
          {"millrace_telemetry_spans_dropped_total", "Spans that were dropped.", {{"why", "not_taken"}}})),
      salt_(env.rng.next()),
      thread_([this] { send_all(); }) {}

Tracer::~Tracer() {
  hurry_ = true;
  {
    std::lock_guard lock(mutex_);
    over_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

std::uint64_t Tracer::number() { return mixed(salt_ + (next_.fetch_add(1, std::memory_order_relaxed) << 8)); }

std::unique_ptr<Trace> Tracer::begin(std::string_view traceparent, std::string_view id, std::string_view name) {
  const auto parent = parse_traceparent(traceparent);
  if (parent.trace.empty() ? !(sampled_at(id) < config_.sample) : !parent.sampled) return nullptr;
  Span root;
  root.trace = parent.trace.empty() ? id : parent.trace;
  root.parent = parent.span;
  const auto salt = number();
  root.id = span_id(salt);
  root.name = name;
  root.kind = Span::Kind::server;
  root.began_at = env_.clock.now();
  return std::make_unique<Trace>(std::move(root), env_.clock.steady(), salt);
}

void Tracer::end(std::unique_ptr<Trace> trace) {
  trace->root_.ended_at = trace->calendar(env_.clock.steady());
  trace->parts_.push_back(std::move(trace->root_));
  put(trace->parts_);
}

void Tracer::note(std::string_view name, TimePoint began_at, TimePoint ended_at, std::vector<SpanAttribute> attributes,
                  const Result<void>& outcome) {
  Span one;
  one.trace = span_id(number()) + span_id(number());
  one.id = span_id(number());
  one.name = name;
  one.began_at = began_at;
  one.ended_at = std::max(began_at, ended_at);
  one.attributes = std::move(attributes);
  one.failed = !outcome.has_value();
  if (!outcome) one.message = outcome.error().message;
  put({&one, 1});
}

// Nobody is woken for it: that would be a system call in each request.
void Tracer::put(std::span<Span> spans) {
  {
    std::lock_guard lock(mutex_);
    if (waiting_.size() + spans.size() <= config_.waiting_max) {
      for (auto& span : spans) waiting_.push_back(std::move(span));
      return;
    }
  }
  full_.add(spans.size());
}

void Tracer::send_all() {
  for (bool over = false; !over;) {
    std::vector<Span> spans;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, config_.every, [this] { return over_; });
      over = over_;
      spans.swap(waiting_);
    }
    const std::span<const Span> all = spans;
    const auto until = env_.clock.steady() + last_send_max;
    for (std::size_t at = 0; at < all.size(); at += config_.sent_max) {
      const auto some = all.subspan(at, std::min(config_.sent_max, all.size() - at));
      const bool late = over && env_.clock.steady() >= until;
      if (!late && send(some))
        sent_.add(some.size());
      else
        refused_.add(some.size());
    }
  }
}

bool Tracer::send(std::span<const Span> spans) {
  HttpRequest request;
  request.method = "POST";
  request.url = config_.url + (config_.url.ends_with('/') ? "v1/traces" : "/v1/traces");
  request.headers = {{"Content-Type", "application/json"}};
  request.body = render_otlp(config_.source, spans);
  const bool last = hurry_;
  request.deadline = last ? Duration(last_send_max) : Duration(send_max);
  request.cancelled = [this, last] { return hurry_ && !last; };  // the end must not wait for one that hangs
  const auto answer = client_->send(request);
  const bool taken = answer && answer->ok();
  if (!taken && !failing_) {
    env_.log.warn("spans_not_taken",
                  {{"collector", config_.url},
                   {"error", answer ? std::format("status {}", answer->status) : answer.error().message}});
  }
  if (taken && failing_) env_.log.info("spans_taken_again", {{"collector", config_.url}});
  failing_ = !taken;
  return taken;
}

}  // namespace millrace
