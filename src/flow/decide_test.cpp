#include "flow/decide.hpp"

#include <gtest/gtest.h>

namespace millrace::flow {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

TEST(NextAttempt, Table) {
  const RetryPolicy plain{.first = seconds(5), .factor = 3, .max = minutes(10), .jitter = 0};
  struct Case {
    int attempts, attempts_max;
    bool retryable;
    std::optional<Duration> expected;
  };
  for (const auto& [attempts, attempts_max, retryable, expected] : {
           Case{1, 3, true, seconds(5)},
           Case{2, 3, true, seconds(15)},
           Case{3, 3, true, std::nullopt},
           Case{1, 3, false, std::nullopt},
           Case{1, 1, true, std::nullopt},
           Case{5, 99, true, seconds(405)},
           Case{6, 99, true, minutes(10)},
           Case{98, 99, true, minutes(10)},  // a huge power stays finite
       }) {
    EXPECT_EQ(next_attempt(attempts, attempts_max, retryable, plain, 0.5), expected)
        << attempts << " of " << attempts_max;
  }
}

TEST(NextAttempt, JitterSpreadsAroundThePlainDelay) {
  const RetryPolicy policy{.first = seconds(10), .factor = 2, .max = minutes(10), .jitter = 0.2};
  EXPECT_EQ(next_attempt(1, 3, true, policy, 0.0), seconds(8));
  EXPECT_EQ(next_attempt(1, 3, true, policy, 0.5), seconds(10));
  EXPECT_LT(*next_attempt(1, 3, true, policy, 0.999), seconds(12));
}

TEST(JudgeLease, Table) {
  struct Case {
    JobState state;
    std::int64_t newest, token;
    LeaseVerdict expected;
  };
  for (const auto& [state, newest, token, expected] : {
           Case{JobState::running, 2, 2, LeaseVerdict::valid},
           Case{JobState::running, 2, 1, LeaseVerdict::stale},
           Case{JobState::running, 2, 3, LeaseVerdict::stale},
           Case{JobState::queued, 1, 1, LeaseVerdict::stale},  // taken away, not claimed again yet
           Case{JobState::queued, 0, 0, LeaseVerdict::stale},
           Case{JobState::done, 2, 2, LeaseVerdict::repeated},
           Case{JobState::done, 2, 1, LeaseVerdict::stale},
           Case{JobState::failed, 2, 2, LeaseVerdict::stale},
           Case{JobState::cancelled, 2, 2, LeaseVerdict::stale},
       }) {
    EXPECT_EQ(judge_lease(state, newest, token), expected) << to_text(state) << " " << newest << " " << token;
  }
}

TEST(WhatToExpire, Table) {
  const auto at = [](int s) { return SteadyPoint(seconds(s)); };
  // id, token, heard, claimed, lease, timeout, attempts, attempts_max, cancel_asked
  const Watched base{"j", 4, at(100), at(90), seconds(10), Duration{}, 1, 3, false};
  const auto with = [&](auto change) {
    auto job = base;
    change(job);
    return job;
  };
  struct Case {
    const char* name;
    Watched job;
    int now;
    std::optional<ExpiryAction> expected;
  };
  for (const auto& [name, job, now, expected] : {
           Case{"heard of lately", base, 109, std::nullopt},
           Case{"a lease ago", base, 110, ExpiryAction::requeue},
           Case{"attempts used up", with([](auto& j) { j.attempts = 3; }), 110, ExpiryAction::fail_lost},
           Case{"to be stopped anyway", with([](auto& j) { j.cancel_asked = true; }), 110, ExpiryAction::cancel},
           Case{"to be stopped, alive", with([](auto& j) { j.cancel_asked = true; }), 105, std::nullopt},
           Case{"alive, in time", with([](auto& j) { j.timeout = seconds(15); }), 105, std::nullopt},
           Case{"alive, the worker's own time", with([](auto& j) { j.timeout = seconds(5); }), 104, std::nullopt},
           Case{"alive, too long", with([](auto& j) { j.timeout = seconds(5); }), 105, ExpiryAction::fail_time},
       }) {
    const auto out = what_to_expire({&job, 1}, at(now));
    if (!expected) {
      EXPECT_TRUE(out.empty()) << name;
    } else {
      ASSERT_EQ(out.size(), 1u) << name;
      EXPECT_EQ(out[0], (Expiry{"j", 4, *expected})) << name;
    }
  }
}

}  // namespace
}  // namespace millrace::flow
