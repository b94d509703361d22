#include "flow/pipelines.hpp"

#include <gtest/gtest.h>

#include "meta/testing/temp_store.hpp"

namespace millrace::flow {
namespace {

using std::chrono::seconds;

const Duration lease = seconds(10);

Step step(const std::string& name, std::vector<std::string> needs = {}, bool reusable = true) {
  return {.name = name, .kind = name, .needs = std::move(needs), .reusable = reusable};
}

const Pipeline loop{
    "loop",
    {step("ingest"), step("train", {"ingest"}), step("check", {"ingest"}), step("release", {"train", "check"}, false)}};

struct Bench {
  meta::TempStore store{migrations()};
  Jobs jobs{store.env(), *store, {.retry = {.jitter = 0}}};
  // Answers by step name; by default the input is made of the context and the needs' results.
  std::map<std::string, std::function<Result<StepPlan>()>> answers;
  int planned = 0;
  Pipelines pipelines{store.env(), *store, jobs,
                      [this](meta::Tx&, const PipelineRun& run, const Step& step,
                             const std::map<std::string, std::string>& results) -> Result<StepPlan> {
                        ++planned;
                        if (const auto answer = answers.find(step.name); answer != answers.end())
                          return answer->second();
                        std::string input = run.context;
                        for (const auto& [name, result] : results) input += "," + name + "=" + result;
                        return StepPlan::run(input);
                      }};

  std::string start(const std::string& context = "{}", const std::string& key = "") {
    auto id = pipelines.start(loop, {.key = key, .context = context, .cause = "daily"});
    EXPECT_TRUE(id) << id.error().message;
    return *id;
  }
  // Claims a job of that kind, finishes it, and tells its run.
  void work(const std::string& kind, const std::string& result = "{}") {
    auto claimed = *jobs.claim("w", {kind}, lease);
    ASSERT_TRUE(claimed) << "no job " << kind;
    ASSERT_TRUE(jobs.complete(claimed->lease, result));
    ASSERT_TRUE(pipelines.advance(*claimed->job.pipeline_run));
  }
  void break_job(const std::string& kind) {
    auto claimed = *jobs.claim("w", {kind}, lease);
    ASSERT_TRUE(claimed);
    ASSERT_TRUE(jobs.fail(claimed->lease, {FailureKind::data, "no rows", ""}, false));
    ASSERT_TRUE(pipelines.advance(*claimed->job.pipeline_run));
  }
  std::string show(const std::string& id) {
    const auto record = *pipelines.find(id);
    std::string out = std::string(to_text(record.run.state)) + ":";
    for (const auto& each : record.steps) out += " " + each.name + "=" + std::string(to_text(each.state));
    return out;
  }
};

TEST(Pipelines, FromStartToEnd) {
  Bench b;
  const auto id = b.start(R"({"v":1})");
  EXPECT_EQ(b.show(id), "running: ingest=running train=waiting check=waiting release=waiting");
  b.work("ingest", "7");
  EXPECT_EQ(b.show(id), "running: ingest=done train=running check=running release=waiting");
  b.work("train", "8");
  EXPECT_EQ(b.show(id), "running: ingest=done train=done check=running release=waiting");
  b.work("check", "9");
  const auto claimed = **b.jobs.claim("w", {"release"}, lease);
  EXPECT_EQ(claimed.job.input, R"({"v":1},check=9,train=8)");
  EXPECT_EQ(claimed.job.cause, "daily");
  EXPECT_EQ(claimed.job.step, "release");
  ASSERT_TRUE(b.jobs.complete(claimed.lease, "10"));
  ASSERT_TRUE(b.pipelines.advance_all());
  EXPECT_EQ(b.show(id), "done: ingest=done train=done check=done release=done");
  std::string subjects;
  for (const auto& event : *b.store->outbox_after(0, 100))
    if (event.event.subject.starts_with("pipeline")) subjects += event.event.subject + " ";
  EXPECT_EQ(subjects, "pipeline.started pipeline.done ");
}

TEST(Pipelines, AdvancingTooOftenChangesNothing) {
  Bench b;
  const auto id = b.start();
  b.work("ingest");
  const auto planned = b.planned;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(b.pipelines.advance(id));
    ASSERT_TRUE(b.pipelines.advance_all());
  }
  EXPECT_EQ(b.planned, planned);
  EXPECT_EQ(b.jobs.list()->size(), 3u);
}

TEST(Pipelines, OneUnfinishedRunPerKey) {
  Bench b;
  const auto first = b.start("{}", "churn");
  EXPECT_EQ(b.start("{}", "churn"), first);
  ASSERT_TRUE(b.pipelines.cancel(first, "ann"));
  EXPECT_NE(b.start("{}", "churn"), first);
}

TEST(Pipelines, AFailedStepEndsTheRun) {
  Bench b;
  const auto id = b.start();
  b.work("ingest");
  const auto training = **b.jobs.claim("w", {"train"}, lease);
  b.break_job("check");
  EXPECT_EQ(b.show(id), "failed: ingest=done train=cancelled check=failed release=cancelled");
  EXPECT_EQ(b.pipelines.find(id)->run.outcome, "step check failed: data: no rows");
  EXPECT_TRUE(b.jobs.heartbeat(training.lease)->cancel_asked);
}

TEST(Pipelines, AStepDoneBeforeWithTheSameInputIsSkipped) {
  Bench b;
  const auto first = b.start();
  b.work("ingest", "7");
  b.work("train", "8");
  b.break_job("check");
  const auto second = b.start();
  EXPECT_EQ(b.show(second), "running: ingest=skipped train=skipped check=running release=waiting");
  const auto record = *b.pipelines.find(second);
  EXPECT_EQ(record.steps[1].reused_run, first);
  EXPECT_EQ(record.steps[1].result, "8");
  b.work("check", "9");
  b.work("release");
  EXPECT_EQ(b.show(second), "done: ingest=skipped train=skipped check=done release=done");
  const auto third = b.start();
  EXPECT_EQ(b.show(third), "running: ingest=skipped train=skipped check=skipped release=running")
      << "what acts on the world is done again";
  EXPECT_EQ(b.pipelines.find(third)->steps[1].reused_run, first) << "the reference is the run that did it";
  const auto other = b.start(R"({"v":2})");
  EXPECT_EQ(b.show(other), "running: ingest=running train=waiting check=waiting release=waiting");
}

TEST(Pipelines, AStepMayNeedNoJob) {
  Bench b;
  b.answers["ingest"] = [] { return StepPlan::done("7"); };
  const auto id = b.start();
  EXPECT_EQ(b.show(id), "running: ingest=done train=running check=running release=waiting");
  EXPECT_EQ(b.pipelines.find(id)->steps[0].result, "7");
}

TEST(Pipelines, APlanMayEndTheRun) {
  Bench b;
  b.answers["release"] = [] { return StepPlan::stop("the gate refused the candidate"); };
  const auto id = b.start();
  b.work("ingest");
  b.work("train");
  b.work("check");
  EXPECT_EQ(b.show(id), "done: ingest=done train=done check=done release=skipped");
  EXPECT_EQ(b.pipelines.find(id)->run.outcome, "the gate refused the candidate");
}

TEST(Pipelines, APlanThatFailsFailsItsStep) {
  Bench b;
  b.answers["train"] = []() -> Result<StepPlan> { return fail(Code::invalid_argument, "test.no", "no target"); };
  const auto id = b.start();
  b.work("ingest");
  EXPECT_EQ(b.show(id), "failed: ingest=done train=failed check=cancelled release=cancelled");
  EXPECT_EQ(b.pipelines.find(id)->run.outcome, "step train failed: its input could not be made: no target");
}

TEST(Pipelines, APlanThatCantBeMadeNowWaits) {
  Bench b;
  bool there = false;
  b.answers["ingest"] = [&]() -> Result<StepPlan> {
    if (there) return StepPlan::run("{}");
    return fail(Code::unavailable, "test.later", "the source sleeps");
  };
  const auto id = *b.store->write([&](meta::Tx& tx) { return b.pipelines.start(tx, loop, {}); });
  EXPECT_FALSE(b.pipelines.advance(id));
  EXPECT_TRUE(b.pipelines.advance_all());
  EXPECT_EQ(b.show(id), "running: ingest=waiting train=waiting check=waiting release=waiting");
  EXPECT_EQ(b.pipelines.find(id)->steps[0].why, "about to begin");
  there = true;
  ASSERT_TRUE(b.pipelines.advance(id));
  EXPECT_EQ(b.show(id), "running: ingest=running train=waiting check=waiting release=waiting");
}

TEST(Pipelines, WaitingStepsSayWhy) {
  Bench b;
  const auto before = b.start(R"({"other":1})");
  b.store.clock.advance(seconds(1));
  const auto id = b.start();
  auto record = *b.pipelines.find(id);
  EXPECT_EQ(record.steps[0].why, "queued, 1 before it");
  EXPECT_EQ(record.steps[3].why, "waits for train (waiting), check (waiting)");
  (void)b.jobs.claim("w", {"ingest"}, lease);
  const auto claimed = **b.jobs.claim("w", {"ingest"}, lease);
  EXPECT_EQ(b.pipelines.find(id)->steps[0].why, "");
  ASSERT_TRUE(b.jobs.fail(claimed.lease, {FailureKind::dependency, "the source sleeps", ""}, true));
  EXPECT_EQ(b.pipelines.find(id)->steps[0].why, "again in 5s; attempt 1 ended: dependency: the source sleeps");
  EXPECT_EQ(b.show(before), "running: ingest=running train=waiting check=waiting release=waiting");
}

TEST(Pipelines, CancellingStopsItsJobs) {
  Bench b;
  const auto id = b.start();
  const auto job = *b.pipelines.find(id)->steps[0].job;
  ASSERT_TRUE(b.pipelines.cancel(id, "ann"));
  EXPECT_EQ(b.show(id), "cancelled: ingest=cancelled train=cancelled check=cancelled release=cancelled");
  EXPECT_EQ(b.jobs.find(job)->state, JobState::cancelled);
  EXPECT_EQ(b.pipelines.find(id)->run.outcome, "cancelled by ann");
  ASSERT_TRUE(b.pipelines.advance(id));
}

TEST(Pipelines, RunsAndTheirJobsAreFoundByKey) {
  Bench b;
  const auto first = b.start("{}", "run-1");
  b.work("ingest");
  b.store.clock.advance(seconds(1));
  const auto second = b.start(R"({"other":1})", "run-2");
  ASSERT_TRUE(b.pipelines.cancel(second, "ann"));
  const auto runs = [&](const RunFilter& filter) {
    std::string out;
    for (const auto& run : *b.store->read([&](meta::Reader& reader) { return b.pipelines.list(reader, filter); }))
      out += run.key + " ";
    return out;
  };
  EXPECT_EQ(runs({}), "run-2 run-1 ");
  EXPECT_EQ(runs({.max = 1}), "run-2 ");
  EXPECT_EQ(runs({.key = "run-1"}), "run-1 ");
  EXPECT_EQ(runs({.state = RunState::running}), "run-1 ");
  EXPECT_EQ(runs({.key = "run-2", .state = RunState::running}), "");
  EXPECT_EQ(runs({.key = "none"}), "");
  std::string kinds;
  for (const auto& job : *b.jobs.list({.run_key = "run-1"})) {
    EXPECT_EQ(job.pipeline_run, first);
    kinds += job.kind + " ";
  }
  EXPECT_EQ(kinds.size(), std::string("ingest train check ").size()) << kinds;
  EXPECT_EQ(b.jobs.list({.kind = "train", .run_key = "run-2"})->size(), 0u);
}

TEST(Pipelines, AStepMayTakeUpAnEarlierCheckpoint) {
  Bench b;
  b.answers["ingest"] = [] { return StepPlan::run("{}", "half way"); };
  (void)b.start();
  const auto claimed = **b.jobs.claim("w", {"ingest"}, lease);
  EXPECT_EQ(claimed.job.checkpoint, "half way");
  EXPECT_EQ(claimed.attempt, 1);
}

TEST(Pipelines, ABadPipelineIsRefused) {
  Bench b;
  const auto refused = b.pipelines.start({"p", {step("a", {"b"})}}, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "flow.bad_pipeline");
}

}  // namespace
}  // namespace millrace::flow
