#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/clock.hpp"
#include "eval/catalogue.hpp"
#include "eval/gates.hpp"

namespace millrace::eval {

namespace {

std::string plain(double value) { return fmt::format("{:.4g}", value); }
std::string text_of(const Interval& interval) {
  return fmt::format("[{}, {}]", plain(interval.low), plain(interval.high));
}

std::string with_unit(const Gate& gate, double value) {
  switch (gate.subject) {
    case Gate::Subject::metric:
      return plain(value);
    case Gate::Subject::model_bytes:
      return format_size(std::llround(value));
    default:
      return plain(value) + " ms";
  }
}

std::string_view demand(Gate::Op op) {
  switch (op) {
    case Gate::Op::at_least:
      return "at least";
    case Gate::Op::above:
      return "above";
    case Gate::Op::at_most:
      return "at most";
    case Gate::Op::below:
      return "below";
  }
  return "";
}

// A difference of two sums may miss a bound by its last bit: half a billionth is nothing that a test can tell.
bool holds(Gate::Op op, double got, double bound) {
  constexpr double slack = 5e-10;
  switch (op) {
    case Gate::Op::at_least:
      return got >= bound - slack;
    case Gate::Op::above:
      return got > bound;
    case Gate::Op::at_most:
      return got <= bound + slack;
    case Gate::Op::below:
      return got < bound;
  }
  return false;
}

class Judge {
 public:
  Judge(const Gate& gate, const Evidence& evidence, const Facts& facts)
      : gate_(gate), evidence_(evidence), facts_(facts), result_{gate.expression, gate.required} {}

  GateResult judge() && {
    if (gate_.subject != Gate::Subject::metric) {
      judge_cost();
    } else if (!gate_.by_column.empty()) {
      judge_groups();
    } else if (!gate_.rival.empty()) {
      judge_difference();
    } else {
      judge_value();
    }
    return std::move(result_);
  }

 private:
  void refuse(std::string why) { result_.why = std::move(why); }

  // Sets got, passed and a sentence: "auc is 0.846, at least 0.8 is required".
  void decide(double got, std::string_view what) {
    result_.got = got;
    result_.passed = holds(gate_.op, got, gate_.number);
    result_.why = fmt::format("{} is {}, {} {} is required", what, with_unit(gate_, got), demand(gate_.op),
                              with_unit(gate_, gate_.number));
  }

  void judge_cost() {
    const auto& report = evidence_.candidate;
    if (gate_.subject == Gate::Subject::model_bytes) {
      if (!report.model_bytes) return refuse("the size of the model is not known");
      return decide(static_cast<double>(*report.model_bytes), "the model");
    }
    if (!report.latency) return refuse("the latency was not measured");
    switch (gate_.subject) {
      case Gate::Subject::latency_p50:
        return decide(report.latency->p50_ms, "the median latency");
      case Gate::Subject::latency_p95:
        return decide(report.latency->p95_ms, "the 95th percentile of the latency");
      default:
        return decide(report.latency->p99_ms, "the 99th percentile of the latency");
    }
  }

  std::string rows_text() const {
    return gate_.where_column.empty() ? "test rows" : fmt::format("test rows where {}", where_text(gate_));
  }

  // What forbids to look at a metric over these rows at all; empty when nothing does.
  std::string too_little(const Measures& m) const {
    if (m.rows < facts_.rows_min) {
      return fmt::format("only {} {}, at least {} are needed", m.rows, rows_text(), facts_.rows_min);
    }
    if (m.class_rows.empty()) return "";
    const auto& names = evidence_.candidate.classes;
    const auto name = [&](std::size_t k) { return k < names.size() ? names[k] : std::to_string(k); };
    std::size_t present = 0, last = 0;
    for (std::size_t k = 0; k < m.class_rows.size(); ++k) {
      if (m.class_rows[k] > 0) {
        ++present;
        last = k;
      }
    }
    // Rows chosen by the target itself are all of one class, on purpose.
    if (present < 2 && gate_.where_column.empty()) {
      return fmt::format("only one class ({}) in {} {}", name(last), m.rows, rows_text());
    }
    if (evidence_.candidate.task != task_name(TaskType::binary) || !gate_.where_column.empty()) return "";
    for (std::size_t k = 0; k < m.class_rows.size(); ++k) {
      if (m.class_rows[k] < facts_.class_rows_min) {
        return fmt::format("only {} of {} test rows are of class {}, at least {} are needed", m.class_rows[k], m.rows,
                           name(k), facts_.class_rows_min);
      }
    }
    return "";
  }

  // The measures that the gate looks at; nullptr after refusing.
  const Measures* measures() {
    const Measures* m = &evidence_.candidate.all;
    if (!gate_.where_column.empty()) {
      const Slice* slice = find_slice(evidence_.candidate, gate_.where_column, gate_.where_value);
      if (slice == nullptr) {
        refuse(fmt::format("no column '{}' among the evaluated ones", gate_.where_column));
        return nullptr;
      }
      m = &slice->measures;
    }
    result_.rows = m->rows;
    if (std::string why = too_little(*m); !why.empty()) {
      refuse(std::move(why));
      return nullptr;
    }
    return m;
  }

  void judge_value() {
    const Measures* m = measures();
    if (m == nullptr) return;
    const auto value = m->metrics.find(gate_.metric);
    if (value == m->metrics.end()) {
      return refuse(fmt::format("{} has no value: {}", gate_.metric,
                                m->undefined.empty() ? "it was not measured" : m->undefined));
    }
    decide(value->second, gate_.metric);
    if (const auto interval = m->intervals.find(gate_.metric); interval != m->intervals.end()) {
      result_.interval = interval->second;
      result_.why += fmt::format(" (95 % interval {})", text_of(interval->second));
    }
  }

  void judge_difference() {
    if (gate_.rival == "current" && !evidence_.current_cannot.empty()) {
      return refuse("the current version can't answer these rows: " + evidence_.current_cannot);
    }
    if (gate_.rival == "current" && !evidence_.current) {
      result_.passed = true;
      result_.why = "there is no current version yet";
      return;
    }
    const auto rival = evidence_.rivals.find(gate_.rival);
    if (gate_.rival != "current" && rival == evidence_.rivals.end()) {
      return refuse(fmt::format("there is no rival '{}' to compare with", gate_.rival));
    }
    const Measures* m = measures();
    if (m == nullptr) return;
    const Report& other = gate_.rival == "current" ? *evidence_.current : rival->second;
    if (other.rows_digest != evidence_.candidate.rows_digest) {
      return refuse(fmt::format("{} was not evaluated on the same rows", gate_.rival));
    }
    const auto found = std::ranges::find_if(evidence_.comparisons, [&](const Comparison& c) {
      return c.metric == gate_.metric && c.rival == gate_.rival && c.where == where_text(gate_);
    });
    if (found == evidence_.comparisons.end()) return refuse(fmt::format("not compared with {}", gate_.rival));
    result_.rows = found->rows;
    if (!found->difference) return refuse(fmt::format("{} has no value: {}", gate_.metric, found->why_undefined));
    result_.interval = found->interval;
    if (gate_.bound == Gate::Bound::number) {
      decide(*found->difference, gate_.expression);
      if (found->interval) result_.why += fmt::format(" (95 % interval {})", text_of(*found->interval));
      return;
    }
    judge_error(*found);
  }

  // The whole interval of the difference must lie on the wanted side of 0.
  void judge_error(const Comparison& c) {
    result_.got = c.difference;
    if (!c.interval) {
      return refuse(fmt::format("the error of {} can't be estimated on {} rows", gate_.expression, c.rows));
    }
    const bool up = gate_.op == Gate::Op::above;
    result_.passed = up ? c.interval->low > 0 : c.interval->high < 0;
    const std::string numbers =
        fmt::format("{} {} against {} {}, difference {}, 95 % interval {} on {} rows", gate_.metric, plain(*c.value),
                    gate_.rival, plain(*c.rival_value), plain(*c.difference), text_of(*c.interval), c.rows);
    if (result_.passed) {
      result_.why = fmt::format("better than {} by more than the error: {}", gate_.rival, numbers);
    } else if (*c.difference == 0 && c.interval->low == 0 && c.interval->high == 0) {
      result_.why = fmt::format("no better than {}: both have the same {} on every draw of the rows: {}", gate_.rival,
                                gate_.metric, numbers);
    } else {
      result_.why = fmt::format("not better than {} by more than the error: {}", gate_.rival, numbers);
    }
  }

  void judge_groups() {
    const Report& report = evidence_.candidate;
    result_.rows = report.all.rows;
    if (report.all.rows < facts_.rows_min) {
      return refuse(fmt::format("only {} test rows, at least {} are needed", report.all.rows, facts_.rows_min));
    }
    for (const SlicesCut& cut : report.cut) {
      if (cut.column == gate_.by_column) {
        return refuse(
            fmt::format("column '{}' has {} groups too many to look at each", cut.column, cut.values_left_out));
      }
    }
    const bool less_is_better = find_metric(gate_.metric)->better == Better::lower;
    std::string small, lowest_name, highest_name;
    double lowest = std::numeric_limits<double>::infinity(), highest = -lowest;
    int groups = 0;
    bool seen = false;
    for (const Slice& slice : report.slices) {
      if (slice.column != gate_.by_column) continue;
      seen = true;
      if (slice.measures.rows < facts_.group_rows_min) {
        small += fmt::format("{}{} ({})", small.empty() ? "" : ", ", slice.value, slice.measures.rows);
        continue;
      }
      const auto value = slice.measures.metrics.find(gate_.metric);
      if (value == slice.measures.metrics.end()) {
        return refuse(fmt::format("{} has no value where {} = '{}': {}", gate_.metric, gate_.by_column, slice.value,
                                  slice.measures.undefined));
      }
      ++groups;
      if (value->second < lowest) std::tie(lowest, lowest_name) = std::tie(value->second, slice.value);
      if (value->second > highest) std::tie(highest, highest_name) = std::tie(value->second, slice.value);
    }
    if (!seen) return refuse(fmt::format("no column '{}' among the evaluated ones", gate_.by_column));
    if (groups < (gate_.gap ? 2 : 1)) {
      return refuse(fmt::format("too few groups of '{}' with {} test rows: {}", gate_.by_column, facts_.group_rows_min,
                                small.empty() ? "only one" : small));
    }
    if (gate_.gap) {
      decide(highest - lowest, fmt::format("the gap of {} ({} {}, {} {})", gate_.metric, highest_name, plain(highest),
                                           lowest_name, plain(lowest)));
    } else {
      decide(less_is_better ? highest : lowest,
             fmt::format("the worst {} ({})", gate_.metric, less_is_better ? highest_name : lowest_name));
    }
    if (!small.empty()) {
      result_.why += fmt::format("; left out for fewer than {} rows: {}", facts_.group_rows_min, small);
    }
  }

  const Gate& gate_;
  const Evidence& evidence_;
  const Facts& facts_;
  GateResult result_;
};

}  // namespace

Verdict judge(std::span<const Gate> gates, const Evidence& evidence, const Facts& facts) {
  Verdict verdict{.model = evidence.candidate.model,
                  .rows = evidence.candidate.all.rows,
                  .rows_digest = evidence.candidate.rows_digest};
  if (facts.sampled) {
    verdict.reasons.emplace_back("trained with --quick on a sample: such a version is for looking at, it can't pass");
  }
  if (facts.usable_inputs && *facts.usable_inputs <= 0) {
    verdict.reasons.emplace_back("no usable input: every column is constant, an id or left out");
  }
  if (evidence.current) {
    verdict.against.push_back({"current", evidence.current->model, evidence.current->rows_digest});
  }
  for (const auto& [name, report] : evidence.rivals)
    verdict.against.push_back({name, report.model, report.rows_digest});
  for (const Gate& gate : gates) verdict.gates.push_back(Judge(gate, evidence, facts).judge());
  verdict.passed = verdict.reasons.empty() && std::ranges::all_of(verdict.gates, &GateResult::passed);
  return verdict;
}

std::string summary(const Verdict& verdict) {
  const auto passed = std::ranges::count_if(verdict.gates, &GateResult::passed);
  std::string text = fmt::format("{}/{} gates passed", passed, verdict.gates.size());
  if (verdict.passed) return text;
  if (!verdict.reasons.empty()) return text + "; " + verdict.reasons.front();
  const auto failed = std::ranges::find(verdict.gates, false, &GateResult::passed);
  return text + fmt::format("; \"{}\" = \"{}\": {}", failed->expression, failed->required, failed->why);
}

}  // namespace millrace::eval
