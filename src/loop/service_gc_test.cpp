#include <gtest/gtest.h>

#include "base/testing/reason.hpp"
#include "blob/testing/memory.hpp"
#include "flow/pipelines.hpp"
#include "loop/plan.hpp"
#include "loop/service.hpp"
#include "meta/testing/temp_store.hpp"

namespace millrace::loop {
namespace {

using std::chrono::hours;

constexpr TimePoint noon{hours(12)};

TEST(Garbage, WhenItIsDue) {
  GarbagePolicy policy;
  struct Case {
    const char* name;
    GarbageSnapshot snapshot;
    bool due;
  };
  const auto m = [](int n) { return std::chrono::minutes(n); };
  const Case cases[] = {
      {"just started", {noon, m(1), std::nullopt, false}, false},
      {"just started, and it is long ago", {noon, m(1), noon - hours(50), true}, false},
      {"never done", {noon, m(11), std::nullopt, false}, true},
      {"done this morning", {noon, hours(100), noon - hours(5), false}, false},
      {"a day is over", {noon, hours(100), noon - hours(24), false}, true},
      {"retention let something go", {noon, hours(100), noon - m(11), true}, true},
      {"again, right after the last", {noon, hours(100), noon - m(9), true}, false},
      {"the clock was set back", {noon, hours(1), noon + hours(9), false}, true},
  };
  for (const auto& one : cases) EXPECT_EQ(garbage_due(policy, one.snapshot), one.due) << one.name;
}

TEST(Garbage, ARunningJobMakesTheGraceLonger) {
  GarbagePolicy policy;
  EXPECT_EQ(garbage_grace(policy, noon, std::nullopt), hours(24));
  EXPECT_EQ(garbage_grace(policy, noon, noon - hours(2)), hours(24));
  EXPECT_EQ(garbage_grace(policy, noon, noon - hours(30)), hours(31));
}

TEST(Garbage, RowsOfATrainingAreKeptForItsVersionOrForAWhile) {
  GarbagePolicy policy;
  EXPECT_TRUE(rows_needed(policy, noon, noon - std::chrono::days(1000), true));
  EXPECT_TRUE(rows_needed(policy, noon, noon - std::chrono::days(89), false));
  EXPECT_FALSE(rows_needed(policy, noon, noon - std::chrono::days(91), false));
}

TEST(Garbage, ReportsSurviveAsJson) {
  GarbageReport report;
  report.versions_let_go = {"m:1"};
  report.bytes = 7;
  report.kept.push_back({"needed", 2, 3});
  auto back = parse_report(render_report(report));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->versions_let_go, report.versions_let_go);
  EXPECT_EQ(back->bytes, 7);
  EXPECT_EQ(back->kept.at(0).bytes, 3);
}

class GarbageTest : public testing::Test {
 protected:
  GarbageTest() {
    env.emplace(store.env());
    service = std::make_unique<Service>(
        Service::Config{{store.test.path("data"), store.test.path("project")}, 1, hours(1000)}, *env, *store, blobs,
        jobs);
    EXPECT_TRUE(
        service->apply("[project]\nname = \"m\"\n[source.s]\nuri = \"upload\"\n[model]\ntarget = \"s.y\"\n"
                       "[retention]\nmodels = 1\n",
                       "", false, "test"));
  }
  std::string blob(const std::string& content) { return blobs.put(content)->digest.hex(); }
  bool there(const std::string& digest) { return blobs.stat(*Digest::parse(digest)).has_value(); }
  std::string part(const std::string& content) {
    auto digest = blob(content);
    data::IngestOutput output;
    output.mode = "replace";
    output.parts = {{digest, 1, static_cast<std::int64_t>(content.size())}};
    output.analysis.rows = 1;
    EXPECT_TRUE(
        store->write([&](meta::Tx& tx) { return data::add_version(tx, "s", output, "test", store.clock.now()); }));
    return digest;
  }
  std::string version(const std::string& content, const std::string& run, const std::string& rows) {
    auto artifact = blob(content);
    registry::ModelVersion made;
    made.model = "m";
    made.run = run;
    made.artifact = artifact;
    made.verdict = registry::VerdictState::passed;
    made.created = store.clock.now();
    EXPECT_TRUE(store->write([&](meta::Tx& tx) -> Result<void> {
      RunPlan plan;
      plan.run = run;
      plan.train.rows.feedback = {{rows, 1, 1}};
      plan.train.project_digest = code = blob("the completed project file");
      TRY_VOID(add_training(tx, {run, 1, 1, 0, 0, "", render_plan(plan), true, store.clock.now()}));
      TRY(auto added, registry::add_version(tx, made));
      TRY_VOID(registry::promote(tx, "m", added.number, {"test", ""}, store.clock.now()));
      return {};
    }));
    return artifact;
  }
  GarbageReport collect(bool dry_run = false) {
    auto report = service->collect_garbage(dry_run);
    EXPECT_TRUE(report) << report.error().message;
    return *report;
  }
  std::int64_t kept(const GarbageReport& report, std::string_view why) {
    for (const auto& line : report.kept) {
      if (line.why.starts_with(why)) return line.blobs;
    }
    return 0;
  }

  meta::TempStore store{all_migrations()};
  blob::MemoryStore blobs{store.clock};
  flow::Jobs jobs{store.env(), *store};
  std::optional<Env> env;
  std::unique_ptr<Service> service;
  std::string code;  // of every version
};

TEST_F(GarbageTest, KeepsWhatRecordsNeedAndSaysWhy) {
  auto rows = part("rows");
  auto feedback = blob("labelled rows");
  auto first = version("first", "run-1", feedback);
  auto second = version("second", "run-2", blob("other labelled rows"));
  auto third = version("third", "run-3", blob("more labelled rows"));
  auto nobody = blob("nobody");
  store.clock.advance(hours(30));
  auto young = blob("young");

  auto dry = collect(true);
  EXPECT_EQ(dry.versions_let_go, std::vector<std::string>{"m:1"}) << "2 is previous, 3 is current";
  EXPECT_EQ(dry.blobs, 2);
  EXPECT_EQ(dry.bytes, static_cast<std::int64_t>(std::string("firstnobody").size()));
  EXPECT_TRUE(there(nobody) && there(first)) << "a dry run changes nothing";
  EXPECT_TRUE(store->read([](meta::Reader& r) { return registry::get_version(r, "m", 1); })->bytes_kept);

  auto done = collect();
  EXPECT_EQ(done.versions_let_go, dry.versions_let_go);
  EXPECT_EQ(done.blobs, dry.blobs);
  EXPECT_EQ(done.bytes, dry.bytes);
  EXPECT_FALSE(there(nobody) || there(first));
  EXPECT_TRUE(there(rows) && there(second) && there(third) && there(young));
  EXPECT_TRUE(there(feedback)) << "rows of a training stay as long as its history";
  EXPECT_EQ(kept(done, "files of model versions"), 2);
  EXPECT_EQ(kept(done, "rows of dataset versions"), 1);
  EXPECT_EQ(kept(done, "rows that trainings learned from"), 4) << "and the project file that they were started with";
  EXPECT_EQ(kept(done, "written or used"), 1);
  EXPECT_FALSE(service->garbage_is_due()) << "that is recorded";
  EXPECT_EQ(collect().blobs, 0);

  store.clock.advance(std::chrono::days(91));
  EXPECT_TRUE(service->garbage_is_due());
  EXPECT_EQ(collect().blobs, 2) << "what was young, and the rows of the version that was let go";
  EXPECT_FALSE(there(feedback));
  EXPECT_TRUE(there(rows) && there(second) && there(third));
  EXPECT_TRUE(there(code)) << "what a run was started with stays as long as its record";
}

TEST_F(GarbageTest, WhatARunningJobHasWrittenIsNeverTaken) {
  (void)jobs.enqueue({.kind = "slow", .input = "{}"});
  auto claimed = **jobs.claim("w", {"slow"}, hours(1000));
  store.clock.advance(hours(1));
  auto unnamed = blob("a part that its result will name");
  auto writer = *blobs.create();
  ASSERT_TRUE(writer->append("an upload that takes two days"));
  store.clock.advance(hours(48));
  EXPECT_EQ(collect().blobs, 0);
  auto upload = writer->commit();
  ASSERT_TRUE(upload);
  auto checkpoint = blob("checkpoint");
  ASSERT_TRUE(jobs.heartbeat(claimed.lease, {}, checkpoint));
  ASSERT_TRUE(jobs.fail(claimed.lease, {flow::FailureKind::time, "too long", ""}, false));
  EXPECT_EQ(collect().blobs, 1) << "the job is over and named it nowhere";
  EXPECT_FALSE(there(unnamed));
  EXPECT_TRUE(there(upload->digest.hex())) << "committed a moment ago, not named yet";
  store.clock.advance(hours(48));
  EXPECT_EQ(collect().blobs, 1) << "the upload that nobody named";
  EXPECT_TRUE(there(checkpoint)) << "the job may be taken up again";
  store.clock.advance(std::chrono::days(91));
  auto report = collect();
  EXPECT_EQ(report.jobs, 1);
  EXPECT_EQ(report.blobs, 1);
  EXPECT_FALSE(there(checkpoint));
}

TEST_F(GarbageTest, ATrainingUnderWayNeedsWhatItsStepsAreMadeFromHoweverOldItIs) {
  auto labels = blob("labels that its first step will join");
  flow::Pipelines pipelines(*env, *store, jobs,
                            [](auto&&...) { return Result<flow::StepPlan>(flow::StepPlan::stop("")); });
  flow::Pipeline pipeline{"training", {{.name = "assemble", .kind = "assemble"}}};
  auto run = store->write([&](meta::Tx& tx) -> Result<std::string> {
    RunPlan plan;
    plan.run = "run";
    plan.labels = labels;
    TRY_VOID(add_training(tx, {"run", 1, 1, 0, 0, "", render_plan(plan), true, store.clock.now()}));
    return pipelines.start(tx, pipeline, {.key = "run"});
  });
  ASSERT_TRUE(run);
  store.clock.advance(std::chrono::days(91));  // the server was off
  EXPECT_EQ(collect().blobs, 0);
  EXPECT_TRUE(there(labels));
  ASSERT_TRUE(pipelines.advance(*run));
  EXPECT_EQ(collect().blobs, 1) << "it is over";
}

TEST_F(GarbageTest, FilesOfWorkThatIsLongOverGo) {
  // These ages are those of the file system, which has its own clock.
  auto& fs = env->fs;
  const auto outputs = service->config().paths.output_dir(), scratch = service->config().paths.scratch_dir();
  ASSERT_TRUE(fs.make_dirs(outputs));
  ASSERT_TRUE(fs.make_dirs(scratch + "/JOB-1"));
  ASSERT_TRUE(write_file(fs, outputs + "/nobody.txt", "printed"));
  ASSERT_TRUE(write_file(fs, outputs + "/named.txt", "printed"));
  track::Run run;
  run.id = "run";
  run.project = "m";
  run.output_path = "runs/named.txt";
  ASSERT_TRUE(store->write([&](meta::Tx& tx) { return track::create_run(tx, run); }));
  const auto written = fs.info(outputs + "/nobody.txt")->modified;
  store.clock.set(written + hours(1));
  auto soon = collect();
  EXPECT_EQ(soon.outputs + soon.scratch, 0);
  store.clock.advance(std::chrono::days(100));
  auto report = collect();
  EXPECT_EQ(report.outputs, 1);
  EXPECT_EQ(report.scratch, 1);
  EXPECT_TRUE(exists(fs, outputs + "/named.txt"));
  EXPECT_FALSE(exists(fs, outputs + "/nobody.txt"));
  EXPECT_FALSE(exists(fs, scratch + "/JOB-1"));
}

}  // namespace
}  // namespace millrace::loop
