// The rows on which a model was evaluated: the truth, what the model said, which rows they were. What an evaluation job
// fills, and the only input of reports, comparisons and live quality.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.hpp"
#include "base/result.hpp"
#include "eval/metrics.hpp"
#include "model/manifest.hpp"

namespace millrace::eval {

using model::task_name;
using model::TaskType;

// A column to look at apart: categories, or numbers. Exactly one of the two is filled, one entry per row.
struct SliceColumn {
  std::string name;
  std::vector<std::optional<std::string>> texts;  // nullopt is missing
  std::vector<double> numbers;                    // NaN is missing
};

struct Scored {
  TaskType task = TaskType::binary;
  std::vector<std::string> classes;  // of class index 0, 1, ...; binary: {negative, positive}; empty for regression
  std::vector<double> y;             // 0 or 1 | class index | value
  std::vector<double> scores;        // rows x columns(), row-major: P(positive) | P of each class | predicted value
  std::vector<double> weights;       // empty: every row weighs 1
  double threshold = 0.5;            // binary only
  std::vector<Digest> rows;          // identity of each row (of its key or content); empty only where nobody compares
  std::vector<SliceColumn> slices;

  std::size_t size() const { return y.size(); }
  std::size_t columns() const { return task == TaskType::multiclass ? classes.size() : 1; }
};

// Lengths agree, numbers are finite, classes and probabilities in range. invalid_argument `eval.bad_scores` with the
// row.
Result<void> check(const Scored& scored);

// The given rows, in that order, repeats allowed. Without slice columns.
Scored take(const Scored& scored, std::span<const std::uint32_t> rows);

// SHA-256 over the row digests in ascending order: the same set of rows gives the same digest in any order.
std::string digest_of_rows(const Scored& scored);

}  // namespace millrace::eval
