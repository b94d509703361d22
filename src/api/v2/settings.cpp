#include "api/v2/settings.hpp"

#include <simdjson.h>

#include <algorithm>
#include <format>

#include "api/json_reader_internal.hpp"
#include "base/nearest.hpp"
#include "base/text.hpp"
#include "table/value.hpp"

namespace millrace::api::v2 {

namespace {

std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const auto& text : texts) out += (out.empty() ? "" : ",") + text;
  return out;
}

std::string setting_text(const SettingValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* number = std::get_if<std::int64_t>(&value)) return std::to_string(*number);
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  return joined(std::get<std::vector<std::string>>(value));
}

Result<std::optional<std::string>> read_value(JsonReader& json) {
  switch (json.peek()) {
    case JsonReader::Kind::null: {
      TRY_VOID(json.null());
      return std::optional<std::string>();
    }
    case JsonReader::Kind::boolean: {
      TRY(const bool flag, json.boolean());
      return std::optional<std::string>(flag ? "true" : "false");
    }
    case JsonReader::Kind::number: {
      TRY(const auto text, json.number());
      return std::optional<std::string>(std::string(text));
    }
    case JsonReader::Kind::string: {
      TRY(auto text, json.string());
      return std::optional<std::string>(std::move(text));
    }
    default: {
      std::vector<std::string> texts;
      TRY_VOID(json.array([&]() -> Result<void> {
        TRY(auto text, json.string());
        texts.push_back(std::move(text));
        return {};
      }));
      return std::optional<std::string>(joined(texts));
    }
  }
}

}  // namespace

std::vector<Setting> trace_settings() {
  using List = std::vector<std::string>;
  return {{"trace_level", List{"OFF"}}, {"trace_rate", "1000"}, {"trace_count", "-1"},
          {"log_frequency", "0"},       {"trace_file", ""},     {"trace_mode", "triton"}};
}

std::vector<Setting> log_settings() {
  return {{"log_file", ""},
          {"log_info", true},
          {"log_warning", true},
          {"log_error", true},
          {"log_verbose_level", std::int64_t{0}},
          {"log_format", "default"}};
}

Result<SettingsAsked> parse_settings_json(std::string_view body) {
  SettingsAsked out;
  if (!simdjson::validate_utf8(body)) return fail(Code::invalid_argument, "api.bad_json", "the JSON is no UTF-8 text");
  JsonReader json(body);
  if (json.peek() == JsonReader::Kind::end) return out;
  TRY_VOID(json.object([&](const std::string& name) -> Result<void> {
    if (out.size() >= 100) return fail(Code::invalid_argument, "v2.bad_request", "more than 100 settings");
    TRY(auto value, read_value(json));
    out.emplace_back(name, std::move(value));
    return {};
  }));
  TRY_VOID(json.end());
  return out;
}

std::string render_settings(const std::vector<Setting>& settings) {
  std::string out = "{";
  for (const auto& [name, value] : settings) {
    if (out.size() > 1) out += ',';
    append_json_text(out, name);
    out += ':';
    if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
      out += '[';
      for (const auto& text : *list) append_json_text(out, text);
      out += ']';
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      append_json_text(out, *text);
    } else {
      out += setting_text(value);
    }
  }
  return out + "}";
}

Result<void> check_settings(const std::vector<Setting>& settings, const SettingsAsked& asked) {
  for (const auto& [name, value] : asked) {
    const auto known = std::ranges::find(settings, name, &Setting::name);
    if (known == settings.end()) {
      std::vector<std::string> names;
      for (const auto& each : settings) names.push_back(each.name);
      const auto near = nearest(std::string_view(name).substr(0, 200), names);
      return fail(Code::invalid_argument, "v2.unknown_setting",
                  std::format("there is no setting '{}'{}", table::excerpt(name, 60),
                              near.empty() ? "" : std::format("; did you mean '{}'?", near)));
    }
    if (value && *value != setting_text(known->value)) {
      return fail(Code::invalid_argument, "v2.fixed_setting",
                  std::format("'{}' can't be set to '{}' here: it is '{}' and stays so; requests are not traced, and "
                              "what the server logs is in millrace.log of its data folder",
                              name, table::excerpt(*value, 60), setting_text(known->value)));
    }
  }
  return {};
}

}  // namespace millrace::api::v2
