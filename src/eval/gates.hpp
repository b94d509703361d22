// Gates: what must be true of a model before it may serve. A gate is one line of [gates]: an expression and what is
// required of it. Parsing and judging are pure; measuring is evidence.hpp.
//
//   expression  METRIC                        the candidate on the test rows            "auc" = ">= 0.80"
//               METRIC - current.METRIC       against the version that serves now,      "auc - current.auc" = ">=
//               -0.005" METRIC - RIVAL.METRIC         baseline, or a [rival.NAME], on the same rows
//               ... where COLUMN = VALUE      only on these rows                        "auc where country = 'PT'" =
//               ">= 0.75" METRIC by COLUMN              the worst group                           "recall by kind" =
//               ">= 0.80" METRIC_gap by COLUMN          largest minus smallest over the groups    "tpr_gap by gender" =
//               "<= 0.05" latency.p50|p95|p99           one row, in this process                  "latency.p99" = "<=
//               20ms" model.bytes                   of the artifact                           "model.bytes" = "<= 50MB"
//   required    >= > <= < and a number ("0.8", "2%"), a duration for latency (a bare number is ms), a size for bytes
//               > error     only for differences: larger by more than the 95 % error of the test rows, that is, the
//               whole
//                           95 % interval of the difference (paired bootstrap, compare.hpp) lies above 0
//               < -error    the same downwards, for metrics where less is better: "rmse - baseline.rmse" = "< -error"
//
// COLUMN and VALUE are words, or quoted: columns with "" or ``, values with ''. Groups are the slices of report.hpp.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eval/report.hpp"

namespace millrace::eval {

// As written in the project file.
struct GateLine {
  std::string expression;
  std::string required;
};

struct Gate {
  enum class Subject { metric, latency_p50, latency_p95, latency_p99, model_bytes };
  enum class Op { at_least, above, at_most, below };
  enum class Bound { number, error };
  std::string expression, required;  // as written
  Subject subject = Subject::metric;
  std::string metric;                     // name in the catalogue
  bool gap = false;                       // METRIC_gap
  std::string rival;                      // empty: no difference
  std::string where_column, where_value;  // empty column: all rows
  std::string by_column;                  // empty: no groups
  Op op = Op::at_least;
  Bound bound = Bound::number;
  double number = 0;  // ms for latency, bytes for model.bytes
};

// invalid_argument `eval.bad_gate`: the message quotes the line, marks the place and names the nearest metric. Without
// `task` a metric of any task will do.
Result<Gate> parse_gate(const GateLine& line, std::optional<TaskType> task = {});
Result<std::vector<Gate>> parse_gates(std::span<const GateLine> lines, std::optional<TaskType> task = {});

// Columns that the gates look at: what an evaluation must put into Scored::slices.
std::vector<std::string> columns_of(std::span<const Gate> gates);
std::string where_text(const Gate& gate);  // "country = 'PT'", empty without where

// What `millrace init` writes: better than `baseline` by more than the error, calibrated (classes only), fast.
std::vector<GateLine> default_gates(TaskType task);

// What was measured for the gates; goes through JSON from the evaluation job to the server.
struct Evidence {
  Report candidate;
  std::optional<Report> current;
  std::string current_cannot;            // why the version that serves could not answer these rows; empty: it could
  std::map<std::string, Report> rivals;  // "baseline", ...
  std::vector<Comparison> comparisons;
};
std::string render_evidence(const Evidence& evidence);
Result<Evidence> parse_evidence(std::string_view json);

// What is known of the candidate besides its numbers.
struct Facts {
  bool sampled = false;                       // `train --quick`: learned from a sample
  std::optional<std::int64_t> usable_inputs;  // columns that were not constant, ids or left out
  // Fewer rows say nothing: the metric lines fail.
  std::size_t rows_min = 20;
  std::size_t class_rows_min = 5;   // of each class, binary only
  std::size_t group_rows_min = 20;  // smaller groups of a `by` gate are left out, and named
};

struct GateResult {
  std::string expression, required;
  bool passed = false;
  std::optional<double> got;         // absent when it could not be measured
  std::optional<Interval> interval;  // 95 %, where one was computed
  std::string why;                   // one sentence, always
  std::size_t rows = 0;              // test rows behind the number; 0 for latency and bytes
};

// Which version stood against the candidate, on which rows.
struct Opponent {
  std::string name;   // "current", "baseline", ...
  std::string model;  // "churn:11"
  std::string rows_digest;
};

struct Verdict {
  int format = 1;
  std::string model;
  bool passed = false;               // every gate passed and there is no reason
  std::vector<std::string> reasons;  // that hold for the whole version, whatever its gates say
  std::vector<GateResult> gates;     // in the order of the project file
  std::size_t rows = 0;              // rows that neither the candidate nor its opponents were trained on
  std::string rows_digest;
  std::vector<Opponent> against;
};
std::string render_verdict(const Verdict& verdict);
Result<Verdict> parse_verdict(std::string_view json);
// "3/4 gates passed", and the first thing that failed.
std::string summary(const Verdict& verdict);

// Pure: the same input gives the same verdict. A gate whose number is missing fails and says why; one against `current`
// passes with a note while nothing serves yet.
Verdict judge(std::span<const Gate> gates, const Evidence& evidence, const Facts& facts = {});

}  // namespace millrace::eval
