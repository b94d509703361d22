// Trainings: how one starts, what its steps are, what becomes of their results.
#include <algorithm>
#include <cmath>
#include <format>

#include "base/error_codes.hpp"
#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "eval/gates.hpp"
#include "loop/fleet_records.hpp"
#include "loop/labels_text.hpp"
#include "loop/log_records.hpp"
#include "loop/service.hpp"
#include "train/command_files.hpp"

namespace millrace::loop {

namespace {

// Clients go on sending what the version before asked for: a column that is gone since is passed over, not refused.
Result<void> ignore_former_inputs(meta::Reader& reader, ModelSpec& model) {
  TRY(const auto last, newest_training(reader));
  if (!last) return {};
  TRY(const auto plan, parse_plan(last->plan));
  auto known = [&](const std::string& name) {
    return name == model.target || name == model.key || std::ranges::contains(model.ignored, name) ||
           std::ranges::contains(model.inputs, name, &InputSpec::name);
  };
  std::vector<std::string> former = plan.train.model.ignored;
  for (const auto& input : plan.train.model.inputs) former.push_back(input.name);
  for (const auto& name : former) {
    if (!known(name)) model.ignored.push_back(name);
  }
  return {};
}

constexpr std::string_view retrain_pipeline = "retrain";

flow::Pipeline make_pipeline(const ResourcesConfig& resources) {
  auto limits = std::format(R"({{"cpu":{},"memory_bytes":{}}})", resources.cpu, resources.memory_bytes);
  flow::Pipeline pipeline{std::string(retrain_pipeline), {}};
  // None is reused: each looks at the world (log, what serves now) or carries the run's own time.
  pipeline.steps.push_back({"assemble", std::string(job_kind::assemble), {}, false, 5, 3, {}, "{}"});
  pipeline.steps.push_back(
      {"train", std::string(job_kind::train), {"assemble"}, false, 0, 5, resources.max_duration, limits});
  pipeline.steps.push_back(
      {"evaluate", std::string(job_kind::evaluate), {"train"}, false, 5, 3, std::chrono::hours(1), "{}"});
  return pipeline;
}

}  // namespace

// In the transaction that enqueues the job: from then on the segments that it will read stay.
Result<AssembleJob> Service::assemble_job(meta::Reader& reader, const ModelSpec& model,
                                          const std::vector<data::ColumnField>& schema,
                                          const StoredLabels& labels) const {
  auto project = this->project();
  AssembleJob job;
  job.model = model.name;
  TRY(job.log, log_view(reader, model.name, config_.paths.log_dir()));
  job.labels = labels.blob;
  job.labels_seq = labels.seq;
  job.now_us = env_.clock.now().time_since_epoch().count();
  job.mature_us = project->labels.mature.count();
  job.trust = project->labels.trust;
  job.schema = schema;
  job.spec = model;
  for (const auto& rule : project->retrain.when) {
    if (!rule.metric.empty()) job.metrics.push_back(rule.metric);
  }
  return job;
}

Result<Service::StoredLabels> Service::store_labels(const Project& project) {
  label::LabelFilter filter;
  filter.origins.clear();
  for (const auto& name : project.labels.trust) {
    TRY(auto origin, label::parse_origin(name));
    filter.origins.push_back(origin);
  }
  TRY(auto writer, blobs_.create());
  StoredLabels stored;
  TRY_VOID(store_.read([&](meta::Reader& reader) -> Result<void> {
    TRY(stored.usable, label::count(reader, project.name, filter));
    for (;;) {
      TRY(auto page, label::labels_after(reader, project.name, stored.seq, 10'000));
      if (page.empty()) return {};
      TRY_VOID(writer->append(render_labels(page)));
      stored.seq = page.back().seq;
    }
  }));
  TRY(auto info, writer->commit());
  stored.blob = info.digest.hex();
  return stored;
}

Result<void> Service::nothing_under_way(meta::Reader& reader) const {
  TRY(auto runs, pipelines_.list(reader, {.state = flow::RunState::running, .max = 1}));
  if (runs.empty()) return {};
  const auto& key = runs.front().key;
  return millrace::fail(Code::aborted, "loop.run_under_way",
                        std::format("run {} is under way; wait for it, or: millrace runs cancel {}", key, key));
}

Result<void> Service::start_pipeline(meta::Tx& tx, const Project& project, const RunPlan& plan) {
  TRY_VOID(pipelines_.start(tx, make_pipeline(project.retrain.resources), {plan.run, "{}", plan.cause}));
  return {};
}

Result<std::string> Service::start_training(const std::string& rule, const std::string& cause,
                                            const TrainOptions& options) {
  auto project = this->project();
  if (!project)
    return millrace::fail(Code::failed_precondition, "loop.no_project",
                          "no project file is applied yet: millrace apply");
  const auto& source = project->model.target.source;
  auto now = env_.clock.now();
  RunPlan plan;
  plan.run = ids_.make().text();
  plan.cause = cause;
  plan.rule = rule;
  TRY_VOID(store_.read([&](meta::Reader& reader) { return nothing_under_way(reader); }));
  TRY(auto labels, store_labels(*project));
  plan.labels = labels.blob;
  plan.labels_seq = labels.seq;
  plan.labels_usable = labels.usable;
  TRY_VOID(env_.faults.reach("loop.start.after_labels"));
  TRY_VOID(keep_code(*project, plan));
  TRY_VOID(env_.faults.reach("loop.start.after_code"));
  TRY_VOID(store_.write([&](meta::Tx& tx) -> Result<void> {
    TRY_VOID(nothing_under_way(tx));
    TRY(auto version, data::newest_usable(tx, source));
    if (!version) {
      return millrace::fail(
          Code::failed_precondition, "loop.no_data",
          std::format("source '{}' has no dataset version that may be trained on; see: millrace data ls", source));
    }
    TRY(auto model, plan_model(*project, version->content.analysis.inference));
    TRY_VOID(ignore_former_inputs(tx, model));
    plan.model_digest = model_digest(*project).hex();
    plan.data_read = format_time(version->created);
    plan.gates = plan_gates(*project, model.task);
    auto& train = plan.train;
    train.run = plan.run;
    train.rows.dataset = source;
    train.rows.version = version->number;
    train.rows.parts = version->content.parts;
    train.rows.schema = version->content.schema;
    train.rows.split = plan_split(*project, model);
    train.model = std::move(model);
    train.trainer = project->model.trainer.name == "auto" ? "boosted-trees" : project->model.trainer.name;
    train.parameters = trainer_parameters(project->model.trainer);
    train.seed = static_cast<std::uint64_t>(project->model.trainer.seed);
    train.threads = plan_threads(*project, config_.cores);
    train.project_digest = project_digest(*project).hex();
    train.created = format_time(now);
    train.quick_rows = options.quick ? config_.quick_rows : 0;
    train.shuffle_target = options.shuffle_target;
    train.old_rows = project->retrain.old_rows.value_or(0);
    train.new_rows = project->retrain.newest_rows.value_or(0);

    track::Run run;
    run.id = plan.run;
    run.project = project->name;
    run.kind = "train";
    run.cause = cause;
    run.params = "{}";
    run.inputs = render_job(train.rows);
    run.created = now;
    TRY_VOID(track::create_run(tx, run));
    Training training{plan.run, version->number,   version->rows,     plan.labels_usable,
                      0,        plan.model_digest, render_plan(plan), !options.quick && !options.shuffle_target,
                      now};
    TRY_VOID(add_training(tx, training));
    TRY_VOID(start_pipeline(tx, *project, plan));
    return env_.faults.reach("loop.start.before_commit");
  }));
  TRY_VOID(env_.faults.reach("loop.start.after_commit"));
  env_.log.info("training_started", {{"run", plan.run}, {"cause", cause}});
  TRY_VOID(pipelines_.advance_all());
  changed();
  return plan.run;
}

// Before the transaction: files are read and written, and git is asked.
Result<void> Service::keep_code(const Project& project, RunPlan& plan) {
  TRY(const auto stored, store_.read([](meta::Reader& reader) { return newest_project(reader); }));
  TRY(plan.code, copy_project(blobs_, stored ? stored->text : "", project));
  plan.project_number = stored ? stored->number : 0;
  const auto& folder = config_.paths.project_dir;
  const auto& trainer = project.model.trainer;
  if (trainer.name == "command") {
    auto& train = plan.train;
    train.command = trainer.command;
    train.command_folder = folder;
    TRY(train.command_files, train::keep_command_files(env_.fs, blobs_, folder, trainer.command, trainer.files));
    train.code_digest = train::command_digest(trainer.command, train.command_files);
  }
  if (config_.processes)
    copy_git(env_, blobs_, *config_.processes, folder, join_path(config_.paths.scratch_dir(), plan.run), plan.code);
  return {};
}

Result<flow::StepPlan> Service::plan_step(meta::Tx& tx, const flow::PipelineRun& run, const flow::Step& step,
                                          const std::map<std::string, std::string>& results) {
  TRY(auto training, training_of(tx, run.key));
  if (!training) return millrace::fail(Code::internal, "loop.no_plan", "run " + run.key + " has no plan");
  TRY(auto plan, parse_plan(training->plan));
  if (step.name == "assemble") {
    if (!plan.train.data_digest.empty()) {  // settled by the run that this one repeats or goes on from
      AssembleResult settled;
      settled.parts = plan.train.rows.feedback;
      settled.labels_seq = plan.train.rows.feedback_version;
      return flow::StepPlan::done(render_job(settled));
    }
    if (plan.labels_usable == 0) return flow::StepPlan::done(render_job(AssembleResult{}));
    TRY(auto job,
        assemble_job(tx, plan.train.model, plan.train.rows.schema, {plan.labels, plan.labels_seq, plan.labels_usable}));
    return flow::StepPlan::run(render_job(job));
  }
  if (step.name == "train") {
    TRY(auto feedback, parse_job<AssembleResult>(results.at("assemble")));
    plan.train.rows.feedback = feedback.parts;
    plan.train.rows.feedback_version = feedback.labels_seq;
    plan.labels.clear();  // what was learned from them is in the feedback rows
    plan.train.data_digest = data_digest(plan.train.rows);
    if (feedback.rows > 0) {
      plan.first_row = format_time(TimePoint(Duration(feedback.first_us)));
      plan.last_row = format_time(TimePoint(Duration(feedback.last_us)));
    }
    TRY_VOID(update_plan(tx, run.key, render_plan(plan)));
    TRY(auto record, track::get_run(tx, run.key));
    record.inputs = render_job(plan.train.rows);
    TRY_VOID(track::update_run(tx, record));
    if (!plan.trained.empty()) return flow::StepPlan::done(plan.trained);
    return flow::StepPlan::run(render_job(plan.train),
                               plan.checkpoint.empty() ? std::nullopt : std::optional(plan.checkpoint));
  }
  // Of an import: the archive that came in the place of a training.
  auto done = results.find("train");
  TRY(auto trained, parse_job<TrainResult>(done == results.end() ? plan.trained : done->second));
  EvaluateJob job;
  job.run = run.key;
  job.name = plan.train.model.name + ":candidate";
  job.model = plan.train.model;
  job.rows = plan.train.rows;
  job.candidate = trained.artifact;
  job.baseline = trained.baseline;
  job.gates = plan.gates;
  job.quick = plan.train.quick_rows > 0;
  TRY(auto current, registry::alias(tx, plan.train.model.name, registry::current_alias));
  if (current) {
    TRY(auto version, registry::get_version(tx, plan.train.model.name, current->version));
    job.current = {version.artifact, version.bytes};
    job.current_version = current->version;
    if (current->version > 0) {
      TRY(auto before, training_of(tx, version.run));
      if (before) {
        TRY(auto before_plan, parse_plan(before->plan));
        if (before_plan.train.rows.split != plan.train.rows.split) job.current_split = before_plan.train.rows.split;
      }
    }
  }
  return flow::StepPlan::run(render_job(job));
}

Result<void> Service::commit_ingest(meta::Tx& tx, const flow::Job& job, const std::string& result) {
  TRY(auto output, data::parse_ingest_output(result));
  TRY(auto read, parse_job<ReadJob>(job.input));
  TRY_VOID(note_question(tx, read));
  if (output.unchanged) return {};
  TRY_VOID(env_.faults.reach("loop.ingest.before_commit"));
  auto rows = output.analysis.rows;
  TRY(auto added, data::add_version(tx, read.dataset, std::move(output), job.cause, env_.clock.now()));
  env_.log.info(
      "dataset_version",
      {{"dataset", read.dataset}, {"version", added.number}, {"rows", rows}, {"state", data::state_name(added.state)}});
  return {};
}

// The candidate gets its number and its verdict, and takes over when it passed: one transaction.
Result<void> Service::commit_evaluation(meta::Tx& tx, const flow::Job& job, const std::string& text) {
  TRY(auto input, parse_job<EvaluateJob>(job.input));
  TRY(auto result, parse_job<EvaluateResult>(text));
  TRY(auto training, training_of(tx, input.run));
  if (!training) return millrace::fail(Code::internal, "loop.no_plan", "run " + input.run + " has no plan");
  TRY(auto plan, parse_plan(training->plan));
  const auto& name = input.model.name;
  auto now = env_.clock.now();
  registry::ModelVersion baseline;
  baseline.model = name;
  baseline.run = input.run;
  baseline.artifact = input.baseline.digest;
  baseline.bytes = input.baseline.bytes;
  baseline.verdict = registry::VerdictState::passed;
  baseline.report = "{}";
  baseline.verdict_lines = "{}";
  baseline.lineage = "{}";
  baseline.created = now;
  if (!input.baseline.digest.empty()) TRY_VOID(registry::add_version(tx, baseline, true));

  registry::ModelVersion version;
  version.model = name;
  version.run = input.run;
  version.artifact = input.candidate.digest;
  version.bytes = input.candidate.bytes;
  version.verdict = result.passed ? registry::VerdictState::passed : registry::VerdictState::failed;
  version.verdict_lines = result.verdict;
  version.report = text;
  version.lineage = training->plan;
  version.quick = input.quick;
  version.created = now;
  TRY(version, registry::add_version(tx, version));
  TRY_VOID(env_.faults.reach("loop.register.after_number"));

  TRY(auto current, registry::alias(tx, name, registry::current_alias));
  bool same_opponent = (current ? current->version : 0) == (input.current.digest.empty() ? 0 : input.current_version);
  // Somebody moved `current` while the candidate was measured against the old one: a verdict against another opponent
  // moves nothing; the next run compares anew.
  bool same_bytes = current && version.artifact == input.current.digest;  // a repeat: nothing would change
  if (result.passed && same_opponent && !same_bytes && !plan.train.shuffle_target) {
    const auto project = this->project();
    TRY_VOID(begin_release(tx, name, version.number, project ? project->release.steps : ReleaseConfig().steps,
                           {"rule: " + plan.rule, "passed its gates"}));
  }
  TRY_VOID(env_.faults.reach("loop.register.before_commit"));
  TRY(auto run, track::get_run(tx, input.run));
  run.outcome = std::format(R"({{"version":"{}:{}","verdict":"{}"}})", name, version.number,
                            registry::verdict_name(version.verdict));
  TRY_VOID(track::update_run(tx, run));
  std::vector<track::MetricPoint> points;
  for (const auto& [metric, value] : result.metrics) points.push_back({"test." + metric, 0, value, now});
  TRY_VOID(track::log_metrics(tx, input.run, points));
  TRY_VOID(end_run(tx, input.run, track::RunState::finished, ""));
  env_.log.info("model_version", {{"model", name},
                                  {"version", version.number},
                                  {"verdict", registry::verdict_name(version.verdict)},
                                  {"summary", result.summary}});
  return {};
}

Result<void> Service::end_run(meta::Tx& tx, const std::string& id, track::RunState state, const std::string& failure) {
  TRY(auto run, track::get_run(tx, id));
  if (run.ended) return {};
  run.state = state;
  run.ended = env_.clock.now();
  run.failure = failure;
  return track::update_run(tx, run);
}

Result<void> Service::cancel_run(const std::string& id, const std::string& by) {
  track::Run run;
  std::vector<flow::PipelineRun> under_way;
  TRY_VOID(store_.read([&](meta::Reader& reader) -> Result<void> {
    TRY(run, track::get_run(reader, id));
    TRY(under_way, pipelines_.list(reader, {.key = run.id, .state = flow::RunState::running}));
    return {};
  }));
  if (under_way.empty())
    return millrace::fail(Code::failed_precondition, "loop.run_over", "run " + run.id + " is over already");
  for (const auto& one : under_way) TRY_VOID(pipelines_.cancel(one.id, by));
  TRY_VOID(store_.write(
      [&](meta::Tx& tx) { return end_run(tx, run.id, track::RunState::cancelled, "cancelled by " + by); }));
  changed();
  return {};
}

Result<std::string> Service::rebuild(const std::string& model, std::int64_t number) {
  TRY(auto rows, store_.read([&](meta::Reader& reader) -> Result<RowSet> {
    TRY(auto version, registry::get_version(reader, model, number));
    if (version.number == 0) {
      return millrace::fail(Code::failed_precondition, "loop.baseline",
                            model + ":baseline is made beside a training; rebuild a version: millrace models ls");
    }
    TRY(auto plan, parse_plan(version.lineage));
    return plan.train.rows;
  }));
  TRY_VOID(pin_rows(rows, std::format("{}:{}", model, number)));
  TRY(auto id, store_.write([&](meta::Tx& tx) -> Result<std::string> {
    TRY(auto version, registry::get_version(tx, model, number));
    TRY(auto plan, parse_plan(version.lineage));
    if (!plan.imported.empty()) {
      return millrace::fail(Code::failed_precondition, "loop.imported",
                            std::format("{}:{} was imported from {}: there is no training here to do again", model,
                                        number, plan.imported));
    }
    flow::NewJob job;
    job.kind = job_kind::rebuild;
    job.key = std::format("{}:{}", model, number);
    job.input = render_job(RebuildJob{plan.train, version.artifact});
    job.cause = "by hand";
    return jobs_.enqueue(tx, job);
  }));
  TRY_VOID(env_.faults.reach("loop.rebuild.after_enqueue"));
  changed();
  return id;
}

Result<void> Service::look_at_pipelines() {
  TRY_VOID(pipelines_.advance_all());
  // A run whose pipeline ended without its last step (a job given up, a step that could not be planned) is over too.
  std::vector<flow::PipelineRun> over;
  TRY_VOID(store_.read([&](meta::Reader& reader) -> Result<void> {
    TRY(auto runs, pipelines_.list(reader, {.max = 5}));
    for (auto& one : runs) {
      if (one.state == flow::RunState::running) continue;
      TRY(auto run, track::get_run(reader, one.key));
      if (!run.ended) over.push_back(std::move(one));
    }
    return {};
  }));
  for (const auto& one : over) {
    auto state = one.state == flow::RunState::cancelled ? track::RunState::cancelled
                 : one.state == flow::RunState::failed  ? track::RunState::failed
                                                        : track::RunState::finished;
    TRY_VOID(store_.write([&](meta::Tx& tx) {
      return end_run(tx, one.key, state, state == track::RunState::finished ? "" : one.outcome);
    }));
  }
  return {};
}

Result<void> Service::look_at_live() {
  auto project = this->project();
  if (!project) return {};
  std::optional<data::DatasetVersion> version;
  bool due = false, new_labels = false;
  TRY_VOID(store_.read([&](meta::Reader& reader) -> Result<void> {
    TRY(auto live, get_live(reader, project->name));
    TRY(auto seq, label::last_seq(reader, project->name));
    TRY(const auto late, late_lines(reader, project->name));
    new_labels = due = seq > (live ? live->labels_seq : 0);
    if (!due && live && late > 0) {
      TRY(const auto result, parse_job<LiveResult>(live->result));
      due = late > result.late_lines;
    }
    for (auto state : {flow::JobState::queued, flow::JobState::running}) {
      TRY(auto asked, jobs_.list(reader, {.state = state, .kind = std::string(job_kind::live), .max = 1}));
      if (!asked.empty()) due = false;  // one is under way; what came since is seen by the next
    }
    if (due) {
      TRY(version, data::newest_usable(reader, project->model.target.source));
    }
    return {};
  }));
  if (!due || !version) return {};
  TRY(auto model, plan_model(*project, version->content.analysis.inference));
  TRY(auto labels, store_labels(*project));
  return store_.write([&](meta::Tx& tx) -> Result<void> {
    TRY(auto input, assemble_job(tx, model, version->content.schema, labels));
    TRY(input.late_lines, late_lines(tx, project->name));
    flow::NewJob job;
    job.kind = job_kind::live;
    job.key = project->name;
    job.input = render_job(input);
    job.cause = new_labels ? "new labels" : "predictions that came after their labels";
    job.priority = -5;
    TRY(auto id, jobs_.enqueue(tx, job));
    (void)id;
    return env_.faults.reach("loop.live.before_enqueue");
  });
}

// As the newest usable version has them. Its whole record is read once per version, not once per label.
Result<std::vector<std::string>> Service::target_classes(const std::string& source) {
  return store_.read([&](meta::Reader& reader) -> Result<std::vector<std::string>> {
    TRY(auto head, data::newest_usable_head(reader, source));
    if (!head) return std::vector<std::string>();
    {
      std::lock_guard lock(mutex_);
      if (classes_.source == source && classes_.version == head->number) return classes_.names;
    }
    TRY(auto version, data::get_version(reader, source, head->number));
    std::vector<std::string> names;
    for (const auto& one : version.content.analysis.inference.classes) names.push_back(one.value);
    std::lock_guard lock(mutex_);
    classes_ = {source, head->number, names};
    return names;
  });
}

Result<label::Intake> Service::add_labels(const std::string& model, std::span<const label::RawLabel> rows) {
  auto project = this->project();
  if (!project || project->name != model) {
    return millrace::fail(
        Code::not_found, "loop.no_model",
        std::format("there is no model '{}' here; there is: {}", model, project ? project->name : "none"));
  }
  label::LabelRules rules;
  rules.model = model;
  rules.classes = project->labels.classes;
  if (rules.classes.empty()) {
    TRY(rules.classes, target_classes(project->model.target.source));
  }
  auto now = env_.clock.now();
  TRY(auto labels, label::parse_labels(rows, rules, now));
  const auto* source = project->source(project->model.target.source);
  const bool by_key = std::ranges::any_of(labels, [](const auto& one) { return one.key.has_value(); });
  if (by_key && (!source || source->key.empty())) {
    return millrace::fail(
        Code::failed_precondition, "loop.no_key",
        std::format("model '{}' has no key, so a label by key can't be joined: send 'prediction', the "
                    "id that came with the answer, or name a column in [source.{}] key",
                    model, project->model.target.source));
  }
  TRY(auto intake, store_.write([&](meta::Tx& tx) { return label::add(tx, env_.faults, model, labels, now); }));
  TRY_VOID(env_.faults.reach("loop.labels.after_commit"));
  changed();
  return intake;
}

}  // namespace millrace::loop
