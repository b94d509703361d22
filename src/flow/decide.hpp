// What happens to jobs, decided: pure, the same input gives the same answer. jobs.cpp acts on it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "flow/job.hpp"

namespace millrace::flow {

struct RetryPolicy {
  Duration first = std::chrono::seconds(5);
  double factor = 3;
  Duration max = std::chrono::minutes(10);
  double jitter = 0.2;  // the delay is spread over 1 -+ this
};

// How long to wait after `attempts` attempts, or nothing when it is not tried again. `unit` is a random number in [0,
// 1).
std::optional<Duration> next_attempt(int attempts, int attempts_max, bool retryable, const RetryPolicy& policy,
                                     double unit);

enum class LeaseVerdict {
  valid,     // the newest claim of a running job
  repeated,  // this claim finished the job already: the same answer again
  stale,     // somebody else has it, had it since, or it is over
};
LeaseVerdict judge_lease(JobState state, std::int64_t newest_token, std::int64_t token);

// A running job as the server watches it, by the steady clock.
struct Watched {
  std::string id;
  std::int64_t token = 0;
  SteadyPoint heard{};    // the newest sign of life, or when watching began
  SteadyPoint claimed{};  // likewise for the attempt
  Duration lease{};
  Duration timeout{};  // zero: none
  int attempts = 0;
  int attempts_max = 0;
  bool cancel_asked = false;
};

enum class ExpiryAction {
  requeue,    // from its last checkpoint
  fail_lost,  // attempts used up
  fail_time,  // an attempt past its timeout: it would only be too long again
  cancel,     // lost after somebody asked to stop it
};

struct Expiry {
  std::string id;
  std::int64_t token = 0;
  ExpiryAction action = ExpiryAction::requeue;
  auto operator<=>(const Expiry&) const = default;
};

// A worker stops its own attempts at the timeout; the server gives it one lease more before it takes the job away.
std::vector<Expiry> what_to_expire(std::span<const Watched> running, SteadyPoint now);

}  // namespace millrace::flow
