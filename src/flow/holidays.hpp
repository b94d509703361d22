// Lists of holidays: a file for each region. Pure.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace millrace::flow {

// "PT", "DE-BY": letters, digits, '-' and '_', at most 32; so that it is one file's name.
bool is_region(std::string_view text);
// "holidays/PT.txt", beside the project file.
std::string holidays_file(std::string_view region);

// A date on each line, and what it is called after a space or comma if anybody likes: "2026-12-25 Natal". Empty lines
// and what follows a '#' count for nothing. The dates come sorted, each once. invalid_argument `flow.bad_holidays` with
// `file` and the line, for a line that does not begin with a date that exists, for more than 10,000 dates, for none.
Result<std::vector<std::chrono::year_month_day>> parse_holidays(std::string_view text, std::string_view file);

}  // namespace millrace::flow
