// How sure is a number: percentile bootstrap over the test rows (Efron, Tibshirani 1993, ch. 13), of one model's metric
// or, paired, of the difference between two models on the same rows. A resample draws as many rows as there are, with
// replacement; both models see the same draw, so what is hard about a row cancels out. Deterministic: same input and
// seed, same interval, on every machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "eval/scored.hpp"

namespace millrace::eval {

struct MetricInfo;

struct Interval {
  double low = 0, high = 0;
};

struct Bootstrap {
  std::uint64_t seed = 1;
  double level = 0.95;
  // 0: as many as 20 million drawn rows allow, at least 200, at most 1,000.
  std::size_t resamples = 0;
};
std::size_t resamples_for(std::size_t rows, const Bootstrap& how);

// Absent when the metric is not defined on more than half of the resamples (hardly any row of one class, ...).
std::optional<Interval> interval_of(const Scored& scored, std::string_view metric, const Bootstrap& how = {});
std::optional<Interval> interval_of(const Scored& scored, const MetricInfo& metric, const Bootstrap& how = {});

// Candidate minus rival on the same rows.
struct Comparison {
  std::string metric;
  std::string rival;            // "baseline", "current", or a rival's name
  std::string where;            // "country = 'PT'", empty: all rows
  std::optional<double> value;  // the candidate's; absent where not defined
  std::optional<double> rival_value;
  std::optional<double> difference;  // value - rival_value
  std::optional<Interval> interval;  // of the difference
  double level = 0.95;
  std::size_t resamples = 0;
  std::size_t rows = 0;
  std::string rows_digest;    // digest_of_rows()
  std::string why_undefined;  // set when difference is absent
};

// Both must hold the same rows in the same order: failed_precondition `eval.rows_differ` otherwise. invalid_argument
// `eval.unknown_metric` for a metric that the task does not have.
Result<Comparison> compare(const Scored& candidate, const Scored& rival, std::string rival_name,
                           std::string_view metric, const Bootstrap& how = {});

}  // namespace millrace::eval
