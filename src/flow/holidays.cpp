#include "flow/holidays.hpp"

#include <algorithm>
#include <format>

#include "base/clock.hpp"
#include "base/text.hpp"

namespace millrace::flow {

bool is_region(std::string_view text) {
  constexpr std::size_t length_max = 32;
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  return !text.empty() && text.size() <= length_max && std::ranges::all_of(text, fits);
}

std::string holidays_file(std::string_view region) { return std::format("holidays/{}.txt", region); }

Result<std::vector<std::chrono::year_month_day>> parse_holidays(std::string_view text, std::string_view file) {
  constexpr std::size_t dates_max = 10'000, date_length = 10, shown_max = 40;
  constexpr std::string_view blank = " \t\r", mark = "\xEF\xBB\xBF";  // some editors begin a file with that mark
  std::vector<std::chrono::year_month_day> out;
  if (text.starts_with(mark)) text.remove_prefix(mark.size());
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line = line.substr(0, line.find('#'));
    if (const auto first = line.find_first_not_of(blank); first == line.npos)
      continue;
    else
      line.remove_prefix(first);
    const auto date = parse_time(line.substr(0, date_length));
    const bool alone = line.size() <= date_length || line[date_length] == ',' || blank.contains(line[date_length]);
    if (line.size() < date_length || !date || !alone)
      return fail(Code::invalid_argument, "flow.bad_holidays",
                  std::format("{}:{}: '{}' does not begin with a date such as 2026-12-25", file, number,
                              printable(line.substr(0, shown_max))));
    if (out.size() == dates_max)
      return fail(Code::invalid_argument, "flow.bad_holidays",
                  std::format("{}:{}: more than {} dates", file, number, with_thousands(dates_max)));
    out.emplace_back(std::chrono::floor<std::chrono::days>(*date));
  }
  if (out.empty())
    return fail(Code::invalid_argument, "flow.bad_holidays",
                std::format("{}: there is no date in it; write one on each line, such as 2026-12-25 Natal", file));
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  return out;
}

}  // namespace millrace::flow
