#include "flow/housekeeping.hpp"

#include <gtest/gtest.h>

#include "flow/pipelines.hpp"
#include "meta/testing/temp_store.hpp"

namespace millrace::flow {
namespace {

const Duration lease = std::chrono::seconds(10);

struct Bench {
  meta::TempStore store{migrations()};
  Jobs jobs{store.env(), *store, {.retry = {.jitter = 0}}};
  Pipelines pipelines{store.env(), *store, jobs,
                      [](meta::Tx&, const PipelineRun&, const Step& step, const std::map<std::string, std::string>&) {
                        return Result<StepPlan>(StepPlan::run("input of " + step.name));
                      }};

  Claimed claim(const std::string& kind) {
    auto claimed = jobs.claim("w", {kind}, lease);
    EXPECT_TRUE(claimed && *claimed) << kind;
    return **claimed;
  }
  std::string in_use() {
    std::string out;
    EXPECT_TRUE(store->read([&](meta::Reader& reader) {
      return texts_in_use(reader, [&](std::string_view text) { out += std::string(text) + "|"; });
    }));
    return out;
  }
  bool uses(const std::string& text) { return in_use().find(text) != std::string::npos; }
  Forgotten forget(std::size_t max = 100) {
    return *store->write([&](meta::Tx& tx) { return forget_over(tx, store.clock.now() - std::chrono::days(90), max); });
  }
  Forgotten old() {
    return *store->read(
        [&](meta::Reader& reader) { return count_over(reader, store.clock.now() - std::chrono::days(90)); });
  }
  std::set<std::string> under_way() {
    return *store->read([](meta::Reader& reader) { return keys_under_way(reader); });
  }
  std::optional<TimePoint> oldest() {
    return *store->read([](meta::Reader& reader) { return oldest_attempt(reader); });
  }
};

TEST(Housekeeping, WorkThatIsNotOverNeedsItsTexts) {
  Bench b;
  EXPECT_FALSE(b.oldest());
  (void)b.jobs.enqueue({.kind = "alone", .input = "queued input"});
  EXPECT_TRUE(b.uses("queued input"));
  auto alone = b.claim("alone");
  EXPECT_EQ(b.oldest(), b.store.clock.now());
  ASSERT_TRUE(b.jobs.heartbeat(alone.lease, {}, "half way"));
  EXPECT_TRUE(b.uses("half way"));
  ASSERT_TRUE(b.jobs.complete(alone.lease, "its result"));
  EXPECT_FALSE(b.uses("queued input")) << "done: whoever named its result owns it";
  EXPECT_FALSE(b.uses("its result"));
  EXPECT_FALSE(b.oldest());

  Pipeline two{"two", {{.name = "one", .kind = "one"}, {.name = "other", .kind = "other", .needs = {"one"}}}};
  auto run = *b.pipelines.start(two, {.key = "r"});
  EXPECT_EQ(b.under_way(), std::set<std::string>{"r"});
  auto one = b.claim("one");
  ASSERT_TRUE(b.jobs.complete(one.lease, "made by one"));
  EXPECT_TRUE(b.uses("made by one")) << "its step has not been told yet";
  ASSERT_TRUE(b.pipelines.advance(run));
  EXPECT_TRUE(b.uses("made by one")) << "the next step may need it";
  auto other = b.claim("other");
  ASSERT_TRUE(b.jobs.heartbeat(other.lease, {}, "other half way"));
  ASSERT_TRUE(b.jobs.fail(other.lease, {FailureKind::time, "too long", ""}, false));
  ASSERT_TRUE(b.pipelines.advance(run));
  EXPECT_TRUE(b.under_way().empty());
  EXPECT_TRUE(b.uses("other half way")) << "it may be taken up again";
  EXPECT_TRUE(b.uses("made by one"));
}

TEST(Housekeeping, WhatIsLongOverIsForgotten) {
  Bench b;
  Pipeline one{"one", {{.name = "step", .kind = "step"}}};
  auto run = *b.pipelines.start(one, {.key = "r"});
  auto step = b.claim("step");
  ASSERT_TRUE(b.jobs.complete(step.lease, "{}"));
  ASSERT_TRUE(b.pipelines.advance(run));
  for (int i = 0; i < 3; ++i) {
    (void)b.jobs.enqueue({.kind = "alone"});
    ASSERT_TRUE(b.jobs.complete(b.claim("alone").lease, "{}"));
  }
  (void)b.jobs.enqueue({.kind = "waits", .key = "since then"});
  auto nothing = b.forget();
  EXPECT_EQ(nothing.jobs + nothing.runs, 0) << "young";
  b.store.clock.advance(std::chrono::days(91));
  EXPECT_EQ(b.old().jobs, 4);
  EXPECT_EQ(b.old().runs, 1);
  auto some = b.forget(2);
  EXPECT_EQ(some.runs, 1);
  EXPECT_EQ(some.jobs, 2);
  EXPECT_TRUE(some.more);
  auto rest = b.forget();
  EXPECT_EQ(rest.jobs, 2);
  EXPECT_FALSE(rest.more);
  EXPECT_EQ(b.old().jobs, 0);
  auto left = *b.jobs.list({});
  ASSERT_EQ(left.size(), 1u) << "what waits is never too old";
  EXPECT_EQ(left[0].key, "since then");
  EXPECT_EQ(b.pipelines.find(run).error().reason, "flow.no_run");
}

TEST(Housekeeping, AJobOfAnUnfinishedRunStays) {
  Bench b;
  Pipeline two{"two", {{.name = "one", .kind = "one"}, {.name = "other", .kind = "other", .needs = {"one"}}}};
  auto run = *b.pipelines.start(two, {.key = "r"});
  ASSERT_TRUE(b.jobs.complete(b.claim("one").lease, "{}"));
  ASSERT_TRUE(b.pipelines.advance(run));
  b.store.clock.advance(std::chrono::days(200));
  EXPECT_EQ(b.old().jobs, 0);
  EXPECT_EQ(b.forget().jobs, 0);
}

}  // namespace
}  // namespace millrace::flow
