#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <format>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/priority.hpp"
#include "base/testing/env.hpp"
#include "blob/testing/memory.hpp"
#include "model/testing/models.hpp"
#include "serve/predictor.hpp"
#include "serve/release_side.hpp"
#include "serve/shadow_internal.hpp"

namespace millrace::serve {
namespace {

using model::testing::constant_artifact;

struct ReleaseWishes final : WantedSource {
  Result<std::vector<WantedModel>> wanted() override { return models; }
  std::vector<WantedModel> models;
};

struct PredictorReleaseTest : ::testing::Test {
  VersionRef version(std::int64_t number, double answer) { return put(number, *constant_artifact(task, answer)); }
  VersionRef put(std::int64_t number, const std::string& bytes) {
    auto writer = *blobs.create();
    EXPECT_TRUE(writer->append(bytes));
    return {number, writer->commit()->digest};
  }
  // current 1, candidate 2
  void release(double weight) {
    WantedModel model{.name = "fare", .current = version(1, 7)};
    model.release = WantedRelease{"r", version(2, 8), weight};
    wishes.models = {model};
    ASSERT_TRUE(predictor.reconcile());
  }
  std::string row(const std::string& key) {
    auto text = model::testing::json_row(model::testing::sample_inputs(), model::testing::sample_rows(1, 1).front());
    return key.empty() ? text : std::format("{},\"customer\":\"{}\"}}", text.substr(0, text.size() - 1), key);
  }
  std::string ask(const std::string& key, const Choice& choice = {}) {
    Problem problem;
    PredictRequest request{"fare", {}};
    const auto body = row(key);
    request.body = body;
    request.choice = choice;
    auto answer = predictor.predict(request, &problem);
    if (!answer) return answer.error().reason;
    const auto at = answer->find("\"model\":\"") + 9;
    return answer->substr(at, answer->find('"', at) - at);
  }
  void shadow(const VersionRef& candidate) {
    WantedModel model{.name = "fare", .current = version(1, 7)};
    model.release = WantedRelease{.id = "r", .candidate = candidate, .shadow = true};
    wishes.models = {model};
    ASSERT_TRUE(predictor.reconcile());
  }
  template <class Condition>
  static bool eventually(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }
  std::vector<std::pair<std::int64_t, LoggedPrediction>> wait_lines(std::size_t count) {
    EXPECT_TRUE(eventually([&] { return log->appended() >= count; }));
    return lines();
  }
  std::set<std::string> shadow_models;
  std::vector<std::pair<std::int64_t, LoggedPrediction>> lines() {
    std::vector<std::pair<std::int64_t, LoggedPrediction>> out;
    EXPECT_TRUE(read_prediction_log(t.env.fs, t.path("log"), [&](const LogSchema& schema, LoggedPrediction&& line) {
      shadow_models.insert(schema.model);
      out.emplace_back(schema.version, std::move(line));
      return ok();
    }));
    return out;
  }

  model::TaskType task = model::TaskType::regression;
  TestEnv t;
  blob::MemoryStore blobs{t.clock};
  std::unique_ptr<PredictionLog> log = *PredictionLog::open({t.path("log"), 1 << 20}, t.env);
  ReleaseWishes wishes;
  BlobVersions blob_versions{blobs};
  Predictor predictor{{}, t.env, wishes, blob_versions, log.get()};
};

TEST_F(PredictorReleaseTest, AKeyGoesToItsSideAndTheLineSaysWhy) {
  release(0.25);
  int candidate = 0;
  for (int n = 0; n < 400; ++n) {
    const auto key = std::to_string(n);
    const bool on = on_candidate("r", key, 0.25);
    ASSERT_EQ(ask(key), on ? "fare:2" : "fare:1") << key;
    candidate += on;
  }
  const auto all = lines();
  ASSERT_EQ(all.size(), 400u);
  for (const auto& [version, line] : all) {
    EXPECT_EQ(line.why, version == 2 ? Why::canary : Why::current);
    EXPECT_EQ(line.scores.front(), version == 2 ? 8.0f : 7.0f);
    EXPECT_EQ(version == 2, on_candidate("r", line.key, 0.25));
  }
  std::map<std::int64_t, VersionCounts> counts;
  for (const auto& one : predictor.statistics().front().versions) counts[one.number] = one.counts;
  EXPECT_EQ(counts[2].succeeded, static_cast<std::uint64_t>(candidate));
  EXPECT_EQ(counts[1].succeeded, static_cast<std::uint64_t>(400 - candidate));
}

TEST_F(PredictorReleaseTest, WithoutAKeyThePredictionsIdDecides) {
  release(0.5);
  int candidate = 0;
  for (int n = 0; n < 400; ++n) candidate += ask("") == "fare:2";
  EXPECT_NEAR(candidate, 200, 60);
  for (const auto& [version, line] : lines()) EXPECT_EQ(version == 2, on_candidate("r", line.id.text(), 0.5));
}

TEST_F(PredictorReleaseTest, AHeaderChooses) {
  using Kind = Choice::Kind;
  release(1);
  EXPECT_EQ(ask("a"), "fare:2");
  EXPECT_EQ(ask("a", {Kind::current}), "fare:1");
  EXPECT_EQ(ask("a", {Kind::number, 1}), "fare:1");
  EXPECT_EQ(ask("a", {Kind::candidate}), "fare:2");
  EXPECT_EQ(ask("a", {Kind::number, 3}), "serve.not_loaded");
  const auto missing = predictor.hold("fare", Choice{Kind::number, 3}, false);
  EXPECT_NE(missing.error().message.find("1, 2"), std::string::npos) << missing.error().message;
  std::vector<Why> why;
  for (const auto& [version, line] : lines()) why.push_back(line.why);
  EXPECT_EQ(why, (std::vector{Why::canary, Why::header, Why::header, Why::header}));
  wishes.models.front().release.reset();
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_EQ(ask("a", {Kind::candidate}), "serve.no_candidate");
  EXPECT_EQ(ask("a"), "fare:1");
}

TEST_F(PredictorReleaseTest, ACandidateThatIsNotLoadedTakesNothing) {
  WantedModel model{.name = "fare", .current = version(1, 7)};
  model.release = WantedRelease{"r", put(2, "no artifact"), 1};
  wishes.models = {model};
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_TRUE(predictor.ready());
  EXPECT_EQ(ask("a"), "fare:1");
  EXPECT_EQ(ask("a", {Choice::Kind::candidate}), "serve.no_candidate");
}

TEST_F(PredictorReleaseTest, ItsOwnFailuresAreCountedAndClientsMistakesAreNot) {
  release(1);
  t.faults.arm("serve.answer.candidate=error@2").value();
  EXPECT_EQ(ask("a"), "fare:2");
  EXPECT_EQ(ask("a"), "fault.injected");
  Problem problem;
  EXPECT_EQ(predictor.predict({"fare", "{"}, &problem).error().reason, "model.bad_json");
  for (const auto& one : predictor.statistics().front().versions)
    EXPECT_EQ(one.counts.broke, one.number == 2 ? 1u : 0u);
}

TEST_F(PredictorReleaseTest, RowsThatOnlyCurrentCanReadAreAnsweredByIt) {
  WantedModel model{.name = "fare", .current = version(1, 7)};
  auto other = model::testing::sample_manifest(task);
  other.inputs.push_back({.name = "new", .type = table::Type::float64, .required = true});
  model.release = WantedRelease{"r", put(2, *constant_artifact(other, 8)), 1};
  wishes.models = {model};
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_EQ(ask("a"), "fare:1");
  for (const auto& one : predictor.statistics().front().versions)
    EXPECT_EQ(one.counts.broke, one.number == 2 ? 1u : 0u);
}

// Shadow lines are those of another model: who reads the model's own does not meet them.
TEST_F(PredictorReleaseTest, AShadowIsLoggedBesideItsLivePrediction) {
  shadow(version(2, 8));
  std::vector<std::string> live;
  for (int n = 0; n < 50; ++n) EXPECT_EQ(ask(std::to_string(n)), "fare:1");
  const auto all = wait_lines(100);
  std::map<Id, LoggedPrediction> of;
  std::set<Id> matched;
  for (const auto& [version, line] : all) {
    if (line.why == Why::current) of.emplace(line.id, line);
  }
  ASSERT_EQ(of.size(), 50u);
  for (const auto& [version, line] : all) {
    if (line.why == Why::current) continue;
    EXPECT_EQ(version, 2);
    EXPECT_EQ(line.why, Why::shadow);
    EXPECT_EQ(line.scores.front(), 8.0f);
    ASSERT_TRUE(line.live && of.contains(*line.live));
    EXPECT_FALSE(of.contains(line.id));
    EXPECT_EQ(of.at(*line.live).key, line.key);
    EXPECT_EQ(of.at(*line.live).inputs, line.inputs);
    EXPECT_TRUE(matched.insert(*line.live).second);
  }
  EXPECT_EQ(shadow_models, (std::set<std::string>{"fare", "fare.shadow"}));
  EXPECT_EQ(predictor.states().front().shadow_dropped, 0u);
  EXPECT_EQ(ask("a", {Choice::Kind::candidate}), "fare:2");
}

TEST_F(PredictorReleaseTest, AShadowThatHangsFillsItsQueueAndNothingElse) {
  shadow(version(2, 8));
  t.faults.arm("serve.answer.candidate=hang").value();
  const int asked = 3 * static_cast<int>(Shadow::kTasks_max);
  for (int n = 0; n < asked; ++n) ASSERT_EQ(ask(std::to_string(n)), "fare:1");
  const auto dropped = predictor.states().front().shadow_dropped;
  EXPECT_GE(dropped, static_cast<std::uint64_t>(asked) - Shadow::kTasks_max - 1);
  EXPECT_LT(dropped, static_cast<std::uint64_t>(asked));
  EXPECT_EQ(lines().size(), static_cast<std::size_t>(asked));
}

TEST_F(PredictorReleaseTest, AShadowThatFailsIsCounted) {
  shadow(version(2, 8));
  t.faults.arm("serve.answer.candidate=error").value();
  for (int n = 0; n < 5; ++n) EXPECT_EQ(ask(std::to_string(n)), "fare:1");
  const auto broke = [&] {
    for (const auto& one : predictor.statistics().front().versions)
      if (one.number == 2) return one.counts.broke;
    return std::uint64_t{0};
  };
  EXPECT_TRUE(eventually([&] { return broke() == 5; })) << broke();
}

// What the live request had under a name goes to the input of that name; what it had not is missing.
TEST_F(PredictorReleaseTest, AShadowWithOtherInputsGetsThemByName) {
  auto other = model::testing::sample_manifest(task);
  std::swap(other.inputs.front(), other.inputs.back());
  other.inputs.push_back({.name = "new", .type = table::Type::float64});
  shadow(put(2, *constant_artifact(other, 8)));
  EXPECT_EQ(ask("a"), "fare:1");
  const auto all = wait_lines(2);
  ASSERT_EQ(all.size(), 2u);
  const auto& live = all[0].second.why == Why::current ? all[0].second : all[1].second;
  const auto& beside = all[0].second.why == Why::shadow ? all[0].second : all[1].second;
  ASSERT_EQ(beside.inputs.size(), live.inputs.size() + 1);
  EXPECT_EQ(beside.inputs.front(), live.inputs.back());
  EXPECT_TRUE(table::is_null(beside.inputs.back()));
}

// Loads as BlobVersions does, and notes on what kind of thread.
struct NotingVersions final : VersionSource {
  explicit NotingVersions(blob::Store& blobs) : inner(blobs) {}
  Result<std::shared_ptr<const model::LoadedModel>> load(const std::string& model, const VersionRef& ref,
                                                         const model::RuntimeOptions& options) override {
    const auto own = [] { return ::getpriority(PRIO_PROCESS, static_cast<id_t>(this_thread())); };
    const int before = own();
    nice.push_back(before);
    const auto others = ++calls;
    // A thread that never gets a turn: it goes on when it is raised, or when somebody else does its work.
    while (starved && before == 19 && own() == 19 && calls == others) std::this_thread::yield();
    return inner.load(model, ref, options);
  }
  BlobVersions inner;
  std::vector<int> nice;
  std::atomic<int> calls = 0;
  bool starved = false;
};

TEST_F(PredictorReleaseTest, LoadsGiveWayToAnswersButNotForEver) {
  if (::getpriority(PRIO_PROCESS, 0) == 19) GTEST_SKIP() << "this process has the lowest priority already";
  NotingVersions versions(blobs);
  Predictor own({}, t.env, wishes, versions, nullptr);
  wishes.models = {{.name = "fare", .current = version(1, 7)}};
  ASSERT_TRUE(own.reconcile());
  wishes.models = {{.name = "fare", .current = version(2, 8), .previous = version(1, 7)}};
  ASSERT_TRUE(own.reconcile());
  ASSERT_EQ(versions.nice.size(), 2u);
  ASSERT_LT(versions.nice[0], 19) << "nobody answers yet";
  ASSERT_EQ(versions.nice[1], 19);
  versions.starved = true;
  wishes.models = {{.name = "fare", .current = version(3, 9), .previous = version(2, 8)}};
  ASSERT_TRUE(own.reconcile());
  EXPECT_EQ(own.states().front().serving, 3);
}

// What could not be noted neither serves nor is loaded; what serves goes on.
TEST_F(PredictorReleaseTest, WhatIsNewIsOnTheDiskBeforeItIsLoaded) {
  auto words = *LastWords::open(t.env, t.path("last_words"));
  Predictor own({.last_words = words.get()}, t.env, wishes, blob_versions, log.get());
  wishes.models = {{.name = "fare", .current = version(1, 7)}};
  ASSERT_TRUE(own.reconcile());
  EXPECT_FALSE(words->watched());
  wishes.models = {{.name = "fare", .current = version(2, 8), .previous = version(1, 7), .probation = true}};
  wishes.models.front().watched = Watched{.model = "fare", .release = "r", .version = 2, .previous = 1};
  t.faults.arm("serve.watch.before_write=error").value();
  EXPECT_FALSE(own.reconcile());
  EXPECT_EQ(own.states().front().serving, 1);
  EXPECT_EQ(own.hold("fare", 2).error().reason, "serve.not_loaded");
  t.faults.arm("serve.load.before_read=error").value();
  ASSERT_TRUE(own.reconcile());
  EXPECT_EQ(words->watched()->version, 2) << "before it is loaded";
  EXPECT_EQ(own.states().front().serving, 1);
  t.faults.arm("").value();
  t.clock.advance(std::chrono::seconds(2));
  ASSERT_TRUE(own.reconcile());
  EXPECT_EQ(own.states().front().serving, 2);
  Problem problem;
  const auto body = row("a");
  ASSERT_TRUE(own.predict({"fare", body}, &problem));
  words->died(SIGSEGV, 1);
  const auto death = words->death();
  ASSERT_TRUE(death);
  ASSERT_EQ(death->requests.size(), 1u);
  EXPECT_EQ(death->requests[0].id, lines().back().second.id);
  EXPECT_TRUE(death->requests[0].answered);
  wishes.models.front().watched.reset();
  ASSERT_TRUE(own.reconcile());
  EXPECT_FALSE(words->watched());
}

TEST_F(PredictorReleaseTest, OnProbationTheLinesSaySo) {
  wishes.models = {{.name = "fare", .current = version(1, 7), .probation = true}};
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_EQ(ask("a"), "fare:1");
  wishes.models.front().probation = false;
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_EQ(ask("a"), "fare:1");
  const auto all = lines();
  EXPECT_EQ(all[0].second.why, Why::probation);
  EXPECT_EQ(all[1].second.why, Why::current);
}

}  // namespace
}  // namespace millrace::serve
