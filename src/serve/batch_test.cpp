#include "serve/batch.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <latch>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/testing/env.hpp"
#include "blob/testing/memory.hpp"
#include "model/testing/models.hpp"
#include "serve/batch_tensors.hpp"
#include "serve/predictor.hpp"
#include "serve/statistics_text.hpp"

namespace millrace::serve {
namespace {

using namespace std::chrono_literals;

TEST(Batch, WhatIsTakenFromTheQueue) {
  struct Case {
    const char* what;
    std::vector<std::size_t> rows;  // of those that wait, the first one since 0 ms
    std::size_t running, running_max;
    std::vector<std::size_t> preferred;
    Duration now;
    std::size_t taken;
    std::optional<Duration> look_again;
  };
  const Case cases[] = {
      {"nobody waits", {}, 0, 1, {}, 0ms, 0, {}},
      {"idle: at once", {1}, 0, 1, {8}, 0ms, 1, {}},
      {"idle: all that there is", {1, 1, 5}, 0, 1, {2}, 0ms, 3, {}},
      {"as many run as may", {1, 1}, 1, 1, {}, 9ms, 0, {}},
      {"no more rows than rows_max", {4, 4, 3}, 0, 1, {}, 0ms, 2, {}},
      {"one alone may have more", {50, 1}, 0, 1, {}, 0ms, 1, {}},
      {"busy: waits for others", {1}, 1, 2, {}, 1ms, 0, 2ms},
      {"but not for long", {1}, 1, 2, {}, 2ms, 1, {}},
      {"busy: rows_max is enough", {4, 4, 2}, 1, 2, {}, 0ms, 3, {}},
      {"busy: past rows_max is enough", {4, 4, 4}, 1, 2, {}, 0ms, 2, {}},
      {"busy: the largest preferred size", {1, 1, 1, 1, 1}, 1, 2, {2, 4, 8}, 0ms, 4, {}},
      {"busy: in any order", {1, 1, 1, 1, 1}, 1, 2, {8, 4, 2}, 0ms, 4, {}},
      {"busy: up to a preferred size", {3, 3}, 1, 2, {4}, 0ms, 1, {}},
      {"busy: below every preferred size", {3}, 1, 2, {4}, 0ms, 0, 2ms},
  };
  for (const auto& one : cases) {
    std::vector<WaitingRows> waiting;
    for (std::size_t i = 0; i < one.rows.size(); ++i)
      waiting.push_back({one.rows[i], SteadyPoint(Duration(static_cast<Duration::rep>(i)))});
    const BatchPolicy policy{10, 2ms, one.preferred};
    const auto next = next_batch(waiting, one.running, one.running_max, policy, SteadyPoint(one.now));
    EXPECT_EQ(next.requests, one.taken) << one.what;
    EXPECT_EQ(next.look_again, one.look_again ? std::optional(SteadyPoint(*one.look_again)) : std::nullopt) << one.what;
  }
}

TEST(Batch, Histogram) {
  BatchHistogram histogram;
  for (const std::size_t rows : {1, 2, 3, 4, 5, 1024, 1025}) histogram.add(rows);
  const auto counts = histogram.counts();
  EXPECT_EQ(counts.rows, 2064u);
  EXPECT_EQ(counts.buckets, (std::array<std::uint64_t, 12>{1, 1, 2, 1, 0, 0, 0, 0, 0, 0, 1, 1}));
}

struct Number : Batcher::Part {
  int asked = 0, answered = 0;
};

void answer(std::span<Batcher::Part* const> parts) {
  for (auto* one : parts) {
    auto* number = static_cast<Number*>(one);
    number->answered += number->asked * 2;
  }
}

template <class Condition>
bool eventually_true(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + 120s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

// One computes until the others wait: they are computed together, by one of them.
TEST(Batch, WhoComesWhileItIsBusyIsComputedTogether) {
  SystemClock clock;
  Batcher batcher;
  const BatchPolicy policy{256, 1h, {}};
  std::atomic<int> entered = 0;
  std::vector<std::size_t> sizes;
  std::latch began(1), go_on(1);
  std::jthread first([&] {
    Number mine;
    mine.asked = 1;
    batcher.run(mine, policy, 1, clock, [&](auto parts) {
      began.count_down();
      go_on.wait();
      sizes.push_back(parts.size());
      answer(parts);
    });
    EXPECT_EQ(mine.answered, 2);
    EXPECT_FALSE(mine.joined);
  });
  began.wait();
  EXPECT_TRUE(batcher.busy());
  constexpr int kOthers = 8;
  std::atomic<int> joined = 0;
  std::vector<std::jthread> others;
  for (int i = 0; i < kOthers; ++i) {
    others.emplace_back([&, i] {
      Number mine;
      mine.asked = i;
      mine.kind = i < kOthers / 2 ? "a" : "b";
      ++entered;
      batcher.run(mine, policy, 1, clock, [&](auto parts) {
        sizes.push_back(parts.size());
        for (auto* one : parts) EXPECT_EQ(one->kind, parts.front()->kind);
        answer(parts);
      });
      EXPECT_EQ(mine.answered, 2 * i);
      joined += mine.joined;
    });
  }
  ASSERT_TRUE(eventually_true([&] { return entered == kOthers && batcher.waiting() == kOthers; }));
  go_on.count_down();
  others.clear();
  EXPECT_EQ(sizes, (std::vector<std::size_t>{1, kOthers / 2, kOthers / 2}));
  EXPECT_EQ(joined, kOthers - 2);
  EXPECT_FALSE(batcher.busy());
}

// An event loop waits for nobody.
TEST(Batch, WhoMayNotWaitIsComputedAtOnce) {
  SystemClock clock;
  Batcher batcher;
  std::size_t inside = 0;
  Number outer;
  batcher.run(outer, {256, 1h, {}}, 1, clock, [&](auto) {
    Number mine;
    mine.may_wait = false;
    mine.asked = 4;
    batcher.run(mine, {256, 1h, {}}, 1, clock, [&](auto parts) {
      inside = parts.size();
      answer(parts);
    });
    EXPECT_EQ(mine.answered, 8);
  });
  EXPECT_EQ(inside, 1u);
  EXPECT_FALSE(batcher.busy());
}

TEST(Batch, EveryoneIsAnsweredOnceUnderManyThreads) {
  SystemClock clock;
  Batcher batcher;
  const BatchPolicy policy{16, 200us, {4}};
  std::atomic<int> running = 0, most = 0, computations = 0, joined = 0;
  constexpr int kThreads = 12, kEach = 400;
  constexpr std::size_t kRunning = 2;
  std::vector<std::jthread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        Number mine;
        mine.asked = t * kEach + i;
        mine.rows = 1 + static_cast<std::size_t>(i % 3);
        mine.kind = i % 5 == 0 ? "b" : "a";
        batcher.run(mine, policy, kRunning, clock, [&](auto parts) {
          const int now = ++running;
          int before = most;
          while (before < now && !most.compare_exchange_weak(before, now)) {
          }
          std::size_t rows = 0;
          for (auto* one : parts) rows += one->rows;
          EXPECT_LE(rows, 16u);
          answer(parts);
          std::this_thread::yield();
          ++computations;
          --running;
        });
        ASSERT_EQ(mine.answered, 2 * mine.asked);
        joined += mine.joined;
      }
    });
  }
  threads.clear();
  EXPECT_LE(most, static_cast<int>(kRunning));
  EXPECT_EQ(computations + joined, kThreads * kEach);
  EXPECT_FALSE(batcher.busy());
  EXPECT_EQ(batcher.waiting(), 0u);
}

model::TensorView view(const std::vector<std::int64_t>& shape, const std::vector<float>& values) {
  return {.name = "x",
          .datatype = model::Datatype::fp32,
          .shape = shape,
          .bytes = {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)},
          .texts = {}};
}

TEST(Batch, TensorsThatMayGoTogether) {
  using model::Datatype;
  model::TensorSignature signature{.inputs = {{.name = "x", .datatype = Datatype::fp32, .shape = {-1, -1}}},
                                   .outputs = {{.name = "y", .datatype = Datatype::fp32, .shape = {-1}},
                                               {.name = "n", .datatype = Datatype::int64, .shape = {1}},
                                               {.name = "t", .datatype = Datatype::bytes, .shape = {-1}}}};
  const std::vector<float> values(6);
  const std::vector<std::int64_t> two{2, 3}, one{1, 3}, other{3, 2}, none{0, 3};
  const std::size_t y[] = {0}, n[] = {0, 1}, t[] = {2};
  const auto kind = [&](const std::vector<std::int64_t>& shape, std::span<const std::size_t> outputs) {
    const model::TensorView views[] = {view(shape, values)};
    return batch_kind(signature, views, outputs);
  };
  ASSERT_TRUE(kind(two, y));
  EXPECT_EQ(kind(two, y), kind(one, y));
  EXPECT_NE(kind(two, y), kind(other, y));
  EXPECT_FALSE(kind(none, y)) << "no rows";
  EXPECT_FALSE(kind(two, n)) << "an output of one row";
  EXPECT_FALSE(kind(two, t)) << "texts";
  signature.inputs[0].shape = {1, -1};
  EXPECT_FALSE(kind(one, y)) << "a model of one row";
  signature.inputs[0].shape = {-1, -1};
  signature.inputs[0].datatype = Datatype::fp16;
  EXPECT_FALSE(kind(two, y)) << "half precision";
}

TEST(Batch, TensorsTogetherAndApart) {
  const std::vector<float> a{1, 2, 3, 4}, b{5, 6};
  const std::vector<std::int64_t> two{2, 2}, one{1, 2};
  const model::TensorView first[] = {view(two, a)}, second[] = {view(one, b)};
  const std::span<const model::TensorView> requests[] = {first, second};
  const auto all = put_together(requests);
  ASSERT_EQ(all.views.size(), 1u);
  EXPECT_EQ(all.shapes[0], (std::vector<std::int64_t>{3, 2}));
  std::vector<float> values(6);
  ASSERT_EQ(all.views[0].bytes.size(), sizeof(float) * 6);
  std::memcpy(values.data(), all.views[0].bytes.data(), sizeof(float) * 6);
  EXPECT_EQ(values, (std::vector<float>{1, 2, 3, 4, 5, 6}));

  model::TensorAnswer answer{.outputs = {{.shape = {3, 2}, .bytes = all.views[0].bytes, .texts = {}}}, .memory = {}};
  const std::size_t rows[] = {2, 1};
  const auto apart = take_apart(answer, rows);
  ASSERT_TRUE(apart);
  EXPECT_EQ((*apart)[0].outputs[0].shape, two);
  EXPECT_EQ((*apart)[0].outputs[0].bytes, first[0].bytes);
  EXPECT_EQ((*apart)[1].outputs[0].shape, one);
  EXPECT_EQ((*apart)[1].outputs[0].bytes, second[0].bytes);
  answer.outputs[0].shape = {1, 6};
  EXPECT_FALSE(take_apart(answer, rows)) << "it does not have a row for each";

  EXPECT_TRUE(about_equal(1.00001, 1));
  EXPECT_FALSE(about_equal(1.001, 1));
  EXPECT_TRUE(about_equal(NAN, NAN));
  EXPECT_FALSE(about_equal(NAN, 1));
  EXPECT_FALSE(about_equal(1, NAN));
  EXPECT_TRUE(about_equal(INFINITY, INFINITY));
}

struct BatchWishes final : WantedSource {
  Result<std::vector<WantedModel>> wanted() override { return models; }
  std::vector<WantedModel> models;
};

// Under many threads: what each gets is bit by bit what it gets alone, and the counters say how it was computed.
TEST(Batch, APredictorAnswersEachAsAlone) {
  TestEnv t;
  SystemClock clock;
  Env env{t.env.fs, clock, t.env.rng, t.env.faults, t.env.log};
  blob::MemoryStore blobs{t.clock};
  auto writer = *blobs.create();
  ASSERT_TRUE(writer->append(*model::testing::sample_artifact(model::TaskType::multiclass)));
  BatchWishes wishes;
  wishes.models = {{.name = "m", .current = VersionRef{1, writer->commit()->digest}}};
  wishes.models.front().batching = {64, 1ms, {}};
  BlobVersions versions{blobs};
  Predictor predictor({.queue_max = 64, .concurrency = 1}, env, wishes, versions, nullptr);
  ASSERT_TRUE(predictor.reconcile());

  constexpr std::size_t kRows = 64;
  const auto rows = model::testing::sample_rows(5, kRows);
  const auto loaded = predictor.loaded("m", 1);
  model::EncodeStats stats;
  const auto alone = *loaded->predict(rows, stats);
  std::atomic<std::uint64_t> asked = 0, answered_rows = 0;
  std::atomic<bool> wrong = false, together = false;
  const auto client = [&](std::size_t first) {
    while (!together && !wrong) {
      auto held = *predictor.hold("m", std::nullopt);
      auto measure = predictor.measure(held, {.may_wait = true});
      const auto count = 1 + first % 3;
      const std::vector<table::Row> mine(rows.begin() + static_cast<std::ptrdiff_t>(first),
                                         rows.begin() + static_cast<std::ptrdiff_t>(first + count));
      const auto answered = predictor.answer(held, {.rows = mine, .keys = {}}, measure);
      if (!answered || !std::equal(answered->answers.begin(), answered->answers.end(),
                                   alone.begin() + static_cast<std::ptrdiff_t>(first)))
        wrong = true;
      measure.succeeded();
      ++asked;
      answered_rows += count;
      first = (first + 7) % (kRows - 3);
    }
  };
  {
    std::vector<std::jthread> clients;
    for (std::size_t i = 0; i < 8; ++i) clients.emplace_back(client, i);
    // After the first time, which proves it, they are answered by it.
    EXPECT_TRUE(eventually_true([&] { return predictor.statistics().front().versions.front().counts.joined > 10; }));
    together = true;
  }
  EXPECT_FALSE(wrong);
  const auto report = predictor.statistics();
  const auto& counts = report.front().versions.front().counts;
  EXPECT_EQ(counts.succeeded, asked);
  EXPECT_EQ(counts.rows, answered_rows);
  EXPECT_LT(counts.executions(), asked);
  EXPECT_EQ(report.front().batches.rows, answered_rows);
  std::uint64_t computations = 0;
  for (const auto one : report.front().batches.buckets) computations += one;
  EXPECT_EQ(computations, counts.executions());
  const auto text = prometheus_text(report, 10);
  EXPECT_NE(text.find("millrace_serve_batch_rows_count{model=\"m\"} " + std::to_string(computations) + "\n"),
            std::string::npos);
  EXPECT_NE(text.find("nv_inference_exec_count{model=\"m\",version=\"1\"} " + std::to_string(computations) + "\n"),
            std::string::npos);
}

}  // namespace
}  // namespace millrace::serve
