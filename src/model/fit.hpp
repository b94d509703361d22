// Learns from the training rows how each input is encoded: category tables, whether nulls occur, and each input's
// spread, from which golden rows are made up. Streaming: memory is bounded by the distinct categories counted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"
#include "model/encoder.hpp"
#include "model/manifest.hpp"

namespace millrace::model {

// What is wanted of one column.
struct InputSpec {
  std::string name;
  table::Type type = table::Type::float64;
  std::optional<Encoding> encoding;  // absent: default_encoding(type)
  UnseenRule unseen = UnseenRule::other;
  std::optional<double> fill;
};

// boolean, number, category or date_parts.
Encoding default_encoding(table::Type type);

struct FitOptions {
  std::size_t categories_max = 1000;  // the most frequent ones; the rest is "other"
  std::int64_t category_rows_min =
      2;  // a value of fewer rows is "other": too rare to learn from, and it might tell on a person
  std::size_t distinct_max = 200'000;  // values counted per input; later new ones are "other"
};

// Mean and deviation of what was seen: numbers as they are, dates in days, timestamps in microseconds.
struct Spread {
  std::int64_t count = 0;
  double mean = 0;
  double deviation = 0;
  bool operator==(const Spread&) const = default;
};

struct FittedInputs {
  std::vector<Input> inputs;
  std::vector<Spread> spreads;            // by input
  std::vector<std::uint64_t> other_rows;  // by input: rows whose category is not in the table
};

// One thread at a time. The same rows in the same order give the same result.
class EncoderFitter {
 public:
  // invalid_argument `model.bad_input` for a name given twice or an encoding that does not fit the type.
  static Result<EncoderFitter> open(std::vector<InputSpec> specs, const FitOptions& options = {});

  // A row in the order of the specs.
  Result<void> add(const table::Row& row);
  // Columns are found by name, others are ignored. `use` (when not empty) says which rows count.
  // invalid_argument `model.missing_input`, `model.wrong_type`.
  Result<void> add(const table::Batch& batch, const std::vector<bool>& use = {});

  FittedInputs finish() const;

 private:
  struct Seen {
    std::int64_t rows = 0;
    std::int64_t nulls = 0;
    double mean = 0;
    double squares = 0;  // sum of squared deviations (Welford)
    std::unordered_map<std::string, std::int64_t> categories;
  };
  EncoderFitter() = default;
  void add_value(std::size_t input, const ValueView& value);

  std::vector<InputSpec> specs_;
  std::vector<Encoding> encodings_;
  FitOptions options_;
  std::vector<Seen> seen_;
};

// Rows in the order of the inputs that a loader's answers are compared on: the means, all missing, all unseen, then
// random draws. Numbers are rounded to three significant digits. None is copied from the data.
std::vector<table::Row> make_golden_rows(const FittedInputs& fitted, std::uint64_t seed, int count = 16);

}  // namespace millrace::model
