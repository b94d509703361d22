// The closed set of column types, a single value, a schema. No Arrow here: predict servers include this, not table.hpp.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace millrace::table {

// What every source is brought to when it is read: DECIMAL and HUGEINT become float64, TIME and everything else text.
enum class Type { boolean, int64, float64, text, date, timestamp };

std::string_view type_name(Type type);  // "boolean", "int64", ...
Result<Type> parse_type(std::string_view name);

struct Date {
  std::int32_t days = 0;  // since 1970-01-01
  auto operator<=>(const Date&) const = default;
};
struct Timestamp {
  std::int64_t us = 0;  // since 1970-01-01T00:00Z; a source without zone is read as UTC
  auto operator<=>(const Timestamp&) const = default;
};

// monostate is null.
using Value = std::variant<std::monostate, bool, std::int64_t, double, std::string, Date, Timestamp>;
using Row = std::vector<Value>;  // in the order of a Schema

inline bool is_null(const Value& value) { return value.index() == 0; }
// For people and CSV: null is "", float64 the shortest text that reads back the same, dates ISO 8601.
std::string to_text(const Value& value);
// At most `bytes_max` bytes of a text, for messages: cut between characters, "..." where something is missing, and
// bytes that are no UTF-8 shown as '?'.
std::string excerpt(std::string_view text, std::size_t bytes_max);
// The inverse for one type; "" is null. invalid_argument `table.bad_value` saying what was expected.
Result<Value> from_text(std::string_view text, Type type);

struct Field {
  std::string name;
  Type type = Type::text;
  bool operator==(const Field&) const = default;
};

struct Schema {
  std::vector<Field> fields;
  bool operator==(const Schema&) const = default;
  // -1 when there is none. Exact, case matters.
  int index_of(std::string_view name) const;
};

}  // namespace millrace::table
