#include "data/split.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace millrace::data {

std::string_view side_name(Side side) {
  switch (side) {
    case Side::train:
      return "train";
    case Side::validation:
      return "validation";
    case Side::test:
      return "test";
  }
  return "train";
}

Side side_of(const Digest& row, const Shares& shares) {
  const double bucket = static_cast<double>(row.head()) * 0x1p-64;
  if (bucket < shares.test) return Side::test;
  return bucket < shares.test + shares.validation ? Side::validation : Side::train;
}

std::string canonical_text(const table::Value& value) {
  if (const auto* number = std::get_if<double>(&value)) {
    if (std::isnan(*number)) return {};
    if (std::abs(*number) < 0x1p53 && *number == std::trunc(*number)) {
      return table::to_text(static_cast<std::int64_t>(*number));
    }
  }
  if (const auto* time = std::get_if<table::Timestamp>(&value)) {
    constexpr std::int64_t day = 86'400'000'000;
    if (time->us % day == 0) return table::to_text(table::Date{static_cast<std::int32_t>(time->us / day)});
  }
  return table::to_text(value);
}

RowDigester::RowDigester(const table::Schema& schema, std::string_view key, std::string_view target) {
  for (const table::Field& field : schema.fields) names_.push_back(field.name);
  key_ = static_cast<std::size_t>(std::ranges::find(names_, key) - names_.begin());
  for (std::size_t i = 0; i < names_.size(); i++) {
    if (names_[i] != target) content_.push_back(i);
  }
  std::ranges::sort(content_, {}, [&](std::size_t i) { return names_[i]; });
}

namespace {

bool is_missing(const table::Value& value) {
  const auto* number = std::get_if<double>(&value);
  return table::is_null(value) || (number && std::isnan(*number));
}

void add_pair(Sha256& sha, const std::string& name, const table::Value& value) {
  if (is_missing(value)) return;
  const std::string text = canonical_text(value);
  sha.update(std::to_string(name.size()) + ":" + name + "=" + std::to_string(text.size()) + ":" + text + ";");
}

}  // namespace

Digest RowDigester::digest(const table::Row& row) const {
  Sha256 sha;
  if (key_ < names_.size() && !is_missing(row[key_])) {
    add_pair(sha, names_[key_], row[key_]);
  } else {
    for (const std::size_t place : content_) add_pair(sha, names_[place], row[place]);
  }
  return sha.finish();
}

}  // namespace millrace::data
