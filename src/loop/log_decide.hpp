// When closed log segments become Parquet, when they may be removed, which rows retention lets go, and what the log
// says about quiet hours. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "flow/window.hpp"
#include "flow/zone.hpp"
#include "loop/jobs.hpp"

namespace millrace::loop {

constexpr std::uint64_t roll_bytes_min = 64u << 20;        // of closed segments
constexpr Duration roll_age_max = std::chrono::hours(24);  // of the oldest line
constexpr std::uint64_t roll_bytes_max = 256u << 20;       // of one job; the next takes the rest
constexpr Duration roll_retry = std::chrono::minutes(10);  // after one that failed

struct LogSegment {
  std::uint64_t number = 0;
  std::uint64_t bytes = 0;
};
struct RollSnapshot {
  TimePoint now{};
  std::vector<LogSegment> segments;  // that are not rolled, in order; the last may still be written to
  std::uint64_t closed_through = 0;
  std::optional<TimePoint> oldest;     // of the first of them: no line is older
  bool asked = false;                  // by hand: everything, now
  std::optional<Duration> failed_ago;  // since the newest roll, if it failed; by the steady clock
  std::uint64_t bytes_max = 0;         // of the segments; 0: no bound. They are rolled when they have half of it
};
struct RollDecision {
  bool close = false;         // the present segment first; then decide again
  std::uint64_t through = 0;  // roll up to this one; 0: nothing now
  std::string cause;
  std::string waiting;  // why not, when there is something to tell
};
RollDecision decide_roll(const RollSnapshot& snapshot);

// Rolled segments up to this one have no reader left: `readers` are the last rolled segments that unfinished jobs were
// planned with.
std::uint64_t removable_through(std::uint64_t rolled_through, const std::vector<std::uint64_t>& readers);

// Which parts retention lets go: those whose newest line is older than `keep`. By place.
std::vector<std::size_t> parts_to_let_go(const std::vector<RolledPart>& parts, Duration keep, TimePoint now);

constexpr int quiet_days_min = 7;
constexpr int quiet_days_max = 28;
// Lines per hour of the project's day, over the last whole days that there are logs of, at most `quiet_days_max`. An
// hour counts where it begins.
flow::HourlyRequests requests_by_hour(const std::vector<HourRows>& hours, const flow::Zone& zone);
// flow::quietest, or 03:00 while there are logs of fewer than quiet_days_min days.
flow::QuietHours quiet_hours(const flow::HourlyRequests& requests);

}  // namespace millrace::loop
