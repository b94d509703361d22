// A run that is over goes on from where it was, or is done once more: a new run that names the first.
#include <format>

#include "base/digest_scan.hpp"
#include "base/log.hpp"
#include "loop/again.hpp"
#include "loop/service.hpp"

namespace millrace::loop {

Result<std::string> Service::start_again(const std::string& id, bool resume, const std::string& by) {
  auto project = this->project();
  if (!project)
    return millrace::fail(Code::failed_precondition, "loop.no_project",
                          "no project file is applied yet: millrace apply");
  RunPlan plan;
  track::Run first;
  Training training;
  TRY_VOID(store_.read([&](meta::Reader& reader) -> Result<void> {
    TRY(first, track::get_run(reader, id));
    AgainSnapshot snapshot{first.id, first.kind, first.state, "", false, false, false};
    TRY(auto known, training_of(reader, first.id));
    if (known) {
      training = *std::move(known);
      TRY(plan, parse_plan(training.plan));
      snapshot.rows_settled = plan.labels_usable == 0 || !plan.train.data_digest.empty();
    }
    if (first.state == track::RunState::finished) {
      TRY(auto versions, registry::list_heads(reader, project->name));
      for (const auto& version : versions) {
        if (version.run == first.id && version.number > 0)
          snapshot.version = std::format("{}:{}", version.model, version.number);
      }
    }
    plan.checkpoint.clear();
    plan.trained.clear();
    TRY(auto jobs, jobs_.list(reader, {.kind = std::string(job_kind::train), .run_key = first.id}));
    for (const auto& job : jobs) {
      if (job.state == flow::JobState::done) plan.trained = job.result.value_or("");
      plan.checkpoint = job.checkpoint.value_or("");
      break;
    }
    snapshot.trained = !plan.trained.empty();
    snapshot.checkpoint = !plan.checkpoint.empty();
    return resume ? may_resume(snapshot) : may_repeat(snapshot);
  }));
  // Its blobs get a new reference: a collection that looked at the records a moment ago must see that.
  TRY_VOID(pin_rows(plan.train.rows, "run " + first.id));
  if (resume) {
    for (const auto& digest : digests_in(plan.trained.empty() ? plan.checkpoint : plan.trained)) {
      auto pinned = blobs_.pin(digest);
      if (!pinned && pinned.error().code != Code::not_found) return millrace::fail(pinned.error());
    }
  } else {
    plan.checkpoint.clear();
    plan.trained.clear();
  }
  plan.run = ids_.make().text();
  plan.rule = "by hand";
  plan.cause = std::format("{} run {}, by hand: {}", resume ? "goes on from" : "repeats", first.id, by);
  (resume ? plan.resumes : plan.repeats) = first.id;
  (resume ? plan.repeats : plan.resumes).clear();
  plan.train.run = plan.run;
  auto now = env_.clock.now();
  TRY_VOID(store_.write([&](meta::Tx& tx) -> Result<void> {
    TRY_VOID(nothing_under_way(tx));
    track::Run run;
    run.id = plan.run;
    run.project = project->name;
    run.kind = "train";
    run.cause = plan.cause;
    run.params = "{}";
    run.inputs = render_job(plan.train.rows);
    run.created = now;
    TRY_VOID(track::create_run(tx, run));
    // It takes nothing new, so it does not count for the rules.
    training.run = plan.run;
    training.plan = render_plan(plan);
    training.counts = false;
    training.started = now;
    TRY_VOID(add_training(tx, training));
    TRY_VOID(start_pipeline(tx, *project, plan));
    return {};
  }));
  env_.log.info(resume ? "run_resumed" : "run_repeated", {{"run", plan.run}, {"first", first.id}, {"by", by}});
  TRY_VOID(pipelines_.advance_all());
  changed();
  return plan.run;
}

}  // namespace millrace::loop
