// What an evaluation found, as records that go through JSON: written by the evaluation job, kept with the model
// version, read by gates, the console and the commands.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eval/compare.hpp"
#include "eval/scored.hpp"

namespace millrace::eval {

// Metrics over one set of rows. A metric that is not defined on them is absent.
struct Measures {
  std::size_t rows = 0;
  std::vector<std::size_t> class_rows;  // by class index; empty for regression
  std::map<std::string, double> metrics;
  std::map<std::string, Interval> intervals;  // 95 %, of the metrics for which it was asked
  std::string undefined;                      // why a metric is absent; empty when none is
};

// The rows whose `column` has one value. Numbers of more than 10 distinct values are cut at their quartiles, and
// `value` says "<= 28", "28 .. 39", "39 .. 51", "> 51" (upper ends belong to the slice); missing ones are "(missing)".
struct Slice {
  std::string column;
  std::string value;
  Measures measures;
};
inline constexpr std::string_view missing_value = "(missing)";

// A column with more values than the plan allows: the most frequent ones are slices, the others are only counted.
struct SlicesCut {
  std::string column;
  std::size_t values_left_out = 0;
  std::size_t rows_left_out = 0;
};

struct CalibrationBin {
  double from = 0, to = 0;
  double rows = 0;
  double predicted = 0;  // mean probability
  double observed = 0;   // share that was true; multiclass: that was right
};

// One row per call, warm, in one thread.
struct Latency {
  double p50_ms = 0, p95_ms = 0, p99_ms = 0;
  std::size_t calls = 0;
};
// Nearest-rank percentiles; absent without calls.
std::optional<Latency> latency_of(std::vector<double> calls_ms);

struct Report {
  int format = 1;
  std::string model;    // "churn:12"
  std::string task;     // task_name()
  std::string primary;  // the metric it leads with; its interval is in `all` unless the plan says no
  std::vector<std::string> classes;
  std::string rows_digest;  // digest_of_rows()
  Measures all;
  std::vector<Slice> slices;
  std::vector<SlicesCut> cut;
  std::vector<CalibrationBin> calibration;  // empty for regression
  std::optional<Latency> latency;
  std::optional<std::int64_t> model_bytes;
  std::size_t resamples = 0;
};

struct ReportPlan {
  std::string primary;                            // empty: primary_metric(task)
  std::vector<std::string> slice_metrics;         // beside eval::slice_metrics(task)
  std::vector<std::string> interval_metrics;      // beside the primary, over all rows
  std::map<std::string, std::size_t> values_max;  // by column; others: 20
  struct Wanted {
    std::string column, value;
    std::string metric;  // with its interval
  };
  std::vector<Wanted> wanted;  // slices that must be there, also with no row or beyond values_max
  bool intervals = true;       // false: none is drawn, not even the primary's
  Bootstrap bootstrap;
};

// `scored` is checked first. invalid_argument `eval.bad_scores`; `eval.unknown_metric` for a name in the plan;
// `eval.unknown_column` for a wanted slice of a column that `scored` has not.
Result<Report> report_of(const Scored& scored, const ReportPlan& plan = {});

// Rows whose `column` has this value, as text or number. Empty when none has; nullopt without such a column.
std::optional<std::vector<std::uint32_t>> rows_where(const Scored& scored, std::string_view column,
                                                     std::string_view value);

// nullptr when the report has no such slice.
const Slice* find_slice(const Report& report, std::string_view column, std::string_view value);

std::string render_report(const Report& report);
Result<Report> parse_report(std::string_view json);  // invalid_argument `json.malformed`; `eval.newer_format`

}  // namespace millrace::eval
