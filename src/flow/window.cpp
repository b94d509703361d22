#include "flow/window.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <cstdlib>
#include <format>

namespace millrace::flow {
namespace {

namespace chr = std::chrono;

constexpr int day_minutes = 24 * 60;

bool open_all_day(const Window& window, chr::local_days day) {
  const unsigned weekday = chr::weekday(day).c_encoding();
  if (window.weekends && (weekday == 0 || weekday == 6)) return true;
  return std::ranges::find(window.holidays, chr::year_month_day(day)) != window.holidays.end();
}

bool is_open(const Window& window, LocalTime time) {
  const auto day = chr::floor<chr::days>(time);
  if (window.from == window.to || open_all_day(window, day)) return true;
  const auto minute = static_cast<int>((time - day) / chr::minutes(1));
  if (window.from < window.to) return minute >= window.from && minute < window.to;
  return minute >= window.from || minute < window.to;
}

}  // namespace

std::optional<int> parse_minute_of_day(std::string_view text) {
  const auto digit = [&](std::size_t at) { return text[at] >= '0' && text[at] <= '9' ? text[at] - '0' : -100; };
  if (text.size() == 4) {  // "2:00"
    if (text[1] != ':') return {};
    const int minute = digit(2) * 10 + digit(3);
    return digit(0) >= 0 && minute >= 0 && minute < 60 ? std::optional(digit(0) * 60 + minute) : std::nullopt;
  }
  if (text.size() != 5 || text[2] != ':') return {};
  for (const std::size_t at : {0u, 1u, 3u, 4u})
    if (digit(at) < 0) return {};
  const int hour = digit(0) * 10 + digit(1), minute = digit(3) * 10 + digit(4);
  if (minute >= 60 || hour * 60 + minute > day_minutes) return {};  // "24:00" is the end of the day
  return hour * 60 + minute;
}

std::string format_minute_of_day(int minute) { return std::format("{:02}:{:02}", minute / 60, minute % 60); }

std::string describe(const Window& window) {
  switch (window.kind) {
    case Window::Kind::any:
      return "any time";
    case Window::Kind::quietest:
      return "the quietest hours";
    case Window::Kind::hours:
      break;
  }
  std::string out = format_minute_of_day(window.from) + "-" + format_minute_of_day(window.to);
  if (window.weekends) out += ", weekends";
  if (!window.region.empty())
    out += ", holidays of " + window.region;
  else if (!window.holidays.empty())
    out += std::format(", {} holiday{}", window.holidays.size(), window.holidays.size() == 1 ? "" : "s");
  return out;
}

QuietHours quietest(const HourlyRequests& requests) {
  constexpr std::uint64_t requests_min = 100;
  std::uint64_t total = 0;
  for (const std::uint64_t count : requests.count) total += count;
  QuietHours out;
  if (requests.days < 1 || total < requests_min) {
    out.reason = "quietest hour unknown yet, 03:00 until then";
    return out;
  }
  const auto sum_from = [&](int start) {
    std::uint64_t sum = 0;
    for (int i = 0; i < quiet_hours_length; ++i) sum += requests.count[static_cast<std::size_t>((start + i) % 24)];
    return sum;
  };
  const auto far = [](int start) { return std::min(std::abs(start - 3), 24 - std::abs(start - 3)); };
  for (int start = 0; start < 24; ++start) {
    const std::uint64_t here = sum_from(start), best = sum_from(out.start_hour);
    if (here < best || (here == best && far(start) < far(out.start_hour))) out.start_hour = start;
  }
  out.reason = std::format("{} of {} requests of the last {} day{} fell into {}-{}",
                           with_thousands(static_cast<std::int64_t>(sum_from(out.start_hour))),
                           with_thousands(static_cast<std::int64_t>(total)), requests.days,
                           requests.days == 1 ? "" : "s", format_minute_of_day(out.start_hour * 60),
                           format_minute_of_day((out.start_hour + quiet_hours_length) % 24 * 60));
  return out;
}

Start may_start(const Window& window, TimePoint now, const Zone& zone, const QuietHours& quiet) {
  if (window.kind == Window::Kind::any) return {true, now, {}};
  Window hours = window;
  if (window.kind == Window::Kind::quietest) {
    hours.from = quiet.start_hour * 60;
    hours.to = (quiet.start_hour + quiet_hours_length) % 24 * 60;
  }
  if (is_open(hours, zone.local(now))) return {true, now, {}};
  // It opens at midnight of a day that is open all day (also when yesterday's window ran over midnight), or at `from`.
  const auto today = chr::floor<chr::days>(zone.local(now));
  constexpr int days_max = 8;  // one day of each kind, and one whose window the spring skipped
  for (int i = 0; i < days_max; ++i) {
    const auto day = today + chr::days(i);
    std::optional<TimePoint> opens;
    for (const int minute : {0, hours.from}) {
      const Zone::Moments at = zone.moments(LocalTime(day) + chr::minutes(minute));
      for (const TimePoint moment : {at.first, at.second})
        if (moment > now && is_open(hours, zone.local(moment)) && (!opens || moment < *opens)) opens = moment;
    }
    if (!opens) continue;
    const auto local = chr::floor<chr::minutes>(zone.local(*opens));
    const std::string span = format_minute_of_day(hours.from) + "-" + format_minute_of_day(hours.to);
    const std::string what = window.kind == Window::Kind::hours ? "its window " + describe(window)
                             : quiet.reason.empty()             ? "the quietest hours, " + span
                                                    : "the quietest hours, " + span + " (" + quiet.reason + ")";
    std::string why = std::format("waits for {}: opens {:%F %H:%M} {}", what, local, zone.name());
    return {false, *opens, std::move(why)};
  }
  return {true, now, {}};  // a window that never opens would stop the loop for good
}

}  // namespace millrace::flow
