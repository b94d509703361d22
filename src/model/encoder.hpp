// From column values to the engine's float32 features. Online rows, batches and training all go through encode_value,
// so their features are equal bit by bit.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "model/manifest.hpp"
#include "table/value.hpp"

namespace millrace::table {
class Batch;
}

namespace millrace::model {

// A value whose text is borrowed. monostate is null.
using ValueView =
    std::variant<std::monostate, bool, std::int64_t, double, std::string_view, table::Date, table::Timestamp>;
ValueView view_of(const table::Value& value);

// What encoding met; added to, never reset.
struct EncodeStats {
  std::uint64_t values = 0;
  std::uint64_t missing = 0;                   // nulls and NaN
  std::uint64_t unseen = 0;                    // categories the table does not hold
  std::vector<std::uint64_t> unseen_by_input;  // empty until the first one
};

// How numbers become float32: integers by one correct rounding, not through double; doubles by one correct rounding,
// but beyond float's range (infinities too) to the largest float of that sign, because engines refuse infinities; NaN
// is missing.
float to_feature(std::int64_t value);
float to_feature(double value);

// Immutable; any thread may encode.
class Encoder {
 public:
  explicit Encoder(std::vector<Input> inputs);

  const std::vector<Input>& inputs() const { return inputs_; }
  int features() const { return features_; }
  int index_of(std::string_view name) const;  // of the input; -1 when there is none

  // One value of inputs()[input] to its feature_count() floats at `out`. False when the value's type is not the
  // input's.
  bool encode_value(int input, const ValueView& value, float* out, EncodeStats& stats) const;

  // A row in the order of inputs(), features() floats at `out`. invalid_argument `model.wrong_type` names the column.
  Result<void> encode_row(const table::Row& row, float* out, EncodeStats& stats) const;
  // A row by name, in any order. invalid_argument `model.unknown_column`, `model.duplicate_column`, `model.wrong_type`,
  // `model.missing_input` (a required input is not named).
  Result<void> encode_row(std::span<const std::pair<std::string_view, ValueView>> row, float* out,
                          EncodeStats& stats) const;

  // Appends rows x features() floats, row-major. Columns are found by name, others are ignored. invalid_argument
  // `model.missing_input` when a required column is not there (others are then missing), `model.wrong_type`.
  Result<void> encode_batch(const table::Batch& batch, std::vector<float>& out, EncodeStats& stats) const;

 private:
  std::vector<Input> inputs_;
  std::vector<int> offsets_;  // of each input's first feature
  int features_ = 0;
  std::unordered_map<std::string_view, int> by_name_;                      // keys live in inputs_
  std::vector<std::unordered_map<std::string_view, int>> category_codes_;  // by input, keys live in inputs_

 public:
  Encoder(const Encoder&) = delete;  // the maps point into inputs_
  Encoder& operator=(const Encoder&) = delete;
};

// "a whole number", "text", "a date like 2026-11-20": what a person should send for the type.
std::string_view expected_text(table::Type type);

}  // namespace millrace::model
