#include "base/clock.hpp"

#include <fmt/format.h>
#include <time.h>

#include <array>
#include <charconv>
#include <limits>
#include <optional>

namespace millrace {
namespace {

std::int64_t read_clock_us(clockid_t which) {
  timespec ts{};
  clock_gettime(which, &ts);
  return std::int64_t{ts.tv_sec} * 1'000'000 + ts.tv_nsec / 1'000;
}

// Reads text from the left; each step says whether it matched.
struct Reader {
  std::string_view rest;

  bool take(char c) {
    if (rest.empty() || rest.front() != c) return false;
    rest.remove_prefix(1);
    return true;
  }
  // Exactly `width` digits.
  bool digits(int width, int& out) {
    if (rest.size() < static_cast<std::size_t>(width)) return false;
    out = 0;
    for (int i = 0; i < width; ++i) {
      if (rest[i] < '0' || rest[i] > '9') return false;
      out = out * 10 + (rest[i] - '0');
    }
    rest.remove_prefix(width);
    return true;
  }
};

bool read_date(Reader& r, std::chrono::year_month_day& out) {
  int y = 0, m = 0, d = 0;
  if (!r.digits(4, y) || !r.take('-') || !r.digits(2, m) || !r.take('-') || !r.digits(2, d)) return false;
  out = std::chrono::year{y} / m / d;
  return out.ok();
}

bool read_time_of_day(Reader& r, Duration& out) {
  int h = 0, m = 0, s = 0;
  if (!r.digits(2, h) || !r.take(':') || !r.digits(2, m)) return false;
  if (r.take(':') && !r.digits(2, s)) return false;
  if (h > 23 || m > 59 || s > 59) return false;
  std::int64_t fraction = 0;
  if (r.take('.')) {
    int count = 0;
    for (int digit = 0; r.digits(1, digit); ++count) {
      if (count < 6) fraction = fraction * 10 + digit;
    }
    if (count == 0 || count > 9) return false;
    for (; count < 6; ++count) fraction *= 10;
  }
  out = std::chrono::hours(h) + std::chrono::minutes(m) + std::chrono::seconds(s) + Duration(fraction);
  return true;
}

bool read_offset(Reader& r, Duration& out) {
  out = {};
  if (r.take('Z') || r.take('z') || r.rest.empty()) return true;
  int h = 0, m = 0;
  const bool minus = r.take('-');
  if (!minus && !r.take('+')) return false;
  if (!r.digits(2, h)) return false;
  r.take(':');
  if (!r.digits(2, m) || h > 23 || m > 59) return false;
  out = std::chrono::hours(h) + std::chrono::minutes(m);
  if (minus) out = -out;
  return true;
}

struct Unit {
  std::string_view name;
  std::int64_t factor;
};

constexpr std::array<Unit, 7> duration_units{{{"w", 604'800'000'000},
                                              {"d", 86'400'000'000},
                                              {"h", 3'600'000'000},
                                              {"m", 60'000'000},
                                              {"s", 1'000'000},
                                              {"ms", 1'000},
                                              {"us", 1}}};

constexpr std::array<Unit, 10> size_units{{{"", 1},
                                           {"B", 1},
                                           {"KB", 1'000},
                                           {"MB", 1'000'000},
                                           {"GB", 1'000'000'000},
                                           {"TB", 1'000'000'000'000},
                                           {"KiB", 1LL << 10},
                                           {"MiB", 1LL << 20},
                                           {"GiB", 1LL << 30},
                                           {"TiB", 1LL << 40}}};

// "<digits>[space]<unit>", not negative, no overflow.
template <std::size_t n>
std::optional<std::int64_t> read_quantity(std::string_view text, const std::array<Unit, n>& units) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || value < 0 || text.front() == '-') return std::nullopt;
  auto unit = text.substr(end - text.data());
  if (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  for (const auto& [name, factor] : units) {
    if (name != unit) continue;
    if (value > std::numeric_limits<std::int64_t>::max() / factor) return std::nullopt;
    return value * factor;
  }
  return std::nullopt;
}

}  // namespace

TimePoint SystemClock::now() { return TimePoint(Duration(read_clock_us(CLOCK_REALTIME))); }

SteadyPoint SystemClock::steady() { return SteadyPoint(Duration(read_clock_us(CLOCK_MONOTONIC))); }

std::string format_time(TimePoint time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss<Duration> clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
}

Result<TimePoint> parse_time(std::string_view text) {
  Reader r{text};
  std::chrono::year_month_day date;
  Duration of_day{}, offset{};
  bool good = read_date(r, date);
  if (good && !r.rest.empty()) {
    good = (r.take('T') || r.take('t') || r.take(' ')) && read_time_of_day(r, of_day) && read_offset(r, offset) &&
           r.rest.empty();
  }
  if (!good) {
    return fail(Code::invalid_argument, "base.bad_time",
                fmt::format("'{}' is not a time; write it like 2026-11-20T09:40:00Z or 2026-11-20", text));
  }
  return TimePoint(std::chrono::sys_days(date)) + of_day - offset;
}

Result<Duration> parse_duration(std::string_view text) {
  if (auto us = read_quantity(text, duration_units)) return Duration(*us);
  return fail(
      Code::invalid_argument, "base.bad_duration",
      fmt::format("'{}' is not a duration; write a whole number and a unit, such as 250ms, 90s, 15m, 6h, 30d, 2w",
                  text));
}

std::string format_duration(Duration duration) {
  const auto us = duration.count();
  if (us == 0) return "0s";
  std::string best;
  for (const auto& [name, factor] : duration_units) {
    if (us % factor != 0) continue;
    auto text = fmt::format("{}{}", us / factor, name);
    if (best.empty() || text.size() < best.size()) best = std::move(text);
  }
  return best;
}

Result<long long> parse_size(std::string_view text) {
  if (auto bytes = read_quantity(text, size_units)) return *bytes;
  return fail(
      Code::invalid_argument, "base.bad_size",
      fmt::format("'{}' is not a size; write a whole number and a unit, such as 512, 64KB, 50MB, 8GB, 2GiB", text));
}

std::string format_size(long long bytes) {
  if (bytes > -1'000 && bytes < 1'000) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  constexpr std::array names{"B", "KB", "MB", "GB", "TB", "PB", "EB"};
  std::size_t unit = 0;
  // 999.95 would print as "1000.0".
  while ((value >= 999.95 || value <= -999.95) && unit + 1 < names.size()) {
    value /= 1'000;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, names[unit]);
}

}  // namespace millrace
