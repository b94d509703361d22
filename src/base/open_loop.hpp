// Load that does not wait: requests over HTTP/1.1 at times set beforehand, whatever the server does. Each latency is
// measured from the moment at which its request was due, so a server that stalls can't hide the requests that would
// have come meanwhile ("coordinated omission").
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/latency_histogram.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"

namespace millrace {

// When requests are due, since the start; never falling. The same seed gives the same times.
class Arrivals {
 public:
  enum class Kind { fixed, poisson };
  Arrivals(double per_second, Kind kind, std::uint64_t seed) : per_second_(per_second), kind_(kind), rng_(seed) {}
  Duration next();

 private:
  double per_second_;
  Kind kind_;
  SeededRng rng_;
  std::uint64_t count_ = 0;
  double at_s_ = 0;
};

struct OpenLoopConfig {
  std::string host;  // name or address
  int port = 80;
  std::vector<std::string> requests;  // whole ones, head and body; sent in turn
  double per_second = 100;
  Arrivals::Kind arrivals = Arrivals::Kind::fixed;
  std::uint64_t seed = 1;
  Duration duration = std::chrono::seconds(10);
  int connections = 16;                          // each carries one request at a time
  Duration patience = std::chrono::seconds(10);  // for an answer, and for a free connection
};

// One second of the run, or what was left of it at the end.
struct OpenLoopSecond {
  double at_s = 0;      // its end, since the start
  double length_s = 1;  // the last one may be shorter
  std::uint64_t due = 0;
  std::uint64_t answered = 0;                        // 2xx
  std::uint64_t failed = 0;                          // all else, refused ones included
  std::uint64_t refused = 0;                         // 429 and 503
  std::uint64_t waiting = 0;                         // due and not sent at its end: no connection was free
  double connections_busy = 0;                       // share of all connections' time
  double client_cpu = 0;                             // share of the second in which the sending thread ran
  double client_starved = 0;                         // ... in which it was ready to run and got no processor
  std::uint64_t p50_us = 0, p99_us = 0, max_us = 0;  // of what was answered or given up in it
};

struct Failure {
  int status = 0;      // 0: no whole answer came
  std::string reason;  // the server's own, or timeout, not_sent, connection_closed, bad_answer
  auto operator<=>(const Failure&) const = default;
};

struct OpenLoopResult {
  // In microseconds. `latency` is of the 2xx answers and of the requests that nobody answered in time, which count with
  // how long they had waited; what was refused or broke off is in `failures`.
  LatencyHistogram latency;
  LatencyHistogram send_delay;    // from due to sent
  LatencyHistogram client_delay;  // of that, what a connection was free for: this program's own doing
  std::uint64_t due = 0;
  std::uint64_t answered = 0;
  std::uint64_t failed = 0;
  std::uint64_t connected_again = 0;
  std::map<Failure, std::uint64_t> failures;  // at most 50 kinds, the rest as "other"
  std::vector<OpenLoopSecond> seconds;
  double took_s = 0;  // to the last answer, at least what was asked for
  bool interrupted = false;
};

struct OpenLoopHooks {
  std::function<void(const OpenLoopSecond&)> second;  // after each; must be quick
  std::function<bool()> stop;                         // asked ten times a second and when a signal came
};

// Sends on the calling thread until all that was due is answered or given up. unavailable `load.unreachable` when no
// connection could be made at the start, invalid_argument `load.bad_config`.
Result<OpenLoopResult> run_open_loop(const OpenLoopConfig& config, Clock& clock, const OpenLoopHooks& hooks = {});

// A server's word in an answer that is no 2xx: {"error":{..."reason":"..."}} or {"error":"..."}, at most 80 bytes; "".
std::string failure_reason(std::string_view body);

}  // namespace millrace
