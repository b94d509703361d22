// What a bound of memory does: who leaves, who comes back, how often.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include "base/testing/env.hpp"
#include "model/testing/models.hpp"
#include "serve/predictor.hpp"

namespace millrace::serve {
namespace {

struct MemoryWishes final : WantedSource {
  Result<std::vector<WantedModel>> wanted() override { return models; }
  std::vector<WantedModel> models;
};

Result<Answered> answer(Predictor& predictor, Predictor::Held held, const model::ParsedRows& rows) {
  auto measure = predictor.measure(held);
  return predictor.answer(held, rows, measure);
}

// Versions that answer their number; counts loads, and can be slow or fail.
struct CountedVersions final : VersionSource {
  Result<std::shared_ptr<const model::LoadedModel>> load(const std::string& name, const VersionRef& ref,
                                                         const model::RuntimeOptions& options) override {
    ++loads;
    ++running;
    while (held) std::this_thread::yield();
    --running;
    if (name == broken) return fail(Code::data_loss, "test.broken", "broken");
    const auto bytes = *model::testing::constant_artifact(model::TaskType::regression, static_cast<double>(ref.number));
    return model::LoadedModel::load(bytes, options);
  }
  std::atomic<int> loads = 0, running = 0;
  std::atomic<bool> held = false;
  std::string broken;
};

struct PredictorMemoryTest : ::testing::Test {
  static std::uint64_t one() {
    const auto bytes = *model::testing::constant_artifact(model::TaskType::regression, 1);
    return (*model::LoadedModel::load(bytes, {}))->memory_bytes();
  }
  static WantedModel wish(const std::string& name, std::int64_t number = 1, bool pinned = false) {
    WantedModel out{name, VersionRef{number, sha256(name + std::to_string(number))}, std::nullopt};
    out.pinned = pinned;
    return out;
  }
  Predictor::Config config(std::uint64_t fit) {
    Predictor::Config out;
    out.memory_bytes_max = fit * one() + one() / 2;
    out.drop_unnamed = true;
    out.wait_max = std::chrono::seconds(30);
    return out;
  }
  std::string ask(Predictor& predictor, const std::string& name, bool may_wait = true) {
    t.clock.advance(std::chrono::seconds(1));
    auto held = predictor.hold(name, std::nullopt, may_wait);
    if (!held) return held.error().reason;
    auto answered = answer(predictor, *held, {.rows = model::testing::sample_rows(1, 1)});
    return answered ? std::to_string(static_cast<int>(answered->answers[0].score)) : answered.error().reason;
  }
  std::string resident(Predictor& predictor) {
    std::string out;
    for (const auto& state : predictor.states()) out += state.bytes ? state.name : "";
    return out;
  }

  TestEnv t;
  MemoryWishes wishes;
  CountedVersions versions;
};

TEST_F(PredictorMemoryTest, WhoWasAskedLongestAgoLeavesAndComesBack) {
  Predictor predictor(config(3), t.env, wishes, versions, nullptr);
  for (const auto* name : {"a", "b", "c", "d", "e"}) wishes.models.push_back(wish(name));
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_TRUE(predictor.ready());
  EXPECT_EQ(5, versions.loads) << "each is proven at the start";
  EXPECT_EQ(3u, predictor.memory().resident);
  for (const auto* name : {"a", "b", "c"}) EXPECT_EQ("1", ask(predictor, name));
  EXPECT_EQ("abc", resident(predictor));
  const auto loads = versions.loads.load();
  EXPECT_EQ("serve.on_disk", ask(predictor, "d", false)) << "an event loop does not wait";
  EXPECT_EQ(loads, versions.loads);
  EXPECT_EQ("1", ask(predictor, "a"));
  EXPECT_EQ("1", ask(predictor, "d"));
  EXPECT_EQ("acd", resident(predictor));
  EXPECT_EQ("1", ask(predictor, "e"));
  EXPECT_EQ("ade", resident(predictor));
  EXPECT_EQ(loads + 2, versions.loads);
  EXPECT_LE(predictor.memory().bytes, config(3).memory_bytes_max);
  // A look changes nothing, and loads nothing.
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_EQ("ade", resident(predictor));
  EXPECT_EQ(loads + 2, versions.loads);
}

TEST_F(PredictorMemoryTest, PinnedOnesStayAndWhatCannotFitIsRefused) {
  wishes.models = {wish("a", 1, true), wish("b"), wish("c")};
  Predictor predictor(config(2), t.env, wishes, versions, nullptr);
  ASSERT_TRUE(predictor.reconcile());
  for (int i = 0; i < 3; ++i) {
    for (const auto* name : {"b", "c"}) EXPECT_EQ("1", ask(predictor, name));
  }
  EXPECT_EQ("ac", resident(predictor));

  Predictor small(config(0), t.env, wishes, versions, nullptr);
  ASSERT_TRUE(small.reconcile());
  EXPECT_EQ("serve.not_ready", ask(small, "a"));
  EXPECT_NE(std::string::npos, small.states()[0].error.find("more than the"));
}

TEST_F(PredictorMemoryTest, OneLoadHoweverManyWaitAndOthersAreAnsweredMeanwhile) {
  wishes.models = {wish("a"), wish("b"), wish("c")};
  Predictor predictor(config(2), t.env, wishes, versions, nullptr);
  ASSERT_TRUE(predictor.reconcile());
  for (const auto* name : {"a", "b"}) EXPECT_EQ("1", ask(predictor, name));
  ASSERT_EQ("ab", resident(predictor));
  const auto loads = versions.loads.load();
  versions.held = true;
  constexpr int waiters = 8;
  std::atomic<int> right = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < waiters; ++i) {
      threads.emplace_back([&] {
        auto held = predictor.hold("c", std::nullopt, true);
        if (held && answer(predictor, *held, {.rows = model::testing::sample_rows(1, 1)})) ++right;
      });
    }
    while (versions.running == 0) std::this_thread::yield();
    EXPECT_EQ("1", ask(predictor, "b", false)) << "nobody else waits";
    EXPECT_EQ(0, right);
    versions.held = false;
  }
  EXPECT_EQ(waiters, right);
  EXPECT_EQ(loads + 1, versions.loads);
}

TEST_F(PredictorMemoryTest, WhatCannotComeBackIsTriedAgainByTheNextRequest) {
  wishes.models = {wish("a"), wish("b")};
  Predictor predictor(config(1), t.env, wishes, versions, nullptr);
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_EQ("1", ask(predictor, "a"));
  versions.broken = "b";
  EXPECT_EQ("serve.not_brought_back", ask(predictor, "b"));
  versions.broken.clear();
  EXPECT_EQ("1", ask(predictor, "b"));
  EXPECT_EQ("1", ask(predictor, "a"));
}

TEST_F(PredictorMemoryTest, ModelsThatNobodyNamesAreLetGo) {
  wishes.models = {wish("a"), wish("b")};
  Predictor predictor(config(4), t.env, wishes, versions, nullptr);
  ASSERT_TRUE(predictor.reconcile());
  auto held = *predictor.hold("b", std::nullopt);
  wishes.models.pop_back();
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_EQ("serve.no_model", ask(predictor, "b"));
  EXPECT_EQ(std::vector<std::string>{"a"}, predictor.names());
  EXPECT_EQ(one(), predictor.memory().bytes);
  EXPECT_TRUE(answer(predictor, held, {.rows = model::testing::sample_rows(1, 1)})) << "what is held answers";
}

TEST_F(PredictorMemoryTest, OtherContentOfTheSameNumberTakesOver) {
  Predictor predictor(config(4), t.env, wishes, versions, nullptr);
  wishes.models = {wish("a")};
  ASSERT_TRUE(predictor.reconcile());
  wishes.models[0].current->artifact = sha256("other");
  versions.broken = "a";
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_EQ("1", ask(predictor, "a")) << "the old content stays";
  EXPECT_NE("", predictor.states()[0].error);
  versions.broken.clear();
  t.clock.advance(std::chrono::seconds(2));
  ASSERT_TRUE(predictor.reconcile());
  EXPECT_EQ("", predictor.states()[0].error);
  EXPECT_EQ(1u, predictor.states()[0].versions.size());
  EXPECT_EQ(std::vector<std::int64_t>{1}, predictor.hold("a", std::nullopt)->versions());
}

// Models come and go in memory under those who ask, while versions change. The thread sanitizer looks on.
TEST_F(PredictorMemoryTest, ComingAndGoingUnderManyWhoAsk) {
  auto changed = config(3);
  changed.load_threads = 2;
  Predictor predictor(changed, t.env, wishes, versions, nullptr);
  const std::vector<std::string> names = {"a", "b", "c", "d", "e", "f", "g", "h"};
  for (const auto& name : names) wishes.models.push_back(wish(name));
  ASSERT_TRUE(predictor.reconcile());
  std::atomic<bool> enough = false;
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (std::size_t asker = 0; asker < 4; ++asker) {
      threads.emplace_back([&, asker] {
        for (std::size_t asked = 0; asked < 200 || !enough; ++asked) {
          auto held = predictor.hold(names[(asked * (asker + 1) + asker) % names.size()], std::nullopt, true);
          // It may leave three times in a row before it is held.
          if (!held && held.error().reason == "serve.on_disk") continue;
          if (!held || !answer(predictor, *held, {.rows = model::testing::sample_rows(1, 1)})) ++wrong;
        }
      });
    }
    for (std::int64_t number = 2; number < 12; ++number) {
      for (auto& model : wishes.models) model = wish(model.name, number);
      EXPECT_TRUE(predictor.reconcile());
      (void)predictor.states();
    }
    enough = true;
  }
  EXPECT_EQ(0, wrong);
  EXPECT_LE(predictor.memory().resident, names.size());
}

}  // namespace
}  // namespace millrace::serve
