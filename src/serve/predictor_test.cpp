#include "serve/predictor.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/testing/env.hpp"
#include "blob/testing/memory.hpp"
#include "model/testing/models.hpp"

namespace millrace::serve {
namespace {

struct Wishes final : WantedSource {
  Result<std::vector<WantedModel>> wanted() override { return models; }
  std::vector<WantedModel> models;
};

struct PredictorTest : ::testing::Test {
  VersionRef version(std::int64_t number, double answer) {
    auto bytes = *model::testing::constant_artifact(model::TaskType::regression, answer);
    auto writer = *blobs.create();
    EXPECT_TRUE(writer->append(bytes));
    return {number, writer->commit()->digest};
  }
  Result<Answered> answer(const model::ParsedRows& rows) {
    auto held = *predictor.hold("fare", std::nullopt);
    auto measure = predictor.measure(held);
    return predictor.answer(held, rows, measure);
  }
  std::string ask(std::string_view model) {
    auto row = model::testing::json_row(model::testing::sample_inputs(), model::testing::sample_rows(1, 1).front());
    Problem problem;
    auto answer = predictor.predict({model, row}, &problem);
    return answer ? *answer : answer.error().reason;
  }

  TestEnv t;
  blob::MemoryStore blobs{t.clock};
  std::unique_ptr<PredictionLog> log = *PredictionLog::open({t.path("log"), 1 << 16}, t.env);
  Wishes wishes;
  BlobVersions blob_versions{blobs};
  Predictor predictor{{}, t.env, wishes, blob_versions, log.get()};
};

TEST_F(PredictorTest, NothingWantedIsNotReady) {
  EXPECT_EQ("serve.not_ready", predictor.hold("fare", std::nullopt).error().reason);  // nobody was asked yet
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_FALSE(predictor.ready());
  wishes.models = {{"fare", std::nullopt, std::nullopt}};  // registered, but no version passed its gates yet
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_FALSE(predictor.ready());
}

TEST_F(PredictorTest, WhatIsHeldAnswersThoughItIsGone) {
  wishes.models = {{"fare", version(2, 8), version(1, 7)}};
  ASSERT_TRUE(predictor.reconcile());
  auto held = *predictor.hold("fare", 1);
  EXPECT_EQ((std::vector<std::int64_t>{1, 2}), held.versions());
  wishes.models = {{"fare", version(3, 9), version(2, 8)}};
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_EQ("serve.not_loaded", predictor.hold("fare", 1).error().reason);
  EXPECT_EQ("serve.no_model", predictor.hold("fares", std::nullopt).error().reason);
  EXPECT_EQ("fare:3", predictor.hold("fare", std::nullopt)->name_and_version());
  auto measure = predictor.measure(held);
  auto answered = *predictor.answer(held, {.rows = model::testing::sample_rows(1, 2), .keys = {"a", "b"}}, measure);
  ASSERT_EQ(2u, answered.answers.size());
  EXPECT_EQ(7, answered.answers[1].score);
  EXPECT_EQ(2u, log->appended());
  EXPECT_EQ(2u, predictor.states()[0].rows);
}

// What is to be computed on a pool gets its model's lane, one for all its versions; a quick request needs none.
TEST_F(PredictorTest, WhatIsLongToComputeHasItsModelsLane) {
  Predictor own({.concurrency = 1}, t.env, wishes, blob_versions, nullptr);
  wishes.models = {{"fare", version(2, 8), version(1, 7)}, {"other", version(1, 7), std::nullopt}};
  ASSERT_TRUE(own.reconcile());
  const auto lane_of = [&](const char* name, std::int64_t number, std::size_t bytes) {
    std::shared_ptr<void> place;
    std::shared_ptr<Lane> lane;
    const auto held = *own.hold(name, number);
    const Turn turn{.bytes = bytes, .place = &place, .lane = &lane};
    EXPECT_EQ(own.admit(held, turn).has_value(), bytes < 1000);
    return lane;
  };
  const auto fare = lane_of("fare", 2, 1 << 20), other = lane_of("other", 1, 1 << 20);
  ASSERT_TRUE(fare && other);
  EXPECT_NE(fare, other);
  EXPECT_EQ(fare, lane_of("fare", 1, 1 << 20));
  EXPECT_FALSE(lane_of("fare", 2, 10));

  // The pool keeps to what the project says, also when that changes.
  const auto most_at_once = [&] {
    LanePool pool({.name = "test", .threads = 6, .queued_max = 100});
    std::atomic<int> running = 0, most = 0;
    for (int i = 0; i < 60; ++i) {
      EXPECT_TRUE(pool.submit(fare, t.clock.steady(), [&] {
        const int now = ++running;
        int before = most;
        while (before < now && !most.compare_exchange_weak(before, now)) {
        }
        for (int spin = 0; spin < 50; ++spin) std::this_thread::yield();
        --running;
      }));
    }
    EXPECT_TRUE(pool.drain(std::chrono::minutes(2)));
    return most.load();
  };
  EXPECT_EQ(most_at_once(), 1);
  wishes.models[0].turns = {.urgency = Urgency::high, .concurrency = 3};
  ASSERT_TRUE(own.reconcile());
  const int three = most_at_once();
  EXPECT_TRUE(three > 0 && three <= 3) << three;
}

TEST_F(PredictorTest, WhatIsLongToComputeHasAQueueWithABound) {
  Predictor bounded({.queue_max = 2}, t.env, wishes, blob_versions, nullptr);
  wishes.models = {{"fare", version(1, 7), std::nullopt}};
  ASSERT_TRUE(bounded.reconcile());
  auto held = *bounded.hold("fare", std::nullopt);
  const auto admit = [&](std::size_t bytes, bool may_wait, std::shared_ptr<void>* place) {
    const auto admitted = bounded.admit(held, {.may_wait = may_wait, .bytes = bytes, .place = place});
    return admitted ? "" : admitted.error().reason;
  };
  std::shared_ptr<void> a, b, c;
  EXPECT_EQ("", admit(300, false, &a));
  EXPECT_FALSE(a);  // quick ones need no place
  EXPECT_EQ("serve.on_disk", admit(1 << 20, false, &a));
  EXPECT_EQ("", admit(1 << 20, true, &a));  // again, from the pool
  EXPECT_EQ("", admit(1 << 20, true, &b));  // from a thread that may wait
  EXPECT_EQ("serve.overloaded", admit(1 << 20, false, &c));
  EXPECT_EQ("serve.overloaded", admit(1 << 20, true, &c));
  EXPECT_FALSE(c);
  EXPECT_EQ("", admit(300, false, &c));
  EXPECT_EQ(2u, bounded.statistics()[0].pending);
  EXPECT_EQ(2u, bounded.statistics()[0].overloaded);
  a.reset();
  EXPECT_EQ("serve.on_disk", admit(1 << 20, false, &c));
  b.reset();
  c.reset();
  EXPECT_EQ(0u, bounded.statistics()[0].pending);

  // What it costs is learned: a body of this size takes longer than an event loop has, until it no longer does.
  const auto took = [&](Duration each) {
    const Turn turn{.bytes = 936};
    auto measure = bounded.measure(held, turn);
    measure.infers();
    ASSERT_TRUE(bounded.answer(held, {.rows = model::testing::sample_rows(1, 1), .keys = {}}, measure));
    t.clock.advance(each);
    measure.succeeded();
  };
  took(Predictor::kOnLoopMax + std::chrono::microseconds(1));
  EXPECT_EQ("serve.on_disk", admit(936, false, &a));
  EXPECT_EQ("", admit(100, false, &c));
  for (int i = 0; i < 5; ++i) took(std::chrono::microseconds(10));
  EXPECT_EQ("", admit(936, false, &c));
}

TEST_F(PredictorTest, AFirstVersionThatCannotBeLoadedIsNotReady) {
  wishes.models = {{"fare", version(1, 7), std::nullopt}};
  blobs.fail_next({Code::unavailable, "test.blobs_away", "away"});
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_FALSE(predictor.ready());
  EXPECT_EQ("serve.not_ready", ask("fare"));
  t.clock.advance(std::chrono::seconds(2));
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_TRUE(predictor.ready());
  EXPECT_NE(std::string::npos, ask("fare").find("\"fare:1\"")) << ask("fare");
}

// A load balancer takes a server out when it is not ready: a swap is no reason, for the old version answers.
TEST_F(PredictorTest, StaysReadyWhileAndWhenANewVersionIsNotThere) {
  auto first = version(1, 7), second = version(2, 8);
  wishes.models = {{"fare", first, std::nullopt}};
  ASSERT_TRUE(predictor.reconcile());
  wishes.models = {{"fare", second, first}};
  blobs.fail_next({Code::unavailable, "test.blobs_away", "away"});
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_TRUE(predictor.ready());
  EXPECT_NE(std::string::npos, ask("fare").find("\"fare:1\"")) << ask("fare");
  EXPECT_NE("", predictor.states().front().error);
  t.clock.advance(std::chrono::seconds(2));
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_NE(std::string::npos, ask("fare").find("\"fare:2\"")) << ask("fare");
  EXPECT_TRUE(predictor.ready());
}

TEST_F(PredictorTest, AModelThatJoinsLaterTakesNobodyOut) {
  auto first = version(1, 7);
  wishes.models = {{"fare", first, std::nullopt}};
  ASSERT_TRUE(predictor.reconcile());
  wishes.models.push_back({"tip", version(1, 2), std::nullopt});
  blobs.fail_next({Code::unavailable, "test.blobs_away", "away"});
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_TRUE(predictor.ready());
  EXPECT_EQ("serve.not_ready", ask("tip"));
}

TEST_F(PredictorTest, WithoutRoomForALineItAnswersAndSaysSo) {
  auto first = version(1, 7);
  wishes.models = {{"fare", first, std::nullopt}};
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_EQ(std::string::npos, ask("fare").find("logged"));
  EXPECT_FALSE(predictor.unlogged());

  log->close_segment();
  ASSERT_TRUE(t.faults.arm("serve.segment.after_create=error"));
  EXPECT_NE(std::string::npos, ask("fare").find("\"logged\":false"));
  EXPECT_EQ(1u, predictor.states().front().not_logged);
  ASSERT_TRUE(predictor.unlogged());
  EXPECT_TRUE(predictor.unlogged()->lasts);
  EXPECT_EQ(t.clock.now(), predictor.unlogged()->at);

  wishes.models.front().refuse_unlogged = true;
  ASSERT_TRUE(predictor.reconcile());
  const auto before = predictor.states().front().not_logged;
  EXPECT_EQ("serve.not_logged", ask("fare"));
  EXPECT_EQ(before, predictor.states().front().not_logged) << "nobody got that answer";

  ASSERT_TRUE(t.faults.arm(""));
  t.clock.advance(std::chrono::seconds(1));
  EXPECT_EQ(std::string::npos, ask("fare").find("logged")) << ask("fare");
  EXPECT_FALSE(predictor.unlogged()->lasts);
}

// Versions come and go under those who ask; the log is closed and synced meanwhile, states are read. Each answer is of
// one version, and its line in the log says the same. The thread sanitizer (preset tsan) looks on.
TEST_F(PredictorTest, AShareOfTheRowsGetsLines) {
  wishes.models = {{.name = "fare", .current = version(1, 7), .log_share = 0.25}};
  ASSERT_TRUE(predictor.reconcile());
  const std::vector<table::Row> rows = model::testing::sample_rows(1, 1000);
  auto answered = *answer({.rows = rows, .keys = {}});
  ASSERT_EQ(answered.answers.size(), rows.size());
  ASSERT_EQ(answered.unlogged.size(), rows.size());
  const auto without = static_cast<std::uint64_t>(std::ranges::count(answered.unlogged, true));
  EXPECT_NEAR(static_cast<double>(without) / 1000, 0.75, 0.06);
  for (std::size_t i = 0; i < rows.size(); ++i)
    EXPECT_EQ(answered.unlogged[i], !in_share(answered.ids[i], 0.25)) << answered.ids[i].text();
  EXPECT_EQ(log->appended(), 1000 - without);
  auto state = predictor.states()[0];
  EXPECT_EQ(state.not_sampled, without);
  EXPECT_EQ(state.not_logged, 0u) << "nothing was to be kept and is not";
  EXPECT_FALSE(predictor.unlogged());
  // All again: the version in memory is not loaded anew.
  wishes.models[0].log_share = 1;
  const auto before = predictor.loaded("fare", 1);
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_EQ(predictor.loaded("fare", 1), before);
  EXPECT_TRUE(answer({.rows = rows, .keys = {}})->unlogged.empty());
  EXPECT_EQ(log->appended(), 2000 - without);
  // Nothing is wanted: no answer is refused for that.
  wishes.models[0].log_share = 0;
  wishes.models[0].refuse_unlogged = true;
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_NE(ask("fare").find("\"logged\":false"), std::string::npos);
}

TEST_F(PredictorTest, SwapsUnderManyWhoAsk) {
  constexpr int askers = 4, swaps = 40, asked_min = 20;
  std::vector<VersionRef> versions;
  for (int number = 1; number <= 4; ++number) versions.push_back(version(number, 10 * number));
  wishes.models = {{"fare", versions[0], std::nullopt}};
  ASSERT_TRUE(predictor.reconcile());
  const auto row = model::testing::json_row(model::testing::sample_inputs(), model::testing::sample_rows(1, 1).front());
  std::atomic<bool> enough = false;
  std::atomic<int> wrong = 0;
  std::atomic<std::uint64_t> answered = 0;
  {
    std::vector<std::jthread> threads;
    for (int asker = 0; asker < askers; ++asker) {
      threads.emplace_back([&] {
        for (int asked = 0; asked < asked_min || !enough; ++asked) {
          Problem problem;
          auto answer = predictor.predict({"fare", row}, &problem);
          // {"prediction":20,...,"model":"fare:2",...}
          const auto number = answer ? answer->find("\"fare:") : std::string::npos;
          const bool right = number != std::string::npos &&
                             answer->find(std::string("\"prediction\":") + (*answer)[number + 6]) != std::string::npos;
          right ? ++answered : static_cast<std::uint64_t>(++wrong);
        }
      });
    }
    threads.emplace_back([&] {
      while (!enough) {
        EXPECT_TRUE(log->sync());
        log->close_segment();
        EXPECT_TRUE(predictor.ready());
        EXPECT_EQ(1u, predictor.states().size());
        (void)predictor.next_retry();
        (void)predictor.loaded("fare", 1);
      }
    });
    for (int i = 1; i <= swaps; ++i) {
      const auto count = versions.size();
      wishes.models = {
          {"fare", versions[static_cast<std::size_t>(i) % count], versions[static_cast<std::size_t>(i - 1) % count]}};
      EXPECT_TRUE(predictor.reconcile());
    }
    enough = true;
  }
  EXPECT_EQ(0, wrong);
  std::uint64_t lines = 0;
  auto stats = read_prediction_log(t.env.fs, t.path("log"), [&](const LogSchema& schema, LoggedPrediction&& line) {
    ++lines;
    EXPECT_EQ(10.0f * static_cast<float>(schema.version), line.scores.at(0));
    return ok();
  });
  ASSERT_TRUE(stats);
  EXPECT_EQ(answered, lines);
  EXPECT_EQ(0u, stats->damaged);
  EXPECT_EQ(answered, predictor.states().front().requests);
}

}  // namespace
}  // namespace millrace::serve
