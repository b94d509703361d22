// Runs of pipelines, true in meta. Level-triggered: advance() looks at what is, and does what is missing; calling it
// too often changes nothing, and a kill in between costs nothing but time. Call it for a run when one of its jobs is
// over (event job.done, job.failed, job.cancelled with a pipeline_run), and advance_all() at the start of the server.
//
// Events: pipeline.started, pipeline.done, pipeline.failed, pipeline.cancelled; key = the run's id, payload {id,
// pipeline, key, state, outcome}. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/env.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "flow/jobs.hpp"
#include "flow/pipeline.hpp"
#include "meta/meta.hpp"

namespace millrace::flow {

struct PipelineRun {
  std::string id;
  std::string pipeline;
  std::string key;
  std::string context;  // JSON of whoever started it
  std::string cause;
  RunState state = RunState::running;
  std::string outcome;  // one line: why it failed, or why it stopped early
  TimePoint started_at{};
  std::optional<TimePoint> ended_at;
};

struct StepRecord {
  std::string name;
  std::string kind;
  StepState state = StepState::waiting;
  std::optional<std::string> job;
  std::optional<std::string> input_digest;
  std::optional<std::string> result;      // JSON
  std::optional<std::string> reused_run;  // skipped: the run whose step of the same name or kind was taken
  std::string note;                       // why it failed, was skipped or cancelled
  std::optional<TimePoint> started_at;
  std::optional<TimePoint> ended_at;
  std::string why;  // while it waits or its job is queued: what for. Made when asked for, not stored
};

struct RunRecord {
  PipelineRun run;
  std::vector<StepRecord> steps;  // in the pipeline's order
};

struct RunFilter {
  std::optional<std::string> key;
  std::optional<RunState> state;
  std::size_t max = 50;
};

struct StartRun {
  std::string key;  // at most one unfinished run per (pipeline, key)
  std::string context = "{}";
  std::string cause;
};

// What to do with a step whose needs are met.
struct StepPlan {
  enum class Kind { run, done, stop } kind = Kind::run;
  std::string text;
  std::optional<std::string> checkpoint;  // of a job of an earlier run, that this step's job takes up
  static StepPlan run(std::string input_json, std::optional<std::string> checkpoint = {}) {
    return {Kind::run, std::move(input_json), std::move(checkpoint)};
  }
  // It is done without a job; the result is JSON.
  static StepPlan done(std::string result_json) { return {Kind::done, std::move(result_json), {}}; }
  // The run ends here, successfully: nothing is left to do ("the gate refused the candidate").
  static StepPlan stop(std::string why) { return {Kind::stop, std::move(why), {}}; }
};

// Given by the owner of the pipelines. Runs inside of the transaction that takes the step on, so it may read and write
// records but must not wait; it may be called again after a failed commit. `results` holds the results of the step's
// needs by name. An error fails the run, unless its code says that another time may do (unavailable,
// resource_exhausted, aborted).
using PlanStep = std::function<Result<StepPlan>(meta::Tx& tx, const PipelineRun& run, const Step& step,
                                                const std::map<std::string, std::string>& results)>;

class Pipelines {
 public:
  Pipelines(Env env, meta::Store& store, Jobs& jobs, PlanStep plan);

  // In the caller's transaction; advance() it afterwards. The new run's id, or that of the unfinished one with that
  // key. invalid_argument `flow.bad_pipeline`.
  Result<std::string> start(meta::Tx& tx, const Pipeline& pipeline, const StartRun& options);
  // Starts and advances.
  Result<std::string> start(const Pipeline& pipeline, const StartRun& options);

  // not_found `flow.no_run`.
  Result<void> advance(std::string_view run);
  // Every unfinished run; one that can't go on now is logged and does not hold up the others.
  Result<void> advance_all();
  // Its jobs are told to stop. Over already: nothing happens.
  Result<void> cancel(std::string_view run, std::string_view by);

  Result<RunRecord> find(meta::Reader& reader, std::string_view run) const;  // not_found `flow.no_run`
  Result<RunRecord> find(std::string_view run) const;
  Result<std::vector<PipelineRun>> list(meta::Reader& reader, const RunFilter& filter = {}) const;  // newest first

 private:
  struct Book;  // a run while it is being worked on
  Result<Book> load(meta::Reader& reader, std::string_view run) const;
  Result<void> act(meta::Tx& tx, Book& book, const NextSteps& next, std::string& planning);
  Result<void> begin_step(meta::Tx& tx, Book& book, const Step& step);
  Result<void> end_run(meta::Tx& tx, Book& book, RunState state, const std::string& outcome);
  Result<void> save_step(meta::Tx& tx, const Book& book, const StepRecord& step);

  Env env_;
  meta::Store& store_;
  Jobs& jobs_;
  PlanStep plan_;
  IdMaker ids_;
};

}  // namespace millrace::flow
