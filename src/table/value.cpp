#include "table/value.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "table/parse_internal.hpp"

namespace millrace::table {

namespace {

constexpr std::array<std::string_view, 6> type_names = {"boolean", "int64", "float64", "text", "date", "timestamp"};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (std::size_t i = 0; i < text.size(); i++) {
    char c = text[i];
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c != lower[i]) return false;
  }
  return true;
}

// Reads exactly `digits` digits from the front of `text`; -1 when they are not there.
int take_digits(std::string_view& text, std::size_t digits) {
  if (text.size() < digits) return -1;
  int value = 0;
  for (std::size_t i = 0; i < digits; i++) {
    if (!is_digit(text[i])) return -1;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

// Takes [-]YYYY-MM-DD (4 to 6 year digits) from the front.
std::optional<Date> take_date(std::string_view& text) {
  const bool negative = take(text, '-');
  std::size_t year_digits = 0;
  while (year_digits < text.size() && is_digit(text[year_digits])) year_digits++;
  if (year_digits < 4 || year_digits > 6) return std::nullopt;
  int year = take_digits(text, year_digits);
  if (negative) year = -year;
  if (!take(text, '-')) return std::nullopt;
  const int month = take_digits(text, 2);
  if (month < 1 || month > 12 || !take(text, '-')) return std::nullopt;
  const int day = take_digits(text, 2);
  if (day < 1 || day > 31) return std::nullopt;
  // chrono's year holds 16 bits; the days of wider years follow from the 400-year cycle.
  const int cycles = year >= 0 ? year / 400 : -((-year + 399) / 400);
  const std::chrono::year_month_day date{std::chrono::year(year - cycles * 400), std::chrono::month(unsigned(month)),
                                         std::chrono::day(unsigned(day))};
  if (!date.ok()) return std::nullopt;
  return Date{static_cast<std::int32_t>(std::chrono::sys_days(date).time_since_epoch().count() + cycles * 146097)};
}

std::string date_text(std::int64_t days) {
  std::int64_t cycles = days / 146097;
  if (days % 146097 < 0) cycles--;
  const std::chrono::year_month_day date{
      std::chrono::sys_days(std::chrono::days(static_cast<int>(days - cycles * 146097)))};
  const std::int64_t year = int(date.year()) + cycles * 400;
  char buffer[40];
  const int length =
      std::snprintf(buffer, sizeof buffer, "%s%04lld-%02u-%02u", year < 0 ? "-" : "",
                    static_cast<long long>(std::abs(year)), unsigned(date.month()), unsigned(date.day()));
  return std::string(buffer, static_cast<std::size_t>(length));
}

std::string timestamp_text(std::int64_t us) {
  constexpr std::int64_t day_us = 86'400'000'000;
  std::int64_t days = us / day_us;
  std::int64_t rest = us % day_us;
  if (rest < 0) {
    rest += day_us;
    days--;
  }
  const long long seconds = rest / 1'000'000, fraction = rest % 1'000'000;
  char buffer[40];
  int length =
      std::snprintf(buffer, sizeof buffer, "T%02lld:%02lld:%02lld", seconds / 3600, seconds / 60 % 60, seconds % 60);
  std::string out = date_text(days);
  out.append(buffer, static_cast<std::size_t>(length));
  if (fraction != 0) {
    length = std::snprintf(buffer, sizeof buffer, ".%06lld", fraction);
    out.append(buffer, static_cast<std::size_t>(length));
  }
  return out + "Z";
}

template <class T>
std::string number_text(T value) {
  char buffer[40];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, end);
}

std::unexpected<Error> bad_value(std::string_view text, std::string_view expected) {
  return fail(Code::invalid_argument, "table.bad_value", "'" + excerpt(text, 60) + "' is not " + std::string(expected));
}

}  // namespace

std::string_view type_name(Type type) { return type_names[static_cast<std::size_t>(type)]; }

Result<Type> parse_type(std::string_view name) {
  for (std::size_t i = 0; i < type_names.size(); i++) {
    if (type_names[i] == name) return static_cast<Type>(i);
  }
  return fail(
      Code::invalid_argument, "table.bad_type",
      "'" + std::string(name) + "' is no column type; there are boolean, int64, float64, text, date, timestamp");
}

std::optional<bool> parse_boolean_word(std::string_view text) {
  if (equals_ignoring_case(text, "true")) return true;
  if (equals_ignoring_case(text, "false")) return false;
  return std::nullopt;
}

IntegerParse parse_integer(std::string_view text, std::int64_t& out) {
  std::string_view digits = text;
  if (!digits.empty() && (digits.front() == '-' || digits.front() == '+')) digits.remove_prefix(1);
  if (digits.empty()) return IntegerParse::not_integer;
  for (const char c : digits) {
    if (!is_digit(c)) return IntegerParse::not_integer;
  }
  if (digits.size() > 1 && digits.front() == '0') return IntegerParse::leading_zero;
  const char* begin = text.front() == '+' ? digits.data() : text.data();
  const auto [end, error] = std::from_chars(begin, text.data() + text.size(), out);
  return error == std::errc() ? IntegerParse::ok : IntegerParse::too_big;
}

std::optional<double> parse_float(std::string_view text) {
  if (!text.empty() && text.front() == '+') {
    text.remove_prefix(1);
    if (!text.empty() && (text.front() == '-' || text.front() == '+')) return std::nullopt;
  }
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size() || text.empty()) return std::nullopt;
  if (error == std::errc::result_out_of_range) {
    // Too big or too small for a double: what IEEE rounding gives.
    return std::strtod(std::string(text).c_str(), nullptr);
  }
  if (error != std::errc()) return std::nullopt;
  if (std::isnan(value)) {
    // from_chars also takes nan(chars), -nan: only the plain word is a number here.
    return equals_ignoring_case(text, "nan") ? std::optional(std::nan("")) : std::nullopt;
  }
  return value;
}

std::optional<Date> parse_date(std::string_view text) {
  const auto date = take_date(text);
  return text.empty() ? date : std::nullopt;
}

std::optional<Timestamp> parse_timestamp(std::string_view text) {
  const auto date = take_date(text);
  if (!date || (!take(text, 'T') && !take(text, ' '))) return std::nullopt;
  const int hours = take_digits(text, 2);
  if (hours < 0 || hours > 23 || !take(text, ':')) return std::nullopt;
  const int minutes = take_digits(text, 2);
  if (minutes < 0 || minutes > 59) return std::nullopt;
  int seconds = 0;
  std::int64_t us = 0;
  if (take(text, ':')) {
    seconds = take_digits(text, 2);
    if (seconds < 0 || seconds > 59) return std::nullopt;
    if (take(text, '.')) {
      std::int64_t unit = 100'000;
      std::size_t digits = 0;
      for (; !text.empty() && is_digit(text.front()); text.remove_prefix(1), digits++, unit /= 10) {
        us += (text.front() - '0') * unit;
      }
      if (digits == 0 || digits > 9) return std::nullopt;
    }
  }
  int offset_minutes = 0;
  if (!take(text, 'Z') && !text.empty()) {
    const bool west = text.front() == '-';
    if (!take(text, '-') && !take(text, '+')) return std::nullopt;
    const int offset_hours = take_digits(text, 2);
    take(text, ':');
    const int rest = text.empty() ? 0 : take_digits(text, 2);
    if (offset_hours < 0 || offset_hours > 15 || rest < 0 || rest > 59) return std::nullopt;
    offset_minutes = (offset_hours * 60 + rest) * (west ? -1 : 1);
  }
  if (!text.empty()) return std::nullopt;
  const std::int64_t total = ((hours * 60 + minutes - offset_minutes) * 60LL + seconds) * 1'000'000 + us;
  std::int64_t out = 0;
  if (__builtin_mul_overflow(std::int64_t(date->days), std::int64_t(86'400'000'000), &out) ||
      __builtin_add_overflow(out, total, &out)) {
    return std::nullopt;
  }
  return Timestamp{out};
}

std::size_t find_bad_utf8(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  std::size_t i = 0;
  while (i < text.size()) {
    if (i + 8 <= text.size()) {
      std::uint64_t word = 0;
      std::memcpy(&word, text.data() + i, 8);
      const bool has_zero = ((word - 0x0101010101010101ULL) & ~word & 0x8080808080808080ULL) != 0;
      if ((word & 0x8080808080808080ULL) == 0 && !has_zero) {
        i += 8;
        continue;
      }
    }
    const unsigned char c = byte(i);
    if (c == 0) return i;
    if (c < 0x80) {
      i++;
      continue;
    }
    const std::size_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc2 || c > 0xf4 || i + length > text.size()) return i;
    for (std::size_t k = 1; k < length; k++) {
      if ((byte(i + k) & 0xc0) != 0x80) return i;
    }
    const unsigned char second = byte(i + 1);  // no overlong forms, no surrogates, nothing past U+10FFFF
    if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) || (c == 0xf0 && second < 0x90) ||
        (c == 0xf4 && second > 0x8f)) {
      return i;
    }
    i += length;
  }
  return i;
}

std::string excerpt(std::string_view text, std::size_t bytes_max) {
  constexpr std::string_view dots = "...";
  const bool whole = text.size() <= bytes_max;
  std::string out(whole ? text : text.substr(0, bytes_max - std::min(bytes_max, dots.size())));
  // Cut behind a whole character: the bytes 10xxxxxx continue one.
  if (!whole) {
    std::size_t end = out.size();
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) end--;
    out.resize(end);
  }
  for (char& c : out) c = (c >= 0 && c < ' ') || c == 0x7f ? ' ' : c;  // a message stays on its line
  for (std::size_t bad = find_bad_utf8(out); bad < out.size(); bad = find_bad_utf8(out)) out[bad] = '?';
  return whole ? out : out + std::string(dots);
}

std::string to_text(const Value& value) {
  struct Visitor {
    std::string operator()(std::monostate) const { return {}; }
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(std::int64_t v) const { return number_text(v); }
    std::string operator()(double v) const { return std::isnan(v) ? "nan" : number_text(v); }
    std::string operator()(const std::string& v) const { return v; }
    std::string operator()(Date v) const { return date_text(v.days); }
    std::string operator()(Timestamp v) const { return timestamp_text(v.us); }
  };
  return std::visit(Visitor{}, value);
}

Result<Value> from_text(std::string_view text, Type type) {
  if (text.empty()) return Value{};
  switch (type) {
    case Type::boolean: {
      if (const auto word = parse_boolean_word(text)) return Value{*word};
      if (text == "1") return Value{true};
      if (text == "0") return Value{false};
      return bad_value(text, "true or false");
    }
    case Type::int64: {
      std::int64_t value = 0;
      switch (parse_integer(text, value)) {
        case IntegerParse::ok:
          return Value{value};
        case IntegerParse::too_big:
          return bad_value(text, "a whole number of 64 bits");
        default:
          return bad_value(text, "a whole number");
      }
    }
    case Type::float64:
      if (const auto value = parse_float(text)) return Value{*value};
      return bad_value(text, "a number");
    case Type::text:
      return Value{std::string(text)};
    case Type::date:
      if (const auto value = parse_date(text)) return Value{*value};
      return bad_value(text, "a date (YYYY-MM-DD)");
    case Type::timestamp:
      if (const auto value = parse_timestamp(text)) return Value{*value};
      if (const auto value = parse_date(text)) return Value{Timestamp{value->days * 86'400'000'000LL}};
      return bad_value(text, "a time (YYYY-MM-DD HH:MM:SS)");
  }
  return bad_value(text, "of a known type");
}

int Schema::index_of(std::string_view name) const {
  for (std::size_t i = 0; i < fields.size(); i++) {
    if (fields[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

}  // namespace millrace::table
