#include "flow/schedule.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <format>
#include <vector>

namespace millrace::flow {
namespace {

namespace chr = std::chrono;

constexpr std::array<std::string_view, 7> weekday_names = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
constexpr std::array<std::string_view, 12> month_names = {"jan", "feb", "mar", "apr", "may", "jun",
                                                          "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::uint32_t missed_max = 1000;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::vector<std::string_view> words(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  while (true) {
    const auto end = text.find(separator);
    if (separator != ' ' || end != 0) out.push_back(text.substr(0, end));
    if (end == text.npos) break;
    text.remove_prefix(end + 1);
  }
  if (separator == ' ') std::erase(out, std::string_view());
  return out;
}

std::optional<int> whole(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty() || text[0] == '-') return {};
  return value;
}

// "02:00" -> 120.
std::optional<int> minute_of_day(std::string_view text) {
  const auto parts = words(text, ':');
  if (parts.size() != 2 || parts[0].empty() || parts[0].size() > 2 || parts[1].size() != 2) return {};
  const auto hour = whole(parts[0]), minute = whole(parts[1]);
  if (!hour || !minute || *hour > 23 || *minute > 59) return {};
  return *hour * 60 + *minute;
}

struct Field {
  std::string_view name;
  int low = 0, high = 0;
  std::span<const std::string_view> names = {};  // names[0] stands for `low`
};

std::optional<int> field_value(std::string_view text, const Field& field) {
  for (std::size_t i = 0; i < field.names.size(); ++i)
    if (text == field.names[i]) return static_cast<int>(i) + field.low;
  return whole(text);
}

// One cron field into its set of values: "*", "5", "1-5", "*/15", "10-40/10", "mon-fri", lists of these.
Result<std::vector<int>> parse_field(std::string_view text, const Field& field) {
  const auto bad = [&](std::string_view part) {
    return fail(Code::invalid_argument, "flow.bad_schedule",
                std::format("\"{}\" is not a {}: expected {}-{}, a range, a list, * or */n", part, field.name,
                            field.low, field.high));
  };
  std::vector<int> out;
  for (const std::string_view part : words(text, ',')) {
    const auto slash = part.find('/');
    const std::string_view range = part.substr(0, slash);
    int step = 1, low = field.low, high = field.high;
    if (slash != part.npos) {
      const auto value = whole(part.substr(slash + 1));
      if (!value || *value < 1) return bad(part);
      step = *value;
    }
    if (range != "*") {
      const auto dash = range.find('-');
      const auto first = field_value(range.substr(0, dash), field);
      const auto last = dash == range.npos ? first : field_value(range.substr(dash + 1), field);
      if (!first || !last || *first < field.low || *last > field.high || *first > *last) return bad(part);
      low = *first;
      if (dash != range.npos || slash == part.npos) high = *last;  // "5/10" is 5, 15, 25, ... as in Vixie's
    }
    for (int value = low; value <= high; value += step) out.push_back(value);
  }
  return out;
}

Schedule all_days() {
  Schedule out;
  for (int day = 1; day <= 31; ++day) out.days.set(day);
  for (int month = 1; month <= 12; ++month) out.months.set(month);
  out.weekdays.set();
  return out;
}

Result<std::vector<int>> parse_weekdays(std::string_view text) {
  if (text == "weekdays") return std::vector{1, 2, 3, 4, 5};
  if (text == "weekends") return std::vector{0, 6};
  std::vector<int> out;
  for (const std::string_view part : words(text, ',')) {
    const auto dash = part.find('-');
    const auto index = [](std::string_view name) -> std::optional<int> {
      constexpr std::array<std::string_view, 7> full = {"sunday",   "monday", "tuesday", "wednesday",
                                                        "thursday", "friday", "saturday"};
      for (int i = 0; i < 7; ++i)
        if (name == weekday_names[i] || name == full[i]) return i;
      return {};
    };
    const auto first = index(part.substr(0, dash));
    const auto last = dash == part.npos ? first : index(part.substr(dash + 1));
    if (!first || !last)
      return fail(Code::invalid_argument, "flow.bad_schedule",
                  std::format("\"{}\" is not a day of the week such as Mon", part));
    for (int day = *first;; day = (day + 1) % 7) {  // "Sat-Mon" goes round
      out.push_back(day);
      if (day == *last) break;
    }
  }
  return out;
}

Result<Schedule> parse_cron(const std::vector<std::string_view>& fields) {
  static constexpr std::array<std::string_view, 7> weekday_order = weekday_names;
  TRY(const auto minutes, parse_field(fields[0], {"minute", 0, 59}));
  TRY(const auto hours, parse_field(fields[1], {"hour", 0, 23}));
  TRY(const auto days, parse_field(fields[2], {"day of the month", 1, 31}));
  TRY(const auto months, parse_field(fields[3], {"month", 1, 12, month_names}));
  TRY(const auto weekdays, parse_field(fields[4], {"day of the week", 0, 7, weekday_order}));
  Schedule out;
  std::bitset<24> each_hour;
  for (const int hour : hours) {
    each_hour.set(hour);
    for (const int minute : minutes) out.minutes.set(hour * 60 + minute);
  }
  for (const int day : days) out.days.set(day);
  for (const int month : months) out.months.set(month);
  for (const int weekday : weekdays) out.weekdays.set(weekday % 7);
  out.either_day = fields[2][0] != '*' && fields[4][0] != '*';
  out.every_hour = each_hour.all();
  return out;
}

Result<Schedule> parse_every(std::string_view text) {
  auto step = parse_duration(text);
  if (!step)
    return fail(Code::invalid_argument, "flow.bad_schedule",
                std::format("\"every {}\": expected a duration such as \"every 6h\"", text));
  if (*step < chr::minutes(1) || *step > chr::days(366) || *step % chr::minutes(1) != Duration::zero())
    return fail(Code::invalid_argument, "flow.bad_schedule",
                std::format("\"every {}\": expected whole minutes, from 1 minute to 366 days", text));
  Schedule out = all_days();
  if (*step % chr::days(1) == Duration::zero()) {
    out.minutes.set(0);
    out.every_days = static_cast<int>(*step / chr::days(1));
  } else if (Duration(chr::days(1)) % *step == Duration::zero()) {
    const auto minutes = static_cast<int>(*step / chr::minutes(1));
    for (int minute = 0; minute < 1440; minute += minutes) out.minutes.set(minute);
    out.every_hour = 60 % minutes == 0;
  } else {
    out.grid = *step;
  }
  return out;
}

bool matches(const Schedule& schedule, chr::local_days day) {
  const chr::year_month_day date(day);
  if (!schedule.months.test(static_cast<unsigned>(date.month()))) return false;
  const bool by_date = schedule.days.test(static_cast<unsigned>(date.day()));
  const bool by_weekday = schedule.weekdays.test(chr::weekday(day).c_encoding());
  if (schedule.either_day ? !by_date && !by_weekday : !by_date || !by_weekday) return false;
  const auto number = day.time_since_epoch().count();
  return (number % schedule.every_days + schedule.every_days) % schedule.every_days == 0;
}

// The first fire of that wall-clock day after `after`.
std::optional<TimePoint> first_on(const Schedule& schedule, chr::local_days day, TimePoint after, const Zone& zone) {
  const LocalTime midnight(day);
  const Zone::Moments begin = zone.moments(midnight), end = zone.moments(midnight + chr::days(1));
  const bool plain = !begin.gap && !begin.twice && !end.gap && !end.twice && end.first - begin.first == chr::days(1);
  std::optional<TimePoint> best;
  const auto offer = [&](TimePoint at) {
    if (at > after && (!best || at < *best)) best = at;
  };
  for (int minute = 0; minute < 1440; ++minute) {
    if (!schedule.minutes.test(minute)) continue;
    if (plain) {  // no change of the clock on this day: nearly always
      offer(begin.first + chr::minutes(minute));
      if (best) break;
      continue;
    }
    const Zone::Moments at = zone.moments(midnight + chr::minutes(minute));
    if (at.gap && schedule.every_hour) continue;  // the next hour that exists has a fire of its own
    offer(at.first);
    if (at.twice && schedule.every_hour) offer(at.second);
  }
  return best;
}

bool ever_fires(const Schedule& schedule) {
  if (schedule.grid != Duration::zero()) return true;
  if (schedule.minutes.none() || schedule.months.none()) return false;
  const chr::local_days leap_year = chr::local_days(chr::year(2024) / 1 / 1);
  for (int day = 0; day < 366; ++day) {
    Schedule any = schedule;
    any.every_days = 1;
    if (!any.either_day) any.weekdays.set();  // a date meets each weekday in some year
    if (matches(any, leap_year + chr::days(day))) return true;
  }
  return false;
}

}  // namespace

Result<Schedule> parse_schedule(std::string_view text) {
  const std::string lowered = lower(text);
  const auto parts = words(lowered, ' ');
  const auto bad = [&](std::string_view why) {
    return fail(
        Code::invalid_argument, "flow.bad_schedule",
        std::format(
            "\"{}\" is not a schedule{}{}; expected \"hourly\", \"daily\", \"weekly\", \"daily 02:00\", \"Mon 06:00\", "
            "\"every 6h\" or five cron fields such as \"0 2 * * 1-5\"",
            text.substr(0, 60), why.empty() ? "" : ": ", why));
  };
  if (parts.empty() || parts.size() > 5 || text.size() > 400) return bad("");
  Schedule out = all_days();
  if (parts.size() == 5) {
    auto cron = parse_cron(parts);
    if (!cron) return bad(cron.error().message);
    out = *std::move(cron);
  } else if (parts[0] == "every" && parts.size() == 2) {
    TRY(out, parse_every(parts[1]));
  } else if (parts.size() == 1 && parts[0] == "hourly") {
    for (int hour = 0; hour < 24; ++hour) out.minutes.set(hour * 60);
    out.every_hour = true;
  } else if (parts.size() <= 2) {
    const bool by_weekday = parts[0] != "daily" && parts[0] != "weekly" && parts[0] != "monthly";
    if (by_weekday) {
      if (parts.size() == 1) return bad("");
      auto days = parse_weekdays(parts[0]);
      if (!days) return bad(days.error().message);
      out.weekdays.reset();
      for (const int day : *days) out.weekdays.set(day);
    } else if (parts[0] == "weekly") {
      out.weekdays.reset();
      out.weekdays.set(1);
    } else if (parts[0] == "monthly") {
      out.days.reset();
      out.days.set(1);
    }
    const auto minute = parts.size() == 2 ? minute_of_day(parts[1]) : std::optional(0);
    if (!minute) return bad(std::format("\"{}\" is not a time of day such as 02:00", parts[1]));
    out.minutes.set(*minute);
  } else {
    return bad("");
  }
  if (!ever_fires(out)) return bad("there is no such day");
  out.text = std::string(text);
  return out;
}

TimePoint next_fire(const Schedule& schedule, TimePoint after, const Zone& zone) {
  if (schedule.grid != Duration::zero()) {
    const Duration since = after.time_since_epoch();
    auto steps = since / schedule.grid;
    if (since < Duration::zero() && since % schedule.grid != Duration::zero()) --steps;
    return TimePoint(schedule.grid * (steps + 1));
  }
  // A fire of the day before may lie after `after` (a time skipped at midnight), so one day back. The longest pause:
  // every 366 days, or 29 February on one weekday over a century that is no leap year (40 years).
  constexpr int days_max = 41 * 366;
  const auto first_day = chr::floor<chr::days>(zone.local(after)) - chr::days(1);
  for (int i = 0; i < days_max; ++i) {
    const chr::local_days day = first_day + chr::days(i);
    if (!matches(schedule, day)) continue;
    auto fire = first_on(schedule, day, after, zone);
    if (!fire) continue;
    // Where the clock changes at midnight the next day's first fire may come before this day's last one.
    if (matches(schedule, day + chr::days(1)))
      if (const auto other = first_on(schedule, day + chr::days(1), after, zone); other && *other < *fire) fire = other;
    return *fire;
  }
  return TimePoint::max();  // parse_schedule lets no such schedule through
}

std::optional<Due> due(const Schedule& schedule, TimePoint last, TimePoint now, const Zone& zone) {
  const TimePoint first = next_fire(schedule, last, zone);
  if (first > now) return {};
  Due out{first, 0, next_fire(schedule, now, zone)};
  for (TimePoint at = next_fire(schedule, first, zone); at <= now && out.missed < missed_max;
       at = next_fire(schedule, at, zone))
    ++out.missed;
  return out;
}

}  // namespace millrace::flow
