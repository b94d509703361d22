// What a load test found out: pure decisions over what was measured.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/open_loop.hpp"
#include "base/result.hpp"

namespace millrace::cli {

// One second of a test, seen from the client, with what the server said of itself.
struct LoadSecond {
  double at_s = 0;
  std::uint64_t due = 0, answered = 0, failed = 0, refused = 0;
  std::uint64_t waiting = 0;    // due, and no connection was free
  double connections_busy = 0;  // shares of the second
  double client_cpu = 0, client_starved = 0;
  std::optional<double> server_cores_used;  // absent: the server does not say
  double server_cores = 0;                  // that it may use
  std::optional<double> machine_busy;       // share of all processors; absent where the server is on another machine
};

// What ran out first.
struct Saturation {
  enum class What { nothing, client, refusals, standstill, server_cpu, machine, connections };
  What what = What::nothing;
  double at_s = 0;
  std::string why;  // a sentence for people
};
std::string_view saturation_name(Saturation::What what);  // "server_cpu"
Saturation first_saturated(std::span<const LoadSecond> seconds, int connections);

struct LoadLimits {
  struct Percentile {
    std::string name;  // "p99"
    double share = 0;  // 1: the slowest
    Duration most{};
  };
  std::vector<Percentile> latency;
  std::optional<double> errors_share;  // of the requests that were due
  std::optional<std::uint64_t> errors_count;
};
// "0", "12", "0.1%". invalid_argument `cli.bad_limit`.
Result<void> set_errors(LoadLimits& limits, const std::string& text);

struct LimitLine {
  std::string name, limit, got;
  bool passed = false;
};
std::vector<LimitLine> check_limits(const OpenLoopResult& result, const LoadLimits& limits);

// Whether this program itself was what the figures show, and not the server. Empty: no.
std::string client_too_slow(const OpenLoopResult& result, const Saturation& saturation);

// A ramp: from the lowest rate up by half until one does not hold, then between the two until they are within 5 %.
struct RampStage {
  double per_second = 0;
  bool held = false;
};
std::optional<double> next_rate(std::span<const RampStage> so_far, double lowest, double highest);
std::optional<double> highest_held(std::span<const RampStage> stages);
// Whether a stage of that length holds: its limits, and 98 % of what was due answered at that pace.
bool stage_holds(const OpenLoopResult& result, double duration_s, const std::vector<LimitLine>& limits);
// "100..5000". invalid_argument `cli.bad_ramp`.
struct Ramp {
  double lowest = 0, highest = 0;
};
Result<Ramp> parse_ramp(const std::string& text);

std::string latency_text(std::uint64_t us);  // "0.21 ms", "1.20 s"

}  // namespace millrace::cli
