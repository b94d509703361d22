// What is known of a dataset version, as plain aggregates: they travel as JSON between the job that reads the data, the
// server that keeps the records, and whoever trains. No Arrow, no JSON library here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "table/value.hpp"

namespace millrace::data {

// An immutable Parquet blob. The parts of a version, one after the other, are its rows.
struct Part {
  std::string digest;  // of the blob, hex
  std::int64_t rows = 0;
  std::int64_t bytes = 0;
  bool operator==(const Part&) const = default;
};

struct ColumnField {
  std::string name;
  std::string type;  // table::type_name
  bool operator==(const ColumnField&) const = default;
};
std::vector<ColumnField> fields_of(const table::Schema& schema);
Result<table::Schema> schema_of(const std::vector<ColumnField>& fields);  // invalid_argument `table.bad_type`

// Where the rows of a version's newest parts came from.
struct Provenance {
  std::string uri;
  std::int64_t size = 0;
  std::string changed;  // modification time or ETag, as the source says it
  std::string digest;   // SHA-256 of the source's bytes, hex
  bool operator==(const Provenance&) const = default;
};

struct ValueCount {
  std::string value;
  std::int64_t count = 0;
  bool operator==(const ValueCount&) const = default;
};

struct Quantile {
  double at = 0;  // 0..1
  double value = 0;
  bool operator==(const Quantile&) const = default;
};

// Equal width from the smallest to the largest value; the last bin holds the largest.
struct Histogram {
  double low = 0;
  double high = 0;
  std::vector<std::int64_t> counts;
  bool operator==(const Histogram&) const = default;
};

// Statistics of one column over all rows of the version. A NaN counts as null. Numbers, dates (in days) and timestamps
// (in microseconds) have the numeric ones.
struct ColumnProfile {
  std::string name;
  std::string type;
  std::int64_t count = 0;  // values that are there
  std::int64_t nulls = 0;
  std::int64_t distinct = 0;
  bool distinct_exact = true;  // else estimated, within about 2 %
  std::string min;             // as text; texts in the order of their bytes
  std::string max;
  std::optional<double> mean;
  std::optional<double> std_dev;    // of the sample (n - 1)
  std::vector<Quantile> quantiles;  // numpy's "linear"
  bool quantiles_exact = true;      // else from a sample of the rows
  std::optional<Histogram> histogram;
  std::vector<ValueCount> top;        // the most frequent, then by value
  bool increasing = false;            // each value larger than the one in the row before: a row number or a time
  std::optional<double> mean_length;  // of texts, in characters
  bool operator==(const ColumnProfile&) const = default;
};

// ---- checks

// One column of [check.NAME].
struct ColumnCheck {
  std::string column;
  std::string type;  // int float number bool category text date timestamp; empty: not checked
  std::optional<double> min;
  std::optional<double> max;
  std::optional<double> nulls_max;  // as a share, 0.02 for 2 %
  std::vector<std::string> values;  // allowed; empty: all
  bool unique = false;
  std::string new_values = "allow";  // values that the version before did not have: allow, warn, fail
  bool operator==(const ColumnCheck&) const = default;
};
struct CheckConfig {
  std::optional<std::int64_t> rows_min;
  std::optional<std::int64_t> rows_max;
  std::vector<ColumnCheck> columns;
  bool operator==(const CheckConfig&) const = default;
};

// First and last row, from 1, over all parts of the version.
struct RowRange {
  std::int64_t first = 0;
  std::int64_t last = 0;
  bool operator==(const RowRange&) const = default;
};
// What one rule found.
struct CheckResult {
  std::string column;  // empty: about the table
  std::string rule;    // rows, exists, type, min, max, nulls, values, unique, new_values
  std::string level;   // ok, warn, error
  std::int64_t bad = 0;
  std::int64_t total = 0;
  std::vector<RowRange> rows;        // the first ones that break the rule
  std::vector<std::string> samples;  // some of their values, each once
  std::string message;               // a line for a person
  bool operator==(const CheckResult&) const = default;
};
struct CheckReport {
  std::vector<CheckResult> results;
  bool passed() const;  // no result of level error
  bool operator==(const CheckReport&) const = default;
};

// ---- inference

struct InputColumn {
  std::string name;
  std::string type;      // of the column
  std::string encoding;  // boolean, number, category, date_parts; empty when left out
  std::string role;      // input, target, key, "left out"
  std::string why;
  bool operator==(const InputColumn&) const = default;
};
struct TargetClass {
  std::string value;
  std::int64_t rows = 0;
  bool operator==(const TargetClass&) const = default;
};
struct Inference {
  std::string target;
  std::string task;  // binary, multiclass, regression; empty without a target
  std::string task_why;
  std::vector<TargetClass> classes;  // by value, numbers in their order; none for regression
  std::string positive;              // of a binary task
  std::string positive_why;
  std::string key;  // given, or proposed
  bool key_proposed = false;
  std::int64_t rows = 0;
  std::int64_t rows_without_target = 0;
  std::vector<InputColumn> columns;  // every column of the schema, in its order
  std::vector<std::string> leaks;    // inputs that alone tell the target
  std::vector<std::string> notes;    // lines for a person
  bool operator==(const Inference&) const = default;
};

// What is known of the rows of some parts.
struct Analysis {
  std::int64_t rows = 0;
  std::vector<ColumnProfile> columns;
  Inference inference;
  CheckReport checks;
  bool operator==(const Analysis&) const = default;
};

}  // namespace millrace::data
