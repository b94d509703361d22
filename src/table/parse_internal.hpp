// Text to numbers and times: strict, whole text, no locale, no blanks. Shared by value.cpp and the CSV reader.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "table/value.hpp"

namespace millrace::table {

std::optional<bool> parse_boolean_word(std::string_view text);  // true, false in any case; nothing else
// [+-]digits. A second digit after a leading zero is not a number: "007" is a name, and keeps its zeros as text.
enum class IntegerParse { ok, not_integer, leading_zero, too_big };
IntegerParse parse_integer(std::string_view text, std::int64_t& out);
std::optional<double> parse_float(std::string_view text);  // decimal, exponent, inf, infinity, nan
std::optional<Date> parse_date(std::string_view text);     // [-]YYYY-MM-DD that exists
// Date, then 'T' or a blank, HH:MM[:SS[.fraction]], then nothing, 'Z', or an offset +HH[:MM].
std::optional<Timestamp> parse_timestamp(std::string_view text);

// The first byte which is not part of valid UTF-8 (and of no NUL); text.size() when there is none.
std::size_t find_bad_utf8(std::string_view text);

}  // namespace millrace::table
