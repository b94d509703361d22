#include "flow/decide.hpp"

#include <algorithm>
#include <cmath>

namespace millrace::flow {

std::optional<Duration> next_attempt(int attempts, int attempts_max, bool retryable, const RetryPolicy& policy,
                                     double unit) {
  if (!retryable || attempts >= attempts_max) return std::nullopt;
  const auto first = static_cast<double>(policy.first.count());
  const auto most = static_cast<double>(policy.max.count());
  const auto plain = std::min(most, first * std::pow(policy.factor, std::max(0, attempts - 1)));
  const auto spread = 1.0 + policy.jitter * (2.0 * unit - 1.0);
  return Duration(static_cast<Duration::rep>(std::llround(plain * spread)));
}

LeaseVerdict judge_lease(JobState state, std::int64_t newest_token, std::int64_t token) {
  if (token != newest_token || token <= 0) return LeaseVerdict::stale;
  if (state == JobState::running) return LeaseVerdict::valid;
  return state == JobState::done ? LeaseVerdict::repeated : LeaseVerdict::stale;
}

namespace {

std::optional<ExpiryAction> expiry_of(const Watched& job, SteadyPoint now) {
  if (job.timeout > Duration{} && now - job.claimed >= job.timeout + job.lease) return ExpiryAction::fail_time;
  if (now - job.heard < job.lease) return std::nullopt;
  if (job.cancel_asked) return ExpiryAction::cancel;
  return job.attempts < job.attempts_max ? ExpiryAction::requeue : ExpiryAction::fail_lost;
}

}  // namespace

std::vector<Expiry> what_to_expire(std::span<const Watched> running, SteadyPoint now) {
  std::vector<Expiry> out;
  for (const auto& job : running) {
    if (const auto action = expiry_of(job, now)) out.push_back({job.id, job.token, *action});
  }
  return out;
}

}  // namespace millrace::flow
