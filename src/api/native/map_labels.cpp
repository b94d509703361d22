#include "api/native/map.hpp"

#include <cmath>

namespace millrace::api {

namespace {

std::string text_of(const std::string& value) { return value; }
std::string text_of(bool value) { return table::to_text(table::Value(value)); }
// 3 and 3.0 are the class "3".
std::string text_of(double value) {
  constexpr double whole_max = 9.2e18;  // beyond it the conversion is undefined
  if (std::abs(value) < whole_max && std::trunc(value) == value)
    return std::to_string(static_cast<std::int64_t>(value));
  return table::to_text(table::Value(value));
}

}  // namespace

std::vector<label::RawLabel> from_wire(const std::vector<Label>& labels) {
  std::vector<label::RawLabel> out;
  for (const auto& from : labels) {
    label::RawLabel to;
    to.prediction = from.prediction;
    to.key = from.key;
    to.id = from.id;
    to.time = from.time;
    to.origin = from.origin;
    to.author = from.author;
    to.value_given = from.value.has_value() || from.withdraw;
    if (from.value && !from.withdraw)
      to.value = std::visit([](const auto& value) { return text_of(value); }, *from.value);
    out.push_back(std::move(to));
  }
  return out;
}

}  // namespace millrace::api
