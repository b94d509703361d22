// When work that can wait may start: every hour, between two times of day, or in the quietest hours. Pure.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "flow/zone.hpp"

namespace millrace::flow {

struct Window {
  enum class Kind { any, hours, quietest };
  Kind kind = Kind::any;
  // Minutes of the day by the wall clock, [from, to); `from` after `to` runs over midnight; equal ones are the whole
  // day.
  int from = 0;
  int to = 0;
  bool weekends = false;                              // Saturdays and Sundays are open all day
  std::vector<std::chrono::year_month_day> holidays;  // and so are these days
  std::string region;  // whose holidays they are, where they come from a list (holidays.hpp)
  bool operator==(const Window&) const = default;
};

// "02:00" -> 120; nothing for anything else.
std::optional<int> parse_minute_of_day(std::string_view text);
std::string format_minute_of_day(int minute);  // "02:00"
std::string describe(const Window& window);    // "22:00-05:00, weekends, holidays of PT", "any time"

// Requests per hour of the day by the project's wall clock, summed over `days` whole days of logs.
struct HourlyRequests {
  std::array<std::uint64_t, 24> count{};
  int days = 0;
};

struct QuietHours {
  int start_hour = 3;
  std::string
      reason;  // "03:00 until there are logs of a whole day", "04:00: 12 of 3,400 requests a day fall into 04:00-06:00"
};
constexpr int quiet_hours_length = 2;

// The two hours with the fewest requests; of equals, those that begin nearest to 03:00. 03:00 until there are logs of
// at least one whole day with at least 100 requests.
QuietHours quietest(const HourlyRequests& requests);

// May something start now? With `yes` false, `when` is the first moment at which it may, and `why` says so for a
// person. Asked again at `when`, the answer is yes. A window that does not exist on a day (it lies in the hour skipped
// in spring) does not open on that day.
struct Start {
  bool yes = true;
  TimePoint when{};
  std::string why;
};
Start may_start(const Window& window, TimePoint now, const Zone& zone, const QuietHours& quiet = {});

}  // namespace millrace::flow
