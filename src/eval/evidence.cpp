#include "eval/evidence.hpp"

#include <algorithm>

namespace millrace::eval {

namespace {

// Every group of a `by` gate counts, so its column may have this many before the rest is cut (and the gate refused).
constexpr std::size_t groups_max = 1000;

ReportPlan plan_for(std::span<const Gate> gates, const Evaluation& evaluation) {
  const Scored& scored = evaluation.candidate.scored;
  ReportPlan plan{.primary = evaluation.primary, .bootstrap = evaluation.bootstrap};
  for (const Gate& gate : gates) {
    if (gate.subject != Gate::Subject::metric) continue;
    if (!gate.by_column.empty()) {
      plan.values_max[gate.by_column] = groups_max;
      plan.slice_metrics.push_back(gate.metric);
    } else if (!gate.where_column.empty()) {
      if (rows_where(scored, gate.where_column, gate.where_value)) {
        plan.wanted.push_back({gate.where_column, gate.where_value, gate.metric});
      }
    } else {
      plan.interval_metrics.push_back(gate.metric);
    }
  }
  return plan;
}

Result<Report> report_on(const Evaluated& model, const ReportPlan& plan) {
  auto made = report_of(model.scored, plan);
  if (!made) return fail(while_doing("evaluating " + model.model, std::move(made).error()));
  made->model = model.model;
  made->latency = model.latency;
  made->model_bytes = model.model_bytes;
  return made;
}

}  // namespace

Result<Evidence> gather(std::span<const Gate> gates, const Evaluation& evaluation) {
  Evidence evidence;
  TRY(evidence.candidate, report_on(evaluation.candidate, plan_for(gates, evaluation)));
  // Opponents are shown as a whole; where a gate looks closer, the comparison does.
  const ReportPlan short_plan{.primary = evaluation.primary, .intervals = false};
  evidence.current_cannot = evaluation.current_cannot;
  if (evaluation.current) {
    TRY(evidence.current, report_on(*evaluation.current, short_plan));
  }
  for (const auto& [name, rival] : evaluation.rivals) {
    TRY(evidence.rivals[name], report_on(rival, short_plan));
  }

  const Scored& ours = evaluation.candidate.scored;
  for (const Gate& gate : gates) {
    if (gate.rival.empty()) continue;
    const auto rival = evaluation.rivals.find(gate.rival);
    const Evaluated* other = gate.rival == "current"            ? (evaluation.current ? &*evaluation.current : nullptr)
                             : rival == evaluation.rivals.end() ? nullptr
                                                                : &rival->second;
    if (other == nullptr) continue;  // judge() says so
    if (gate.where_column.empty()) {
      TRY(Comparison all, compare(ours, other->scored, gate.rival, gate.metric, evaluation.bootstrap));
      evidence.comparisons.push_back(std::move(all));
      continue;
    }
    const auto rows = rows_where(ours, gate.where_column, gate.where_value);
    if (!rows) continue;
    if (other->scored.rows != ours.rows) {  // before the same row numbers are taken from both
      return fail(Code::failed_precondition, "eval.rows_differ",
                  "the candidate and " + gate.rival + " were not scored on the same rows in the same order");
    }
    TRY(Comparison part,
        compare(take(ours, *rows), take(other->scored, *rows), gate.rival, gate.metric, evaluation.bootstrap));
    part.where = where_text(gate);
    evidence.comparisons.push_back(std::move(part));
  }
  return evidence;
}

}  // namespace millrace::eval
