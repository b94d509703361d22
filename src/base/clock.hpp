// Time, passed in. Two hands: the calendar for schedules, windows and stamps (it may jump); the steady one for leases,
// deadlines and back-off (it never goes back, its zero means nothing).
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace millrace {

using Duration = std::chrono::microseconds;
using TimePoint = std::chrono::sys_time<Duration>;  // UTC, microseconds

struct SteadyTag {
  using duration = Duration;
  using rep = Duration::rep;
  using period = Duration::period;
  using time_point = std::chrono::time_point<SteadyTag, Duration>;
  static constexpr bool is_steady = true;
};
using SteadyPoint = SteadyTag::time_point;

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint now() = 0;
  virtual SteadyPoint steady() = 0;
};

// The operating system's clocks.
class SystemClock final : public Clock {
 public:
  TimePoint now() override;
  SteadyPoint steady() override;
};

// RFC 3339 in UTC with microseconds: "2026-11-20T09:40:00.000000Z". Sorts as text.
std::string format_time(TimePoint time);
// Accepts what format_time writes, fewer or no fraction digits, a space for 'T', an offset ("+01:00"), or a date alone.
// invalid_argument `base.bad_time` otherwise.
Result<TimePoint> parse_time(std::string_view text);

// "90s", "15m", "6h", "30d", "2w", "250ms", "50us": one whole number and one unit, not negative. invalid_argument
// `base.bad_duration` otherwise.
Result<Duration> parse_duration(std::string_view text);
std::string format_duration(Duration duration);  // the shortest exact form of the above
// "512", "64KB", "50MB", "8GB" (powers of 1,000) and "KiB", "MiB", "GiB" (powers of 1,024), up to TB and TiB;
// bytes. invalid_argument `base.bad_size` otherwise.
Result<long long> parse_size(std::string_view text);
std::string format_size(long long bytes);  // "1.4 MB", for people

}  // namespace millrace
