// What a table is for, found out from its statistics and a sample of its rows: the task, the classes, what each column
// is used for. Pure: the same input gives the same answer. The rules are written down once, in inference_rules().
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "data/dataset.hpp"

namespace millrace::table {
class Batch;
}

namespace millrace::data {

struct InferRequest {
  std::string target;                // empty: only the columns are judged
  std::string key;                   // empty: one is proposed
  std::string task;                  // empty or "auto": found out; else binary, multiclass, regression
  std::string positive;              // empty: found out
  std::vector<std::string> inputs;   // empty: all that are fit
  std::vector<std::string> exclude;  // never inputs
};

struct InferenceRule {
  std::string_view about;
  std::string_view rule;
};
// The rules as a person reads them, in the order in which they apply; printed by `millrace init` and `explain`.
std::span<const InferenceRule> inference_rules();

// What a person wants to see first, a few lines:
//   891 rows, 12 columns: 7 numbers, 2 categories, 1 key, 1 target, 3 left out
//   task: binary (38.4 % positive, '1': it is the larger number)   key: PassengerId
//   note: ...
std::vector<std::string> describe(const Analysis& analysis);

// `columns` describe `rows` rows; the target's `top` must list all its classes (ProfileOptions::all_values_of).
// not_found `data.no_column` (with the nearest name), invalid_argument `data.bad_target` (a target that nothing can be
// learned from, a task that does not fit it, an unknown positive class).
Result<Inference> infer(const std::vector<ColumnProfile>& columns, std::int64_t rows,
                        const std::vector<table::Batch>& sample, const InferRequest& request);

// The class that counts as positive, of two; `why` says which rule decided.
std::string positive_class(const TargetClass& a, const TargetClass& b, std::string_view type, std::string& why);

}  // namespace millrace::data
