// A clock that moves only when told to.
#pragma once

#include <atomic>

#include "base/clock.hpp"

namespace millrace {

// Starts on Monday 2026-01-05, 00:00 UTC. Thread-safe.
class SimClock final : public Clock {
 public:
  TimePoint now() override { return TimePoint(Duration(calendar_us_.load())); }
  SteadyPoint steady() override { return SteadyPoint(Duration(steady_us_.load())); }

  void advance(Duration by) {  // both hands; `by` >= 0
    calendar_us_ += by.count();
    steady_us_ += by.count();
  }
  void step_calendar(Duration by) { calendar_us_ += by.count(); }  // somebody set the clock, back or forth
  void set(TimePoint time) { calendar_us_ = time.time_since_epoch().count(); }

 private:
  std::atomic<std::int64_t> calendar_us_ = 1'767'571'200'000'000;
  std::atomic<std::int64_t> steady_us_ = 1'000'000'000;
};

}  // namespace millrace
