// The protocol's trace and log settings: what they are here, and whether a request would change one. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.hpp"

namespace millrace::api::v2 {

using SettingValue = std::variant<bool, std::int64_t, std::string, std::vector<std::string>>;
struct Setting {
  std::string name;
  SettingValue value;
};

// Requests are not traced: everything says so.
std::vector<Setting> trace_settings();
// Warnings and errors go to DATA_DIR/millrace.log, requests don't.
std::vector<Setting> log_settings();

// What a request names, with the value as text (a list joined by commas); nullopt: as it is by default.
using SettingsAsked = std::vector<std::pair<std::string, std::optional<std::string>>>;
// An empty body asks for no change. invalid_argument `api.bad_json`, `v2.bad_request`.
Result<SettingsAsked> parse_settings_json(std::string_view body);
// {"trace_level":["OFF"],...}
std::string render_settings(const std::vector<Setting>& settings);

// That each is as it is. invalid_argument `v2.unknown_setting`, `v2.fixed_setting`.
Result<void> check_settings(const std::vector<Setting>& settings, const SettingsAsked& asked);

}  // namespace millrace::api::v2
