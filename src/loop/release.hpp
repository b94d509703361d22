// The steps by which a candidate comes to serve, and when it moves on or goes back. Pure: a snapshot and the time in,
// one decision out; the service acts on it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace millrace::loop {

inline constexpr Duration kShadowLasts = std::chrono::hours(1);     // where a step names no duration
inline constexpr Duration kCanaryLasts = std::chrono::minutes(10);  // as above
// A candidate that failed is worse when Fisher's exact test, one-sided, says so at this level. It is low because the
// test is made again every second or so.
inline constexpr double kWorseAlpha = 0.001;
inline constexpr std::int64_t kWorseRequests_min = 100;  // of the candidate, before the test says anything
// A candidate that can't be loaded for so long is given up.
inline constexpr Duration kLoadPatience = std::chrono::minutes(10);

struct ReleaseStep {
  enum class Kind { shadow, canary, full } kind = Kind::full;
  double weight = 0;  // of a canary, 0 to 1
  Duration lasts{};   // of a full step: nothing, its probation says
  bool operator==(const ReleaseStep&) const = default;
};

// "shadow 1h", "canary 5%", "canary 5% 30m", "full". unimplemented for steps that are not built yet; invalid_argument
// `loop.bad_step`.
Result<ReleaseStep> parse_release_step(std::string_view text);
// What is wrong with a list of steps; "" when nothing is. It ends with full, and weights do not fall.
std::string bad_release_steps(const std::vector<std::string>& steps);

// Requests since the release began, and how many of them the version itself failed; clients' mistakes are not counted.
struct ReleaseCounts {
  std::int64_t candidate = 0, candidate_failed = 0;
  std::int64_t previous = 0, previous_failed = 0;
  bool operator==(const ReleaseCounts&) const = default;
};

// The chance to see so many failures of the candidate, or more, if both failed alike: Fisher's exact test, one-sided.
double failure_chance(const ReleaseCounts& counts);

// After the last step the version is watched for at least so long and so many requests.
struct Probation {
  Duration time = std::chrono::minutes(10);
  std::int64_t requests = 100;
  bool operator==(const Probation&) const = default;
};

struct ReleaseSnapshot {
  ReleaseStep step;
  TimePoint since{};  // the step began
  TimePoint now{};
  ReleaseCounts counts;
  std::int64_t candidate_before = 0;  // of counts.candidate: before this step
  bool ready = false;                 // the candidate is in memory and, in the full step, answers
  std::string load_error;             // why it is not
  Probation probation;
  bool may_go_back = true;  // there is a version to go back to
};

struct ReleaseDecision {
  enum class Kind { stay, next, back, finish } kind = Kind::stay;
  std::string why;
};
ReleaseDecision decide_release(const ReleaseSnapshot& snapshot);

}  // namespace millrace::loop
