// Measures what a set of gates looks at, from scored rows. Runs in the evaluation job; judge() then needs no rows.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>

#include "eval/gates.hpp"

namespace millrace::eval {

struct Evaluated {
  std::string model;  // "churn:12"
  Scored scored;
  std::optional<Latency> latency;
  std::optional<std::int64_t> model_bytes;
};

struct Evaluation {
  Evaluated candidate;
  std::optional<Evaluated> current;         // absent: nothing serves yet, or
  std::string current_cannot;               // it could not answer these rows: why
  std::map<std::string, Evaluated> rivals;  // "baseline", ...
  Bootstrap bootstrap;
  std::string primary;  // empty: primary_metric(task)
};

// All models scored the same rows in the same order, rows that none of them was trained on; the slice columns of the
// candidate (columns_of(gates) and others worth showing) count for all. Errors: those of report_of() and compare();
// a gate's column that is not among the slices is not an error here: judge() fails that gate.
Result<Evidence> gather(std::span<const Gate> gates, const Evaluation& evaluation);

}  // namespace millrace::eval
