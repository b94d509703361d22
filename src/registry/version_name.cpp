#include <charconv>
#include <format>

#include "registry/registry.hpp"

namespace millrace::registry {

Result<VersionName> parse_version_name(std::string_view text) {
  auto colon = text.rfind(':');
  VersionName name{std::string(text.substr(0, colon)), std::nullopt};
  auto bad = [&] {
    return fail(Code::invalid_argument, "registry.bad_name",
                std::format("'{}' is not a model version: write NAME or NAME:NUMBER, as in churn:3", text));
  };
  if (name.model.empty()) return bad();
  if (colon == std::string_view::npos) return name;
  auto number = text.substr(colon + 1);
  if (number == "baseline") {
    name.number = 0;
    return name;
  }
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (error != std::errc() || end != number.data() + number.size() || value < 0) return bad();
  name.number = value;
  return name;
}

}  // namespace millrace::registry
