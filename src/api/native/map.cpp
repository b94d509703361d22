#include "api/native/map.hpp"

#include <format>

#include "eval/gates.hpp"
#include "flow/window.hpp"
#include "train/job_files.hpp"

namespace millrace::api {

std::string age_text(Duration age) {
  using namespace std::chrono;
  if (age < minutes(1)) return std::format("{}s", duration_cast<seconds>(age).count());
  if (age < hours(1)) return std::format("{}m", duration_cast<minutes>(age).count());
  if (age < days(2)) return std::format("{}h", duration_cast<hours>(age).count());
  return std::format("{}d", duration_cast<days>(age).count());
}

std::map<std::string, std::string> lineage_of(const loop::RunPlan& plan) {
  const auto& train = plan.train;
  std::string columns;
  for (const auto& input : train.model.inputs)
    columns += (columns.empty() ? "" : ", ") + input.name + (input.encoding.empty() ? "" : " (" + input.encoding + ")");
  std::map<std::string, std::string> out = {
      {"dataset", std::format("{}@{}", train.rows.dataset, train.rows.version)},
      {"labels", std::format("{} usable, up to number {}", plan.labels_usable, plan.labels_seq)},
      {"data digest", train.data_digest},
      {"project file", std::to_string(plan.project_number)},
      {"project digest", train.project_digest},
      {"columns", columns}};
  if (!plan.imported.empty()) {
    out["imported"] = plan.imported;
    return out;
  }
  out["trainer"] = train.trainer;
  out["seed"] = std::to_string(train.seed);
  out["threads"] = std::to_string(train.threads);
  if (!plan.resumes.empty()) out["goes on from"] = plan.resumes;
  if (!plan.repeats.empty()) out["repeats"] = plan.repeats;
  return out;
}

CheckAnswer to_wire(const data::CheckReport& from) {
  CheckAnswer to{from.passed(), {}};
  for (const auto& check : from.results) to.lines.push_back({check.column, check.rule, check.level, check.message});
  return to;
}

DatasetVersion to_wire(const data::DatasetVersion& version, bool whole, const data::ColumnNames& hidden) {
  data::DatasetVersion masked;
  if (whole && !hidden.empty()) {
    masked = version;
    data::mask(masked.content.analysis, hidden);
  }
  const auto& from = whole && !hidden.empty() ? masked : version;
  DatasetVersion to;
  to.dataset = from.dataset;
  to.number = from.number;
  to.rows = from.rows;
  to.parts = from.part_count;
  to.bytes = from.bytes;
  to.state = data::state_name(from.state);
  to.state_reason = from.state_reason;
  if (from.parent > 0) to.parent = from.parent;
  to.created = format_time(from.created);
  to.by = from.by;
  to.source = from.content.provenance.uri;
  to.source_digest = from.content.provenance.digest;
  if (!whole) return to;
  for (const auto& column : from.content.analysis.columns) {
    ColumnStats stats{column.name,
                      column.type,
                      column.nulls,
                      column.distinct,
                      column.min,
                      column.max,
                      column.mean,
                      column.std_dev,
                      {},
                      "",
                      ""};
    for (const auto& top : column.top) {
      if (stats.top.size() == 5) break;
      stats.top.push_back(top.value);
    }
    for (const auto& input : from.content.analysis.inference.columns) {
      if (input.name == column.name) {
        stats.role = input.role;
        stats.why = input.why;
      }
    }
    to.columns.push_back(std::move(stats));
  }
  for (const auto& check : from.content.analysis.checks.results)
    to.checks.push_back({check.column, check.rule, check.level, check.message});
  to.notes = from.content.notes;
  to.notes.insert(to.notes.end(), from.content.analysis.inference.notes.begin(),
                  from.content.analysis.inference.notes.end());
  return to;
}

Result<ModelVersion> to_wire(const registry::ModelVersion& from, bool whole) {
  ModelVersion to;
  to.model = from.model;
  to.number = from.number;
  to.verdict = registry::verdict_name(from.verdict);
  to.override_by = from.override_by;
  to.override_reason = from.override_reason;
  to.bytes = from.bytes;
  to.bytes_kept = from.bytes_kept;
  to.quick = from.quick;
  to.artifact = from.artifact;
  to.run = from.run;
  to.created = format_time(from.created);
  if (from.number == 0) return to;
  TRY(auto result, loop::parse_job<loop::EvaluateResult>(from.report));
  to.metrics = result.metrics;
  if (!whole) return to;
  to.current_metrics = result.current_metrics;
  to.baseline_metrics = result.baseline_metrics;
  to.compared_rows = result.rows;
  to.compared_digest = result.rows_digest;
  TRY(auto verdict, eval::parse_verdict(from.verdict_lines));
  for (const auto& reason : verdict.reasons) to.gates.push_back({"(this version)", "", "", false, reason});
  for (const auto& gate : verdict.gates) {
    to.gates.push_back(
        {gate.expression, gate.required, gate.got ? std::format("{:.4g}", *gate.got) : "-", gate.passed, gate.why});
  }
  TRY(auto plan, loop::parse_plan(from.lineage));
  to.params = plan.train.parameters;
  to.lineage = lineage_of(plan);
  to.lineage["cause"] = plan.cause;
  return to;
}

GcAnswer to_wire(const loop::GarbageReport& from) {
  GcAnswer to{from.dry_run, from.versions_let_go, from.blobs,   from.bytes, from.uploads,     from.quarantined,
              from.jobs,    from.outputs,         from.scratch, {},         from.took_seconds};
  for (const auto& line : from.kept) to.kept.push_back({line.why, line.blobs, line.bytes});
  return to;
}

AliasMove to_wire(const registry::AliasMove& from) {
  return {from.alias, from.version, from.by, from.reason, format_time(from.since)};
}

JobState to_wire(const flow::Job& from, const HiddenColumns& hidden) {
  JobState to;
  to.job = from.id;
  to.kind = from.kind;
  to.state = flow::to_text(from.state);
  if (from.progress) {
    if (auto progress = train::parse_progress(*from.progress)) {
      to.phase = progress->phase;
      to.done = progress->done;
      for (const auto& [name, value] : progress->metrics) to.metrics.push_back({name, value});
    }
  }
  if (from.failure) to.message = std::format("{}: {}", flow::to_text(from.failure->kind), from.failure->message);
  if (from.state == flow::JobState::done) {
    to.result = from.result.value_or("");
    if (from.kind == loop::job_kind::ingest) {
      auto read = loop::parse_job<loop::ReadJob>(from.input);
      auto columns = read && hidden ? hidden(read->dataset) : data::ColumnNames();
      if (auto found = data::parse_ingest_output(to.result); found && !columns.empty()) {
        data::mask(found->analysis, columns);
        to.result = data::render(*found);
      }
    }
    if (from.kind == loop::job_kind::check) {
      if (auto report = data::parse_check_report(to.result)) to.result = render(to_wire(*report));
    }
    if (from.kind == loop::job_kind::rebuild) {
      if (auto rebuilt = loop::parse_job<loop::RebuildResult>(to.result)) to.message = rebuilt->message;
    }
  }
  return to;
}

LoopAnswer loop_of(const loop::Project& project, const flow::QuietHours& quiet) {
  LoopAnswer answer;
  auto add = [&](std::string step, std::string how, std::string rule) {
    answer.steps.push_back({std::move(step), std::move(how), std::move(rule)});
  };
  for (const auto& source : project.sources) {
    add("read " + source.name, source.upload() ? "by hand" : "automatic",
        source.upload() ? "uploads: millrace ingest " + source.name + " FILE" : "when " + source.uri + " changes");
  }
  add("check", "automatic",
      "each dataset version; one that fails is kept, and trained on only after: millrace data accept");
  std::string when = "the first version";
  if (project.retrain.schedule) when += "; schedule " + project.retrain.schedule->text;
  for (const auto& rule : project.retrain.when) when += "; " + rule.text;
  auto window = flow::describe(project.retrain.window);
  if (project.retrain.window.kind == flow::Window::Kind::quietest)
    window += quiet.reason.empty()
                  ? ", by the log of the running server"
                  : std::format(", from {:02}:00 {}: {}", quiet.start_hour, project.timezone, quiet.reason);
  add("train", "automatic", when + " (" + window + ")");
  add("gate", "automatic",
      project.gates.empty() ? "the default gates of the task"
                            : std::format("{} gates of [gates]", project.gates.size()));
  std::string steps;
  for (const auto& step : project.release.steps) steps += (steps.empty() ? "" : ", then ") + step;
  add("release", "automatic",
      (steps == "full" ? std::string("a version that passed answers at once") : "a version that passed: " + steps) +
          std::format("; watched for {} and {} requests; a failed one only by: millrace promote --reason",
                      format_duration(project.release.probation.time), project.release.probation.requests));
  add("log predictions", "automatic", "each answer, before it is sent");
  auto dataset = loop::predictions_dataset(project.name);
  auto kept = project.retention.predictions ? "kept for " + format_duration(*project.retention.predictions) : "kept";
  add("roll the log", "automatic",
      std::format("into {} when 64 MiB are closed or a line is a day old, or: millrace ingest {}; {}", dataset, dataset,
                  kept));
  add("take labels", "by hand", "POST /labels/" + project.name + ", or: millrace label");
  add("go back", "automatic",
      "when a version that is being released or watched fails more requests than the one before, or ends the server; "
      "by "
      "hand: millrace rollback " +
          project.name);
  return answer;
}

}  // namespace millrace::api
