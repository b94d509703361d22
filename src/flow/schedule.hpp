// When something that repeats is due, in a project's time zone. Pure: the same input gives the same answer.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "flow/zone.hpp"

namespace millrace::flow {

// Made by parse_schedule; compare by `text`.
struct Schedule {
  std::string text;  // as written

  // Wall-clock minutes of the day at which it fires, on the days that match.
  std::bitset<1440> minutes;
  std::bitset<32> days;     // of the month, 1-31
  std::bitset<13> months;   // 1-12
  std::bitset<7> weekdays;  // 0 = Sunday
  bool either_day = false;  // cron: with both day fields restricted, a day that matches one of them is enough
  int every_days = 1;       // every n-th day, counted from 1970-01-01
  bool every_hour = false;  // it fires in each hour, so the hour that is repeated in autumn counts twice
  Duration grid{};          // not zero: fires at the multiples of this since 1970-01-01T00:00Z, and only that

  bool operator==(const Schedule& other) const { return text == other.text; }
};

// "hourly", "daily", "weekly" (Monday), "monthly" (the 1st), at 00:00; "daily 02:00"; "Mon 06:00", "Mon,Thu 06:00",
// "Mon-Fri 06:00", "weekdays 06:00", "weekends 06:00"; "every 6h", "every 15m", "every 2d" (a part of a day or of an
// hour counts from midnight; whole days from 1970-01-01; else from 1970-01-01T00:00Z; at least 1 minute, at most 366
// days); five cron fields "0 2 * * 1-5" (* , - / and names; 7 is Sunday too). invalid_argument `flow.bad_schedule` with
// what was expected, also for one that never fires ("0 0 30 2 *").
Result<Schedule> parse_schedule(std::string_view text);

// The first moment after `after` at which it fires. A wall-clock time that does not exist on that day (spring) fires at
// the next minute that exists; one that occurs twice (autumn) fires the first time only.
TimePoint next_fire(const Schedule& schedule, TimePoint after, const Zone& zone);

// Catch-up: what was missed while the process was down runs once, not once for each.
struct Due {
  TimePoint since{};         // the first that has not run
  std::uint32_t missed = 0;  // how many fell together into this one run, less one; at most 1,000 are counted
  TimePoint next{};          // after now
  bool operator==(const Due&) const = default;
};
// `last`: when it last ran, or when the schedule was taken up. Nothing when nothing is due yet.
std::optional<Due> due(const Schedule& schedule, TimePoint last, TimePoint now, const Zone& zone);

}  // namespace millrace::flow
