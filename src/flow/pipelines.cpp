#include "flow/pipelines.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "base/digest.hpp"
#include "base/fault.hpp"
#include "base/json.hpp"
#include "base/log.hpp"

namespace millrace::flow {

namespace {

using meta::value;

// The definition as it is stored: a run goes on with the steps that it began with, also after an upgrade.
struct StoredStep {
  std::string name;
  std::string kind;
  std::vector<std::string> needs;
  bool reusable = true;
  int priority = 0;
  int attempts_max = 3;
  std::int64_t timeout_us = 0;
  std::string resources;
};
struct StoredSteps {
  int format = 1;
  std::vector<StoredStep> steps;
};

struct RunPayload {
  std::string id;
  std::string pipeline;
  std::string key;
  std::string state;
  std::string outcome;
};

std::string render_steps(const Pipeline& pipeline) {
  StoredSteps stored;
  for (const auto& step : pipeline.steps)
    stored.steps.push_back({step.name, step.kind, step.needs, step.reusable, step.priority, step.attempts_max,
                            step.timeout.count(), step.resources});
  return json::render(stored);
}

Result<Pipeline> parse_steps(const std::string& name, const std::string& text) {
  TRY(auto stored, json::parse<StoredSteps>(text, "the steps of a run of " + name));
  Pipeline pipeline{name, {}};
  for (auto& step : stored.steps)
    pipeline.steps.push_back({std::move(step.name), std::move(step.kind), std::move(step.needs), step.reusable,
                              step.priority, step.attempts_max, Duration(step.timeout_us), std::move(step.resources)});
  return pipeline;
}

PipelineRun read_run(const meta::Row& row) {
  const auto state = parse_run_state(row.text(5));
  check(state.has_value(), "flow_pipeline_runs holds only known states (its CHECK says so)");
  return {row.text(0), row.text(1), row.text(2), row.text(3),      row.text(4),
          *state,      row.text(6), row.time(7), row.maybe_time(8)};
}

constexpr const char* run_columns = "id, pipeline, run_key, context, cause, state, outcome, started_at, ended_at";

StepRecord read_step(const meta::Row& row) {
  const auto state = parse_step_state(row.text(2));
  check(state.has_value(), "flow_steps holds only known states (its CHECK says so)");
  StepRecord step;
  step.name = row.text(0);
  step.kind = row.text(1);
  step.state = *state;
  step.job = row.maybe_text(3);
  step.input_digest = row.maybe_text(4);
  step.result = row.maybe_text(5);
  step.reused_run = row.maybe_text(6);
  step.note = row.text(7);
  step.started_at = row.maybe_time(8);
  step.ended_at = row.maybe_time(9);
  return step;
}

bool another_time(Code code) {
  return code == Code::unavailable || code == Code::resource_exhausted || code == Code::aborted;
}

std::string failure_line(const Job& job) {
  return job.failure ? std::string(to_text(job.failure->kind)) + ": " + job.failure->message
                     : std::string(to_text(job.state));
}

}  // namespace

struct Pipelines::Book {
  PipelineRun run;
  Pipeline pipeline;
  std::vector<StepRecord> steps;    // in the order of pipeline.steps
  std::map<std::string, Job> jobs;  // of running steps, by step

  std::vector<StepView> views() const {
    std::vector<StepView> out;
    for (const auto& step : steps) {
      const auto job = jobs.find(step.name);
      out.push_back({step.name, step.state, job == jobs.end() ? std::nullopt : std::optional(job->second.state)});
    }
    return out;
  }
  StepRecord& step(std::string_view name) {
    const auto found = std::ranges::find(steps, name, &StepRecord::name);
    check(found != steps.end(), "a run has a row for each of its steps");
    return *found;
  }
};

Pipelines::Pipelines(Env env, meta::Store& store, Jobs& jobs, PlanStep plan)
    : env_(env), store_(store), jobs_(jobs), plan_(std::move(plan)), ids_(env.clock, env.rng) {}

Result<std::string> Pipelines::start(meta::Tx& tx, const Pipeline& pipeline, const StartRun& options) {
  TRY_VOID(check_pipeline(pipeline));
  const auto id = ids_.make().text();
  const auto key = options.key.empty() ? id : options.key;
  TRY(auto there,
      tx.query_one("SELECT id FROM flow_pipeline_runs WHERE pipeline = $1 AND run_key = $2 AND state = 'running'",
                   {pipeline.name, key}));
  if (there) return there->text(0);
  TRY_VOID(tx.exec(
      "INSERT INTO flow_pipeline_runs (id, pipeline, run_key, steps, context, cause, state, outcome, started_at) "
      "VALUES ($1, $2, $3, $4, $5, $6, 'running', '', $7)",
      {id, pipeline.name, key, render_steps(pipeline), options.context, options.cause, value(env_.clock.now())}));
  for (const auto& step : pipeline.steps)
    TRY_VOID(tx.exec("INSERT INTO flow_steps (run, name, kind, state, note) VALUES ($1, $2, $3, 'waiting', '')",
                     {id, step.name, step.kind}));
  TRY_VOID(tx.emit({"pipeline.started", id, json::render(RunPayload{id, pipeline.name, key, "running", ""})}));
  return id;
}

Result<std::string> Pipelines::start(const Pipeline& pipeline, const StartRun& options) {
  TRY(auto id, store_.write([&](meta::Tx& tx) { return start(tx, pipeline, options); }));
  TRY_VOID(advance(id));
  return id;
}

Result<Pipelines::Book> Pipelines::load(meta::Reader& reader, std::string_view id) const {
  const std::string run(id);
  TRY(auto row,
      reader.query_one(std::string("SELECT ") + run_columns + ", steps FROM flow_pipeline_runs WHERE id = $1", {run}));
  if (!row) return fail(Code::not_found, "flow.no_run", "there is no pipeline run " + run);
  Book book;
  book.run = read_run(*row);
  TRY(book.pipeline, parse_steps(book.run.pipeline, row->text(9)));
  TRY(auto rows,
      reader.query(
          "SELECT name, kind, state, job, input_digest, result, reused_run, note, started_at, ended_at FROM flow_steps "
          "WHERE run = $1",
          {run}));
  std::map<std::string, StepRecord> records;
  for (const auto& each : rows) records.emplace(each.text(0), read_step(each));
  for (const auto& step : book.pipeline.steps) {
    const auto& record = book.steps.emplace_back(std::move(records[step.name]));
    check(record.name == step.name, "a run has a row for each of its steps");
    if (record.state != StepState::running || !record.job) continue;
    TRY(auto job, jobs_.find(reader, *record.job));
    book.jobs.emplace(step.name, std::move(job));
  }
  return book;
}

Result<void> Pipelines::advance(std::string_view run) {
  // Looked at on a snapshot first: most calls find nothing to do and cost no write.
  TRY(auto idle, store_.read([&](meta::Reader& reader) -> Result<bool> {
    TRY(auto book, load(reader, run));
    return book.run.state != RunState::running || next_steps(book.pipeline, book.views()).nothing();
  }));
  if (idle) return {};
  std::string planning;  // the step whose plan is being asked for
  const auto go_on = [&](meta::Tx& tx) -> Result<void> {
    TRY(auto book, load(tx, run));
    while (book.run.state == RunState::running) {
      const auto next = next_steps(book.pipeline, book.views());
      if (next.nothing()) break;
      TRY_VOID(act(tx, book, next, planning));
    }
    return env_.faults.reach("flow.pipeline.before_commit");
  };
  auto done = store_.write(go_on);
  if (done) return env_.faults.reach("flow.pipeline.after_commit");
  if (planning.empty() || another_time(done.error().code)) return done;
  // The plan itself said no, and whatever it wrote is undone: the step fails, and the run with it.
  return store_.write([&](meta::Tx& tx) -> Result<void> {
    TRY(auto book, load(tx, run));
    auto& step = book.step(planning);
    if (book.run.state != RunState::running || step.state != StepState::waiting) return {};
    step.state = StepState::failed;
    step.note = "its input could not be made: " + done.error().message;
    step.ended_at = env_.clock.now();
    TRY_VOID(save_step(tx, book, step));
    return act(tx, book, next_steps(book.pipeline, book.views()), planning);
  });
}

Result<void> Pipelines::act(meta::Tx& tx, Book& book, const NextSteps& next, std::string& planning) {
  for (const auto& [name, state] : next.settled) {
    auto& step = book.step(name);
    const auto& job = book.jobs.at(name);
    step.state = state;
    step.result = job.result;
    step.ended_at = job.ended_at;
    if (state != StepState::done) step.note = failure_line(job);
    TRY_VOID(save_step(tx, book, step));
  }
  for (const auto& name : next.stop) {
    auto& step = book.step(name);
    if (step.job && step.state == StepState::running)
      TRY_VOID(jobs_.cancel(tx, *step.job, "pipeline run " + book.run.id));
    step.state = StepState::cancelled;
    step.ended_at = env_.clock.now();
    TRY_VOID(save_step(tx, book, step));
  }
  if (next.end) {
    std::string outcome;
    for (const auto& step : book.steps) {
      if (step.state == StepState::failed || (step.state == StepState::cancelled && !step.note.empty())) {
        outcome = "step " + step.name + " " + std::string(to_text(step.state)) + ": " + step.note;
        break;
      }
    }
    return end_run(tx, book, *next.end, outcome);
  }
  for (const auto& name : next.ready) {
    planning = name;
    const auto step = std::ranges::find(book.pipeline.steps, name, &Step::name);
    TRY_VOID(begin_step(tx, book, *step));
    if (book.run.state != RunState::running) return {};
  }
  planning.clear();
  return {};
}

Result<void> Pipelines::begin_step(meta::Tx& tx, Book& book, const Step& step) {
  std::map<std::string, std::string> results;
  for (const auto& need : step.needs) results.emplace(need, book.step(need).result.value_or("{}"));
  TRY(auto plan, plan_(tx, book.run, step, results));
  auto& record = book.step(step.name);
  record.started_at = env_.clock.now();
  switch (plan.kind) {
    case StepPlan::Kind::done:
      record.state = StepState::done;
      record.result = std::move(plan.text);
      record.ended_at = record.started_at;
      return save_step(tx, book, record);
    case StepPlan::Kind::stop:
      for (auto& other : book.steps) {
        if (other.state != StepState::waiting && other.state != StepState::running) continue;
        if (other.state == StepState::running && other.job)
          TRY_VOID(jobs_.cancel(tx, *other.job, "pipeline run " + book.run.id));
        other.state = other.state == StepState::waiting ? StepState::skipped : StepState::cancelled;
        other.note = plan.text;
        other.ended_at = record.started_at;
        TRY_VOID(save_step(tx, book, other));
      }
      return end_run(tx, book, RunState::done, plan.text);
    case StepPlan::Kind::run:
      break;
  }
  record.input_digest = sha256(step.kind + "\n" + plan.text).hex();
  if (step.reusable) {
    TRY(auto earlier,
        tx.query_one("SELECT run, result FROM flow_steps WHERE kind = $1 AND input_digest = $2 AND state = 'done' "
                     "ORDER BY ended_at DESC, run DESC LIMIT 1",
                     {step.kind, *record.input_digest}));
    if (earlier) {
      record.state = StepState::skipped;
      record.reused_run = earlier->text(0);
      record.result = earlier->maybe_text(1);
      record.note = "the same input was done in run " + *record.reused_run;
      record.ended_at = record.started_at;
      return save_step(tx, book, record);
    }
  }
  TRY(record.job, jobs_.enqueue(tx, {.kind = step.kind,
                                     .key = book.run.id + "/" + step.name,
                                     .input = std::move(plan.text),
                                     .checkpoint = std::move(plan.checkpoint),
                                     .priority = step.priority,
                                     .attempts_max = step.attempts_max,
                                     .timeout = step.timeout,
                                     .resources = step.resources,
                                     .cause = book.run.cause,
                                     .pipeline_run = book.run.id,
                                     .step = step.name}));
  record.state = StepState::running;
  return save_step(tx, book, record);
}

Result<void> Pipelines::end_run(meta::Tx& tx, Book& book, RunState state, const std::string& outcome) {
  book.run.state = state;
  book.run.outcome = outcome;
  TRY_VOID(tx.exec("UPDATE flow_pipeline_runs SET state = $2, outcome = $3, ended_at = $4 WHERE id = $1",
                   {book.run.id, std::string(to_text(state)), outcome, value(env_.clock.now())}));
  const RunPayload payload{book.run.id, book.run.pipeline, book.run.key, std::string(to_text(state)), outcome};
  return tx.emit({"pipeline." + payload.state, book.run.id, json::render(payload)});
}

Result<void> Pipelines::save_step(meta::Tx& tx, const Book& book, const StepRecord& step) {
  TRY_VOID(
      tx.exec("UPDATE flow_steps SET state = $3, job = $4, input_digest = $5, result = $6, reused_run = $7, note = $8, "
              "started_at = $9, "
              "ended_at = $10 WHERE run = $1 AND name = $2",
              {book.run.id, step.name, std::string(to_text(step.state)), value(step.job), value(step.input_digest),
               value(step.result), value(step.reused_run), step.note, value(step.started_at), value(step.ended_at)}));
  return {};
}

Result<void> Pipelines::advance_all() {
  TRY(auto runs, store_.read([](meta::Reader& reader) {
    return reader.query("SELECT id FROM flow_pipeline_runs WHERE state = 'running' ORDER BY started_at, id");
  }));
  for (const auto& run : runs) {
    if (auto done = advance(run.text(0)); !done)
      env_.log.warn("pipeline_waits",
                    {{"run", run.text(0)}, {"reason", done.error().reason}, {"message", done.error().message}});
  }
  return {};
}

Result<void> Pipelines::cancel(std::string_view run, std::string_view by) {
  return store_.write([&](meta::Tx& tx) -> Result<void> {
    TRY(auto book, load(tx, run));
    if (book.run.state != RunState::running) return {};
    for (auto& step : book.steps) {
      if (step.state != StepState::waiting && step.state != StepState::running) continue;
      if (step.job && step.state == StepState::running) TRY_VOID(jobs_.cancel(tx, *step.job, by));
      step.state = StepState::cancelled;
      step.ended_at = env_.clock.now();
      TRY_VOID(save_step(tx, book, step));
    }
    return end_run(tx, book, RunState::cancelled, "cancelled by " + std::string(by));
  });
}

Result<RunRecord> Pipelines::find(meta::Reader& reader, std::string_view run) const {
  TRY(auto book, load(reader, run));
  const auto views = book.views();
  for (std::size_t i = 0; i < book.steps.size(); ++i) {
    auto& step = book.steps[i];
    if (step.state == StepState::waiting) {
      const auto needs = waits_for(book.pipeline.steps[i], views);
      step.why = needs.empty() ? "about to begin" : "waits for " + needs;
    } else if (const auto job = book.jobs.find(step.name);
               job != book.jobs.end() && job->second.state == JobState::queued) {
      const auto& queued = job->second;
      TRY(auto before,
          reader.query("SELECT count(*) FROM flow_jobs WHERE state = 'queued' AND (priority > $1 OR (priority = $1 AND "
                       "(queued_at < $2 OR (queued_at = $2 AND id < $3))))",
                       {queued.priority, value(queued.queued_at), queued.id}));
      const auto pauses = jobs_.pauses_left();
      if (const auto pause = pauses.find(queued.id); pause != pauses.end())
        step.why = "again in " + format_duration(std::chrono::ceil<std::chrono::seconds>(pause->second));
      else if (queued.run_after > env_.clock.now())
        step.why = "not before " + format_time(queued.run_after);
      else
        step.why = "queued, " + std::to_string(before.at(0).integer(0)) + " before it";
      if (queued.failure)
        step.why += "; attempt " + std::to_string(queued.attempts) + " ended: " + failure_line(queued);
    }
  }
  return RunRecord{std::move(book.run), std::move(book.steps)};
}

Result<RunRecord> Pipelines::find(std::string_view run) const {
  return store_.read([&](meta::Reader& reader) { return find(reader, run); });
}

Result<std::vector<PipelineRun>> Pipelines::list(meta::Reader& reader, const RunFilter& filter) const {
  meta::Params params;
  std::string where;
  const auto also = [&](const std::string& condition) { where += (where.empty() ? " WHERE " : " AND ") + condition; };
  if (filter.key) {
    params.emplace_back(*filter.key);
    also("run_key = $1");
  }
  // Written out, so that the index of the runs under way is used.
  if (filter.state) also("state = '" + std::string(to_text(*filter.state)) + "'");
  params.emplace_back(static_cast<std::int64_t>(filter.max));
  TRY(auto rows, reader.query(std::string("SELECT ") + run_columns + " FROM flow_pipeline_runs" + where +
                                  " ORDER BY started_at DESC, id DESC LIMIT $" + std::to_string(params.size()),
                              params));
  std::vector<PipelineRun> out;
  for (const auto& row : rows) out.push_back(read_run(row));
  return out;
}

}  // namespace millrace::flow
