#include "model/encoder.hpp"

#include <charconv>
#include <cmath>
#include <limits>

namespace millrace::model {
namespace {

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();
constexpr std::int64_t kDayUs = 86'400'000'000;

struct Civil {
  std::int64_t year;
  int month, day, weekday;  // 1 = Monday
};

// Days since 1970-01-01 to the proleptic Gregorian date, for every int64 a timestamp can give (std::chrono's years end
// at 32,767). After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
Civil civil_from_days(std::int64_t days) {
  const std::int64_t z = days + 719'468;
  const std::int64_t era = (z >= 0 ? z : z - 146'096) / 146'097;
  const std::int64_t doe = z - era * 146'097;
  const std::int64_t yoe = (doe - doe / 1'460 + doe / 36'524 - doe / 146'096) / 365;
  const std::int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const std::int64_t mp = (5 * doy + 2) / 153;
  const int day = static_cast<int>(doy - (153 * mp + 2) / 5 + 1);
  const int month = static_cast<int>(mp < 10 ? mp + 3 : mp - 9);
  const std::int64_t year = yoe + era * 400 + (month <= 2 ? 1 : 0);
  const int weekday = static_cast<int>(((days + 3) % 7 + 7) % 7) + 1;  // 1970-01-01 was a Thursday
  return {year, month, day, weekday};
}

void put_date(std::int64_t days, float* out) {
  const Civil civil = civil_from_days(days);
  out[0] = to_feature(civil.year);
  out[1] = static_cast<float>(civil.month);
  out[2] = static_cast<float>(civil.day);
  out[3] = static_cast<float>(civil.weekday);
}

// Whole numbers fit float64 too: parts of one data set may differ so, and JSON writes 5.0 as 5.
bool type_fits(table::Type type, const ValueView& value) {
  switch (type) {
    case table::Type::boolean:
      return std::holds_alternative<bool>(value);
    case table::Type::int64:
      return std::holds_alternative<std::int64_t>(value);
    case table::Type::float64:
      return std::holds_alternative<double>(value) || std::holds_alternative<std::int64_t>(value);
    case table::Type::text:
      return std::holds_alternative<std::string_view>(value);
    case table::Type::date:
      return std::holds_alternative<table::Date>(value);
    case table::Type::timestamp:
      return std::holds_alternative<table::Timestamp>(value);
  }
  return false;
}

std::string_view got_text(const ValueView& value) {
  static constexpr std::string_view kNames[] = {"null", "a boolean", "a whole number", "a number",
                                                "text", "a date",    "a timestamp"};
  return kNames[value.index()];
}

std::unexpected<Error> wrong_type(const Input& input, const ValueView& value) {
  return fail(
      Code::invalid_argument, "model.wrong_type",
      input.name + ": expected " + std::string(expected_text(input.type)) + ", got " + std::string(got_text(value)));
}

}  // namespace

std::string_view expected_text(table::Type type) {
  switch (type) {
    case table::Type::boolean:
      return "true or false";
    case table::Type::int64:
      return "a whole number";
    case table::Type::float64:
      return "a number";
    case table::Type::text:
      return "text";
    case table::Type::date:
      return "a date like \"2026-11-20\"";
    case table::Type::timestamp:
      return "a time like \"2026-11-20T09:40:00Z\"";
  }
  return "?";
}

ValueView view_of(const table::Value& value) {
  return std::visit(
      [](const auto& v) -> ValueView {
        if constexpr (std::is_same_v<std::decay_t<decltype(v)>, std::string>) {
          return std::string_view(v);
        } else {
          return v;
        }
      },
      value);
}

float to_feature(std::int64_t value) { return static_cast<float>(value); }

float to_feature(double value) {
  // The largest double that still rounds to a finite float lies half a step above FLT_MAX; saturating from FLT_MAX on
  // is the same answer for it.
  constexpr double kMax = std::numeric_limits<float>::max();
  if (value > kMax) return std::numeric_limits<float>::max();
  if (value < -kMax) return std::numeric_limits<float>::lowest();
  return static_cast<float>(value);  // NaN stays NaN
}

Encoder::Encoder(std::vector<Input> inputs) : inputs_(std::move(inputs)) {
  category_codes_.resize(inputs_.size());
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    offsets_.push_back(features_);
    features_ += feature_count(inputs_[i]);
    by_name_.emplace(inputs_[i].name, static_cast<int>(i));
    auto& codes = category_codes_[i];
    codes.reserve(inputs_[i].categories.size());
    for (const auto& category : inputs_[i].categories) codes.emplace(category, static_cast<int>(codes.size()));
  }
}

int Encoder::index_of(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? -1 : found->second;
}

bool Encoder::encode_value(int index, const ValueView& value, float* out, EncodeStats& stats) const {
  const Input& input = inputs_[static_cast<std::size_t>(index)];
  ++stats.values;
  const bool null = value.index() == 0;
  const auto* number = std::get_if<double>(&value);
  if (null || (number && std::isnan(*number))) {
    if (!null && input.type != table::Type::float64) return false;
    ++stats.missing;
    const float stand_in = input.fill ? to_feature(*input.fill) : kMissing;
    for (int i = 0; i < feature_count(input); ++i) out[i] = stand_in;
    return true;
  }
  if (!type_fits(input.type, value)) return false;
  switch (input.encoding) {
    case Encoding::number:
      if (number) {
        *out = to_feature(*number);
      } else if (const auto whole = std::get<std::int64_t>(value); input.type == table::Type::float64) {
        *out = to_feature(static_cast<double>(whole));  // as if the column had held doubles
      } else {
        *out = to_feature(whole);
      }
      return true;
    case Encoding::boolean:
      *out = std::get<bool>(value) ? 1.0f : 0.0f;
      return true;
    case Encoding::category: {
      char digits[24];
      std::string_view text;
      if (const auto* whole = std::get_if<std::int64_t>(&value)) {
        text = {digits, static_cast<std::size_t>(std::to_chars(digits, digits + sizeof digits, *whole).ptr - digits)};
      } else if (const auto* flag = std::get_if<bool>(&value)) {
        text = *flag ? "true" : "false";
      } else {
        text = std::get<std::string_view>(value);
      }
      const auto& codes = category_codes_[static_cast<std::size_t>(index)];
      if (const auto found = codes.find(text); found != codes.end()) {
        *out = static_cast<float>(found->second);
        return true;
      }
      ++stats.unseen;
      if (stats.unseen_by_input.size() < inputs_.size()) stats.unseen_by_input.resize(inputs_.size());
      ++stats.unseen_by_input[static_cast<std::size_t>(index)];
      *out = input.unseen == UnseenRule::other ? static_cast<float>(codes.size()) : kMissing;
      return true;
    }
    case Encoding::date_parts:
      if (const auto* date = std::get_if<table::Date>(&value)) {
        put_date(date->days, out);
      } else {
        const std::int64_t us = std::get<table::Timestamp>(value).us;
        const std::int64_t in_day = (us % kDayUs + kDayUs) % kDayUs;
        put_date(us / kDayUs - (us % kDayUs < 0 ? 1 : 0), out);
        out[4] = static_cast<float>(in_day / 3'600'000'000);
      }
      return true;
  }
  return false;
}

Result<void> Encoder::encode_row(const table::Row& row, float* out, EncodeStats& stats) const {
  if (row.size() != inputs_.size()) {
    return fail(Code::invalid_argument, "model.wrong_width",
                "a row of " + std::to_string(row.size()) + " values for " + std::to_string(inputs_.size()) + " inputs");
  }
  for (std::size_t i = 0; i < row.size(); ++i) {
    const ValueView value = view_of(row[i]);
    if (!encode_value(static_cast<int>(i), value, out + offsets_[i], stats)) return wrong_type(inputs_[i], value);
  }
  return {};
}

Result<void> Encoder::encode_row(std::span<const std::pair<std::string_view, ValueView>> row, float* out,
                                 EncodeStats& stats) const {
  std::vector<bool> seen(inputs_.size());
  for (const auto& [name, value] : row) {
    const int index = index_of(name);
    if (index < 0) {
      return fail(Code::invalid_argument, "model.unknown_column", std::string(name) + ": the model has no such input");
    }
    const auto i = static_cast<std::size_t>(index);
    if (seen[i]) return fail(Code::invalid_argument, "model.duplicate_column", std::string(name) + ": given twice");
    seen[i] = true;
    if (!encode_value(index, value, out + offsets_[i], stats)) return wrong_type(inputs_[i], value);
  }
  for (std::size_t i = 0; i < seen.size(); ++i) {
    if (seen[i]) continue;
    if (inputs_[i].required) {
      return fail(Code::invalid_argument, "model.missing_input",
                  inputs_[i].name + ": expected " + std::string(expected_text(inputs_[i].type)) + ", got nothing");
    }
    encode_value(static_cast<int>(i), std::monostate{}, out + offsets_[i], stats);
  }
  return {};
}

}  // namespace millrace::model
