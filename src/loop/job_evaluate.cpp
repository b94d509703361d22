// Job side of `evaluate`: a fresh process loads the written archive (which answers its golden rows), scores it with
// what serves now and with the baseline on rows that none of them was trained on, measures single rows, and judges the
// gates.
#include <algorithm>
#include <cmath>
#include <format>
#include <map>

#include "base/clock.hpp"
#include "eval/evidence.hpp"
#include "loop/job_run.hpp"
#include "loop/row_set.hpp"
#include "model/loaded.hpp"

namespace millrace::loop {

namespace {

using Loaded = std::shared_ptr<const model::LoadedModel>;

Result<Loaded> load(const BlobRef& ref, JobContext& context) {
  TRY(auto digest, Digest::parse(ref.digest));
  TRY(auto bytes, context.blobs.read(digest, std::uint64_t{1} << 32));
  return model::LoadedModel::load(bytes, {context.libraries, 1});
}

Result<eval::TaskType> task_of(const std::string& name) {
  for (auto task : {eval::TaskType::binary, eval::TaskType::multiclass, eval::TaskType::regression}) {
    if (eval::task_name(task) == name) return task;
  }
  return fail(Code::invalid_argument, "loop.bad_task", "'" + name + "' is no task");
}

// One model's scores in the class order of the task, whatever its own order is.
void put_scores(const model::LoadedModel& model, const std::vector<std::string>& classes, const model::Answer& answer,
                std::vector<double>& out) {
  const auto& own = model.manifest().classes;
  if (own.empty()) {
    out.push_back(answer.score);
    return;
  }
  auto probability = [&](const std::string& name) {
    auto at = std::find(own.begin(), own.end(), name);
    if (at == own.end()) return 0.0;  // a class that this model does not know
    auto index = static_cast<std::size_t>(at - own.begin());
    if (answer.probabilities.empty()) return index == 1 ? answer.score : 1 - answer.score;
    return answer.probabilities[index];
  };
  if (classes.size() == 2) {
    out.push_back(probability(classes[1]));
    return;
  }
  for (const auto& name : classes) out.push_back(probability(name));
}

struct Opponent {
  std::string name;
  std::string rival;  // "current", "baseline"
  Loaded model;
  std::vector<double> scores;
};

// The columns that gates look at, and the categories worth a slice of their own.
std::vector<std::string> slice_columns(std::span<const eval::Gate> gates, const ModelSpec& spec) {
  auto columns = eval::columns_of(gates);
  for (const auto& input : spec.inputs) {
    if (columns.size() >= 12) break;
    if (input.encoding == "category" && std::find(columns.begin(), columns.end(), input.name) == columns.end())
      columns.push_back(input.name);
  }
  return columns;
}

void put_slice(eval::SliceColumn& slice, const table::Column& column, std::int64_t row) {
  if (column.type() == table::Type::int64 || column.type() == table::Type::float64) {
    auto value = column.value_at(row);
    slice.numbers.push_back(table::is_null(value)                 ? std::nan("")
                            : column.type() == table::Type::int64 ? static_cast<double>(column.int64_at(row))
                                                                  : column.float64_at(row));
    return;
  }
  slice.texts.push_back(column.is_null(row) ? std::nullopt : std::optional(table::to_text(column.value_at(row))));
}

std::optional<eval::Latency> latency(const model::LoadedModel& model, const std::vector<table::Row>& rows,
                                     Clock& clock) {
  if (rows.empty()) return std::nullopt;
  constexpr std::size_t warm = 50, calls = 200, series = 5;
  model::EncodeStats stats;
  std::optional<eval::Latency> best;
  for (std::size_t i = 0; i < warm; ++i) {
    if (!model.predict({rows[i % rows.size()]}, stats)) return std::nullopt;
  }
  // The series in which others were in the way least: the model is judged, not what else the machine does.
  for (std::size_t n = 0; n < series; ++n) {
    std::vector<double> times;
    for (std::size_t i = 0; i < calls; ++i) {
      auto began = clock.steady();
      if (!model.predict({rows[i % rows.size()]}, stats)) return std::nullopt;
      times.push_back(std::chrono::duration<double, std::milli>(clock.steady() - began).count());
    }
    const auto one = eval::latency_of(std::move(times));
    if (!best || one->p99_ms < best->p99_ms) best = one;
  }
  return best;
}

}  // namespace

Result<EvaluateResult> run_evaluate(const EvaluateJob& job, JobContext& context) {
  TRY(auto task, task_of(job.model.task));
  std::vector<eval::GateLine> lines;
  for (const auto& gate : job.gates) lines.push_back({gate.expression, gate.required});
  TRY(auto gates, eval::parse_gates(lines, task));
  TRY(auto candidate, load(job.candidate, context));
  std::vector<Opponent> models{{job.name, "", candidate, {}}};
  if (!job.baseline.digest.empty()) {
    TRY(auto baseline, load(job.baseline, context));
    models.push_back({job.model.name + ":baseline", "baseline", std::move(baseline), {}});
  }
  if (!job.current.digest.empty()) {
    TRY(auto current, load(job.current, context));
    models.push_back({std::format("{}:{}", job.model.name, job.current_version), "current", std::move(current), {}});
  }
  context.task.progress({"evaluate", 0, 0, {}, "the archive loads and answers its golden rows"});

  TRY(auto reader, RowSetReader::open(job.rows, context.blobs));
  std::optional<data::RowDigester> current_digester;
  if (job.current_split) current_digester.emplace(reader->schema(), job.current_split->key, job.current_split->target);
  const auto classes = candidate->manifest().classes;
  std::map<std::string, std::size_t> class_index;
  for (std::size_t i = 0; i < classes.size(); ++i) class_index[classes[i]] = i;
  auto target = reader->schema().index_of(job.model.target);
  if (target < 0)
    return fail(Code::failed_precondition, "loop.no_target",
                "the data has no column '" + job.model.target + "' any more");

  eval::Scored scored;
  scored.task = task;
  scored.classes = classes;
  scored.threshold = candidate->manifest().threshold;
  std::vector<std::pair<int, eval::SliceColumn>> slices;
  for (const auto& name : slice_columns(gates, job.model)) {
    if (auto index = reader->schema().index_of(name); index >= 0) slices.push_back({index, {name, {}, {}}});
  }
  std::vector<table::Row> latency_rows;
  std::string current_cannot;
  std::int64_t seen = 0;
  for (;;) {
    if (context.task.cancelled()) return fail(Code::cancelled, "loop.cancelled", "the evaluation was stopped");
    TRY(auto batch, reader->next());
    if (!batch) break;
    seen += batch->rows.rows();
    std::vector<Digest> other;
    if (current_digester) other = current_digester->digests(batch->rows);
    auto truth = batch->rows.column(target);
    std::vector<std::int64_t> taken;
    for (std::int64_t i = 0; i < batch->rows.rows(); ++i) {
      auto at = static_cast<std::size_t>(i);
      if (batch->sides[at] != data::Side::test || truth.is_null(i)) continue;
      if (current_digester &&
          data::side_of(other[at], {job.current_split->test, job.current_split->validation}) != data::Side::test)
        continue;
      auto value = truth.value_at(i);
      if (task == eval::TaskType::regression) {
        auto number = std::holds_alternative<std::int64_t>(value) ? static_cast<double>(std::get<std::int64_t>(value))
                      : std::holds_alternative<double>(value)     ? std::get<double>(value)
                                                                  : std::nan("");
        if (!std::isfinite(number)) continue;
        scored.y.push_back(number);
      } else {
        auto known = class_index.find(table::to_text(value));
        if (known == class_index.end()) continue;  // a class that training never saw
        scored.y.push_back(static_cast<double>(known->second));
      }
      taken.push_back(i);
      scored.rows.push_back(batch->digests[at]);
    }
    if (taken.empty()) continue;
    auto rows = batch->rows.take(taken);
    for (auto& [index, slice] : slices) {
      auto column = rows.column(index);
      for (std::int64_t i = 0; i < rows.rows(); ++i) put_slice(slice, column, i);
    }
    for (auto& one : models) {
      if (one.rival == "current" && !current_cannot.empty()) continue;
      model::EncodeStats stats;
      auto answers = one.model->predict(rows, stats);
      if (!answers && one.rival == "current") {  // the data has become another than it learned from
        current_cannot = answers.error().message;
        continue;
      }
      if (!answers) return fail(std::move(answers).error());
      for (const auto& answer : *answers) put_scores(*one.model, classes, answer, one.scores);
    }
    for (std::int64_t i = 0; i < rows.rows() && latency_rows.size() < 200; ++i) {
      table::Row row;
      for (const auto& field : model::input_schema(candidate->manifest()).fields) {
        auto index = reader->schema().index_of(field.name);
        row.push_back(index < 0 ? table::Value() : rows.column(index).value_at(i));
      }
      latency_rows.push_back(std::move(row));
    }
    context.task.progress(
        {"evaluate",
         static_cast<double>(seen) / static_cast<double>(std::max<std::int64_t>(1, reader->rows_total())),
         seen,
         {},
         ""});
  }
  for (auto& [index, slice] : slices) scored.slices.push_back(std::move(slice));

  eval::Evaluation evaluation;
  auto evaluated = [&](const Opponent& one) {
    auto own = scored;
    own.scores = one.scores;
    return eval::Evaluated{one.name, std::move(own), std::nullopt, std::nullopt};
  };
  for (const auto& one : models) {
    if (one.rival.empty()) {
      evaluation.candidate = evaluated(one);
      evaluation.candidate.latency = latency(*one.model, latency_rows, context.task.env.clock);
      evaluation.candidate.model_bytes = job.candidate.bytes;
    } else if (one.rival == "current" && !current_cannot.empty()) {
      evaluation.current_cannot = current_cannot;
    } else if (one.rival == "current") {
      evaluation.current = evaluated(one);
    } else {
      evaluation.rivals[one.rival] = evaluated(one);
    }
  }
  TRY(auto evidence, eval::gather(gates, evaluation));
  eval::Facts facts;
  facts.sampled = job.quick;
  facts.usable_inputs = static_cast<std::int64_t>(job.model.inputs.size());
  auto verdict = eval::judge(gates, evidence, facts);

  EvaluateResult result;
  result.passed = verdict.passed;
  result.summary = eval::summary(verdict);
  result.verdict = eval::render_verdict(verdict);
  result.evidence = eval::render_evidence(evidence);
  result.primary = evidence.candidate.primary;
  result.metrics = evidence.candidate.all.metrics;
  if (evidence.current) result.current_metrics = evidence.current->all.metrics;
  if (auto baseline = evidence.rivals.find("baseline"); baseline != evidence.rivals.end())
    result.baseline_metrics = baseline->second.all.metrics;
  result.rows = static_cast<std::int64_t>(scored.size());
  result.rows_digest = evidence.candidate.rows_digest;
  result.current_version = job.current.digest.empty() ? 0 : job.current_version;
  return result;
}

}  // namespace millrace::loop
