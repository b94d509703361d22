#include "data/check.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <unordered_set>

#include "base/text.hpp"
#include "data/hash_internal.hpp"

namespace millrace::data {

namespace {

using table::Type;

constexpr std::size_t ranges_max = 5;
constexpr std::size_t samples_max = 5;

std::string number(double value) { return table::to_text(value); }

bool missing(const table::Column& column, std::int64_t row) {
  return column.is_null(row) || (column.type() == Type::float64 && std::isnan(column.float64_at(row)));
}

// A value's identity in 64 bits: two different values of a column coincide with a chance of about n^2 / 2^65.
std::uint64_t identity(const table::Column& column, std::int64_t row) {
  switch (column.type()) {
    case Type::boolean:
      return column.boolean_at(row);
    case Type::int64:
      return static_cast<std::uint64_t>(column.int64_at(row));
    case Type::float64:
      return std::bit_cast<std::uint64_t>(column.float64_at(row) + 0.0);
    case Type::text:
      return hash_text(column.text_at(row));
    case Type::date:
      return static_cast<std::uint64_t>(std::int64_t{column.date_at(row).days});
    case Type::timestamp:
      return static_cast<std::uint64_t>(column.timestamp_at(row).us);
  }
  return 0;
}

// The value as a number; texts that read as one count, since one bad cell makes a whole column text.
std::optional<double> as_number(const table::Column& column, std::int64_t row) {
  switch (column.type()) {
    case Type::int64:
      return static_cast<double>(column.int64_at(row));
    case Type::float64:
      return column.float64_at(row);
    case Type::text: {
      const auto value = table::from_text(column.text_at(row), Type::float64);
      return value ? std::optional(std::get<double>(*value)) : std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

bool text_reads_as(std::string_view text, std::string_view wanted) {
  const auto reads = [&](Type type) { return table::from_text(text, type).has_value(); };
  if (wanted == "int") return reads(Type::int64);
  if (wanted == "float" || wanted == "number") return reads(Type::float64);
  if (wanted == "bool") return reads(Type::boolean);
  if (wanted == "date") return reads(Type::date);
  if (wanted == "timestamp") return reads(Type::timestamp);
  return true;
}

// Does one value hold what `wanted` says? `have` is the type of its column.
bool is_of_type(const table::Column& column, std::int64_t row, std::string_view wanted) {
  switch (column.type()) {
    case Type::text:
      return text_reads_as(column.text_at(row), wanted);
    case Type::boolean:
      return wanted == "bool" || wanted == "category" || wanted == "text";
    case Type::int64: {
      if (wanted != "bool") return wanted != "date" && wanted != "timestamp";
      const std::int64_t value = column.int64_at(row);
      return value == 0 || value == 1;
    }
    case Type::float64: {
      if (wanted == "int") return column.float64_at(row) == std::trunc(column.float64_at(row));
      return wanted == "float" || wanted == "number" || wanted == "text";
    }
    case Type::date:
      return wanted == "date" || wanted == "timestamp" || wanted == "text";
    case Type::timestamp:
      return wanted == "timestamp" || wanted == "text";
  }
  return false;
}

}  // namespace

struct Checker::Rule {
  CheckResult result;
  int place = -1;       // of the column; -1: it is not there
  std::string allowed;  // after the count in the message: "below 16 (allowed: min = 16)"
  std::string level = "error";
  enum class Kind { exists, type, min, max, nulls, values, unique, new_values } kind = Kind::exists;
  std::string wanted_type;
  double bound = 0;
  std::unordered_set<std::string> values;
  std::unordered_set<std::uint64_t> seen;
  bool any_known = false;

  bool breaks(const table::Column& column, std::int64_t row, bool known) {
    if (kind == Kind::exists) return false;
    const bool null = missing(column, row);
    if (kind == Kind::nulls) return null;
    if (null) return false;
    switch (kind) {
      case Kind::type:
        return !is_of_type(column, row, wanted_type);
      case Kind::min: {
        const auto value = as_number(column, row);
        return value && *value < bound;
      }
      case Kind::max: {
        const auto value = as_number(column, row);
        return value && *value > bound;
      }
      case Kind::values:
        return !values.contains(table::to_text(column.value_at(row)));
      case Kind::unique:
        return !seen.insert(identity(column, row)).second;
      case Kind::new_values:
        any_known = any_known || known;
        if (known) seen.insert(identity(column, row));
        return !known && any_known && !seen.contains(identity(column, row));
      default:
        return false;
    }
  }

  void note(const table::Column& column, std::int64_t row, std::int64_t number_of_row) {
    result.bad++;
    if (!result.rows.empty() && result.rows.back().last == number_of_row - 1) {
      result.rows.back().last = number_of_row;
    } else if (result.rows.size() < ranges_max) {
      result.rows.push_back({number_of_row, number_of_row});
    }
    if (kind == Kind::nulls || result.samples.size() == samples_max) return;
    std::string value = table::excerpt(table::to_text(column.value_at(row)), 80);
    if (std::ranges::find(result.samples, value) == result.samples.end()) result.samples.push_back(std::move(value));
  }

  void conclude(std::int64_t rows) {
    result.total = rows;
    const bool broken = kind == Kind::exists  ? place < 0
                        : kind == Kind::nulls ? static_cast<double>(result.bad) > bound * static_cast<double>(rows)
                                              : result.bad > 0;
    result.level = broken ? level : "ok";
    if (kind == Kind::exists) {
      result.message = broken ? "there is no such column" : "is there";
      return;
    }
    result.message = with_thousands(result.bad) + " of " + with_thousands(rows) + " values " + allowed;
    if (!broken || result.rows.empty()) return;
    result.message += "   rows ";
    for (std::size_t i = 0; i < result.rows.size(); i++) {
      const RowRange& range = result.rows[i];
      result.message += (i ? ", " : "") + with_thousands(range.first);
      if (range.last > range.first) result.message += "-" + with_thousands(range.last);
    }
    if (result.rows.size() == ranges_max) result.message += ", ...";
  }
};

Checker::Checker(const table::Schema& schema, const CheckConfig& config, const std::string& key) : config_(config) {
  const auto add_rule = [&](const std::string& column, std::string_view name, Rule::Kind kind,
                            std::string allowed) -> Rule& {
    auto rule = std::make_unique<Rule>();
    rule->result.column = column;
    rule->result.rule = name;
    rule->place = schema.index_of(column);
    rule->kind = kind;
    rule->allowed = std::move(allowed);
    return *rules_.emplace_back(std::move(rule));
  };
  for (const ColumnCheck& c : config.columns) {
    if (schema.index_of(c.column) < 0) {
      add_rule(c.column, "exists", Rule::Kind::exists, "");
      continue;
    }
    if (!c.type.empty()) add_rule(c.column, "type", Rule::Kind::type, "not of type " + c.type).wanted_type = c.type;
    if (c.min)
      add_rule(c.column, "min", Rule::Kind::min, "below " + number(*c.min) + " (allowed: min = " + number(*c.min) + ")")
          .bound = *c.min;
    if (c.max)
      add_rule(c.column, "max", Rule::Kind::max, "above " + number(*c.max) + " (allowed: max = " + number(*c.max) + ")")
          .bound = *c.max;
    if (c.nulls_max) {
      add_rule(c.column, "nulls", Rule::Kind::nulls, "missing (allowed: " + number(*c.nulls_max * 100) + " %)").bound =
          *c.nulls_max;
    }
    if (!c.values.empty()) {
      auto& rule = add_rule(c.column, "values", Rule::Kind::values, "not among the allowed ones");
      rule.values.insert(c.values.begin(), c.values.end());
    }
    if (c.unique) add_rule(c.column, "unique", Rule::Kind::unique, "are there already in an earlier row");
    if (c.new_values == "warn" || c.new_values == "fail") {
      auto& rule = add_rule(c.column, "new_values", Rule::Kind::new_values, "the version before did not have");
      rule.level = c.new_values == "warn" ? "warn" : "error";
    }
  }
  if (key.empty()) return;
  if (schema.index_of(key) < 0) {
    add_rule(key, "exists", Rule::Kind::exists, "");
    return;
  }
  add_rule(key, "nulls", Rule::Kind::nulls, "missing (it is the key: every row needs one)");
  // An append may bring a newer row for a key: worth knowing, not wrong.
  add_rule(key, "unique", Rule::Kind::unique, "of the key are there already in an earlier row").level = "warn";
}

Checker::~Checker() = default;

void Checker::add(const table::Batch& batch, bool known) {
  for (auto& rule : rules_) {
    if (rule->place < 0) continue;
    const table::Column column = batch.column(rule->place);
    for (std::int64_t row = 0; row < batch.rows(); row++) {
      if (rule->breaks(column, row, known)) rule->note(column, row, rows_ + row + 1);
    }
  }
  rows_ += batch.rows();
}

void Checker::remember(const table::Batch& batch) {
  for (auto& rule : rules_) {
    if (rule->place < 0 || rule->kind != Rule::Kind::new_values) continue;
    const table::Column column = batch.column(rule->place);
    for (std::int64_t row = 0; row < batch.rows(); row++) rule->breaks(column, row, true);
  }
}

CheckReport Checker::finish() {
  CheckReport out;
  const auto add_rows = [&](std::int64_t bound, bool holds, const std::string& sign) {
    CheckResult result;
    result.rule = "rows";
    result.level = holds ? "ok" : "error";
    result.total = rows_;
    result.message = with_thousands(rows_) + " rows (wanted: " + sign + " " + with_thousands(bound) + ")";
    out.results.push_back(std::move(result));
  };
  if (config_.rows_min) add_rows(*config_.rows_min, rows_ >= *config_.rows_min, ">=");
  if (config_.rows_max) add_rows(*config_.rows_max, rows_ <= *config_.rows_max, "<=");
  for (auto& rule : rules_) {
    rule->conclude(rows_);
    out.results.push_back(std::move(rule->result));
  }
  return out;
}

}  // namespace millrace::data
