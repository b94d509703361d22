#include "flow/jobs.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/executor.hpp"
#include "meta/sqlite.hpp"
#include "meta/testing/temp_store.hpp"

namespace millrace::flow {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

const Duration lease = seconds(10);
const Failure bad{FailureKind::code, "it broke", "line 1\nline 2"};

std::string reason(const auto& result) { return result ? "ok" : result.error().reason; }

std::vector<meta::Migration> tables() {
  auto all = migrations();
  all.push_back({"test", 1, "CREATE TABLE test_effects (job TEXT NOT NULL, worker TEXT NOT NULL);"});
  return all;
}

struct Bench {
  meta::TempStore store{tables()};
  Jobs jobs{store.env(), *store, {.retry = {.jitter = 0}}};

  std::string enqueue(const std::string& kind = "train", const std::string& key = "") {
    return *jobs.enqueue({.kind = kind, .key = key, .input = R"({"a":1})", .cause = "by hand"});
  }
  Claimed claim(const std::string& worker, const std::string& kind = "train") {
    auto claimed = jobs.claim(worker, {kind}, lease);
    EXPECT_TRUE(claimed && *claimed);
    return **claimed;
  }
  bool nothing_to_claim(const std::string& kind = "train") { return !*jobs.claim("w9", {kind}, lease); }
  std::function<Result<void>(meta::Tx&)> effect(const Lease& held) {
    return [held](meta::Tx& tx) -> Result<void> {
      TRY_VOID(tx.exec("INSERT INTO test_effects (job, worker) VALUES ($1, $2)", {held.job, held.worker}));
      return {};
    };
  }
  std::vector<std::string> effects(const std::string& job) {
    std::vector<std::string> out;
    const auto rows = *store->read(
        [&](meta::Reader& reader) { return reader.query("SELECT worker FROM test_effects WHERE job = $1", {job}); });
    for (const auto& row : rows) out.push_back(row.text(0));
    return out;
  }
  std::string history(const std::string& id) {
    std::string out;
    for (const auto& event : *jobs.history(id))
      out += event.what + (event.token ? std::to_string(event.token) : "") + " ";
    return out;
  }
  std::string subjects() {
    std::string out;
    for (const auto& event : *store->outbox_after(0, 1000)) out += event.event.subject.substr(4) + " ";
    return out;
  }
};

TEST(Jobs, ACheckpointAndWhatBelongsToItAreOneTransaction) {
  Bench b;
  b.enqueue();
  const auto claimed = b.claim("w1");
  const auto no = [](meta::Tx&) -> Result<void> { return fail(Code::unavailable, "test.no", ""); };
  EXPECT_EQ(reason(b.jobs.heartbeat(claimed.lease, "{}", "round 50", no)), "test.no");
  EXPECT_FALSE(b.jobs.find(claimed.lease.job)->checkpoint);
  ASSERT_TRUE(b.jobs.heartbeat(claimed.lease, "{}", "round 50", b.effect(claimed.lease)));
  EXPECT_EQ(b.jobs.find(claimed.lease.job)->checkpoint, "round 50");
  EXPECT_EQ(b.effects(claimed.lease.job), std::vector<std::string>{"w1"});
  const Lease late{claimed.lease.job, claimed.lease.token - 1, "w0"};
  EXPECT_EQ(reason(b.jobs.heartbeat(late, {}, {}, b.effect(late))), "flow.lease_lost");
  EXPECT_EQ(b.effects(claimed.lease.job).size(), 1u);
}

TEST(Jobs, FromAskedToDone) {
  Bench b;
  const auto id = b.enqueue();
  EXPECT_EQ(b.jobs.find(id)->state, JobState::queued);
  b.store.clock.advance(seconds(3));
  const auto claimed = b.claim("w1");
  EXPECT_EQ(claimed.job.id, id);
  EXPECT_EQ(claimed.job.input, R"({"a":1})");
  EXPECT_EQ(claimed.attempt, 1);
  EXPECT_EQ(claimed.lease.token, 1);
  EXPECT_TRUE(b.nothing_to_claim());
  EXPECT_FALSE(b.jobs.heartbeat(claimed.lease, R"({"round":1})")->cancel_asked);
  EXPECT_EQ(b.jobs.find(id)->progress, R"({"round":1})");
  ASSERT_TRUE(b.jobs.complete(claimed.lease, R"({"auc":1})", b.effect(claimed.lease)));
  const auto job = *b.jobs.find(id);
  EXPECT_EQ(job.state, JobState::done);
  EXPECT_EQ(job.result, R"({"auc":1})");
  EXPECT_EQ(*job.started_at - job.queued_at, seconds(3));
  EXPECT_EQ(b.effects(id), std::vector<std::string>{"w1"});
  EXPECT_EQ(b.subjects(), "queued done ");
  EXPECT_EQ(b.history(id), "queued claimed1 done1 ");
  EXPECT_EQ(b.store->outbox_after(1, 1)->at(0).event.payload,
            R"({"id":")" + id + R"(","kind":"train","key":")" + id + R"(","state":"done"})");
}

TEST(Jobs, OneUnfinishedJobPerKey) {
  Bench b;
  const auto first = b.enqueue("train", "churn");
  EXPECT_EQ(b.enqueue("train", "churn"), first);
  EXPECT_NE(b.enqueue("ingest", "churn"), first);
  const auto claimed = b.claim("w1");
  EXPECT_EQ(b.enqueue("train", "churn"), first);
  ASSERT_TRUE(b.jobs.complete(claimed.lease, "{}"));
  EXPECT_NE(b.enqueue("train", "churn"), first);
  EXPECT_EQ(b.subjects(), "queued queued done queued ");
}

TEST(Jobs, ByPriorityThenAgeAndOnlyWhatTheWorkerCan) {
  Bench b;
  const auto old_low = *b.jobs.enqueue({.kind = "train"});
  b.store.clock.advance(seconds(1));
  const auto young_low = *b.jobs.enqueue({.kind = "train"});
  const auto high = *b.jobs.enqueue({.kind = "ingest", .priority = 5});
  const auto later = *b.jobs.enqueue({.kind = "train", .priority = 9, .run_after = b.store.clock.now() + minutes(5)});
  std::vector<std::string> order;
  for (int i = 0; i < 3; ++i) order.push_back((*b.jobs.claim("w", {"train", "ingest"}, lease))->job.id);
  EXPECT_EQ(order, (std::vector<std::string>{high, old_low, young_low}));
  EXPECT_TRUE(b.nothing_to_claim());
  b.store.clock.advance(minutes(5));
  EXPECT_EQ(b.claim("w").job.id, later);
  b.enqueue("other");
  EXPECT_TRUE(b.nothing_to_claim());
}

// The first worker is stopped past its lease; the second does the job; the first comes back.
TEST(Jobs, ALateCommitIsRefusedAndWrittenDown) {
  Bench b;
  const auto id = b.enqueue();
  const auto first = b.claim("w1");
  ASSERT_TRUE(b.jobs.heartbeat(first.lease, {}, "round 7"));
  b.store.clock.advance(lease);
  EXPECT_EQ(b.jobs.expire(), 1);
  const auto waiting = *b.jobs.find(id);
  EXPECT_EQ(waiting.state, JobState::queued);
  EXPECT_EQ(waiting.failure->kind, FailureKind::lost);
  EXPECT_EQ(waiting.failure->message, "worker w1 last heard 2026-01-05T00:00:00.000000Z");
  EXPECT_EQ(reason(b.jobs.complete(first.lease, "{}", b.effect(first.lease))), "flow.stale_token")
      << "nobody has it yet, but it was taken";

  const auto second = b.claim("w2");
  EXPECT_EQ(second.job.checkpoint, "round 7");
  EXPECT_EQ(second.attempt, 2);
  EXPECT_GT(second.lease.token, first.lease.token);
  EXPECT_EQ(reason(b.jobs.heartbeat(first.lease)), "flow.lease_lost");
  EXPECT_EQ(reason(b.jobs.heartbeat(first.lease, "{}", "round 8")), "flow.lease_lost");
  EXPECT_EQ(reason(b.jobs.complete(first.lease, R"({"by":1})", b.effect(first.lease))), "flow.stale_token");
  ASSERT_TRUE(b.jobs.complete(second.lease, R"({"by":2})", b.effect(second.lease)));
  EXPECT_EQ(reason(b.jobs.complete(first.lease, R"({"by":1})", b.effect(first.lease))), "flow.stale_token");
  EXPECT_EQ(reason(b.jobs.fail(first.lease, bad, true)), "flow.stale_token");

  const auto job = *b.jobs.find(id);
  EXPECT_EQ(job.result, R"({"by":2})");
  EXPECT_EQ(job.checkpoint, "round 7");
  EXPECT_EQ(b.effects(id), std::vector<std::string>{"w2"});
  EXPECT_EQ(b.history(id), "queued claimed1 checkpoint1 lost1 refused1 claimed2 refused1 done2 refused1 refused1 ");
  const auto refused = b.jobs.history(id)->at(6);
  EXPECT_EQ(refused.worker, "w1");
  EXPECT_EQ(refused.note, "its result came with token 1, the newest is 2 and the job is running");
}

TEST(Jobs, HeartbeatsKeepALease) {
  Bench b;
  b.enqueue();
  const auto claimed = b.claim("w1");
  for (int i = 0; i < 5; ++i) {
    b.store.clock.advance(lease - seconds(1));
    ASSERT_TRUE(b.jobs.heartbeat(claimed.lease));
    EXPECT_EQ(b.jobs.expire(), 0);
  }
  EXPECT_TRUE(b.jobs.complete(claimed.lease, "{}"));
}

// Somebody does something between the server's look at the leases and its act.
class InterruptingClock final : public Clock {
 public:
  explicit InterruptingClock(Clock& clock) : clock_(clock) {}
  TimePoint now() override { return clock_.now(); }
  SteadyPoint steady() override {
    if (--calls_left == 0) interrupt();
    return clock_.steady();
  }
  int calls_left = 0;
  std::function<void()> interrupt;

 private:
  Clock& clock_;
};

TEST(Jobs, AJobThatFinishesWhileItExpiresStaysFinished) {
  Bench b;
  InterruptingClock clock(b.store.clock);
  const auto env = b.store.env();
  Jobs jobs({env.fs, clock, env.rng, env.faults, env.log}, *b.store);
  const auto id = b.enqueue();
  const auto claimed = **jobs.claim("w1", {"train"}, lease);
  b.store.clock.advance(lease);
  clock.calls_left = 2;  // watching, then deciding
  clock.interrupt = [&] { ASSERT_TRUE(jobs.complete(claimed.lease, "{}")); };
  EXPECT_EQ(jobs.expire(), 0);
  EXPECT_EQ(clock.calls_left, 0);
  EXPECT_EQ(b.history(id), "queued claimed1 done1 ");
}

TEST(Jobs, ACalendarThatJumpsEndsNoLease) {
  Bench b;
  b.enqueue();
  const auto claimed = b.claim("w1");
  b.store.clock.step_calendar(std::chrono::hours(48));
  EXPECT_EQ(b.jobs.expire(), 0);
  b.store.clock.step_calendar(-std::chrono::hours(96));
  EXPECT_EQ(b.jobs.expire(), 0);
  b.store.clock.advance(lease);
  EXPECT_EQ(b.jobs.expire(), 1);
  EXPECT_EQ(reason(b.jobs.complete(claimed.lease, "{}")), "flow.stale_token");
}

TEST(Jobs, ACalendarSetBackHoldsNothingUp) {
  Bench b;
  auto& clock = b.store.clock;
  b.enqueue("train", "asked before");
  ASSERT_TRUE(b.jobs.enqueue(
      {.kind = "train", .key = "asked for later", .input = "{}", .run_after = clock.now() + minutes(5)}));
  clock.step_calendar(-minutes(60));
  const auto claimed = b.claim("w1");
  EXPECT_EQ(claimed.job.key, "asked before");
  EXPECT_TRUE(b.nothing_to_claim()) << "what was asked for a moment waits for it";
  // Nor is the pause after a failure longer, however far back the calendar goes.
  ASSERT_TRUE(b.jobs.fail(claimed.lease, bad, true));
  clock.step_calendar(-minutes(60));
  EXPECT_TRUE(b.nothing_to_claim());
  clock.advance(minutes(10));
  EXPECT_EQ(b.claim("w1").job.key, "asked before");
}

TEST(Jobs, ARestartedServerGivesALeaseMore) {
  Bench b;
  b.enqueue();
  const auto claimed = b.claim("w1");
  b.store.clock.advance(minutes(5));  // nobody looked: the server was down
  b.store.reopen();
  Jobs again(b.store.env(), *b.store, {.retry = {.jitter = 0}});
  EXPECT_EQ(again.expire(), 0);
  b.store.clock.advance(lease - seconds(1));
  EXPECT_EQ(again.expire(), 0);
  ASSERT_TRUE(again.heartbeat(claimed.lease));
  b.store.clock.advance(lease - seconds(1));
  EXPECT_EQ(again.expire(), 0);
  b.store.clock.advance(seconds(1));
  EXPECT_EQ(again.expire(), 1);
}

TEST(Jobs, AWorkerKnownToBeGoneLosesItsJobsAtOnce) {
  Bench b;
  const auto id = b.enqueue();
  b.claim("local");
  EXPECT_EQ(b.jobs.worker_gone("other"), 0);
  EXPECT_EQ(b.jobs.worker_gone("local"), 1);
  EXPECT_EQ(b.claim("local").attempt, 2);
  EXPECT_EQ(b.history(id), "queued claimed1 lost1 claimed2 ");
}

TEST(Jobs, FailuresBackOffAndEnd) {
  Bench b;
  const auto id = b.enqueue();
  EXPECT_EQ(b.jobs.fail(b.claim("w1").lease, bad, true), JobState::queued);
  EXPECT_TRUE(b.nothing_to_claim());
  b.store.clock.advance(seconds(5));
  EXPECT_EQ(b.jobs.fail(b.claim("w1").lease, bad, true), JobState::queued);
  b.store.clock.advance(seconds(14));
  EXPECT_TRUE(b.nothing_to_claim());
  b.store.clock.advance(seconds(1));
  EXPECT_EQ(b.jobs.fail(b.claim("w1").lease, bad, true), JobState::failed);
  const auto job = *b.jobs.find(id);
  EXPECT_EQ(job.failure->message, "it broke");
  EXPECT_EQ(job.failure->detail, "line 1\nline 2");
  EXPECT_EQ(b.subjects(), "queued queued queued failed ");
}

TEST(Jobs, ACalendarThatJumpsNeitherEndsAPauseNorMakesItLonger) {
  Bench b;
  b.enqueue();
  EXPECT_EQ(b.jobs.fail(b.claim("w1").lease, bad, true), JobState::queued);
  b.store.clock.step_calendar(std::chrono::hours(1));
  EXPECT_TRUE(b.nothing_to_claim());
  b.store.clock.step_calendar(-std::chrono::hours(5));
  b.store.clock.advance(seconds(4));
  EXPECT_TRUE(b.nothing_to_claim());
  const auto other = b.enqueue();  // the one that waits does not stand before it
  EXPECT_EQ(b.claim("w1").job.id, other);
  EXPECT_EQ(b.jobs.pauses_left().size(), 1u);
  b.store.clock.advance(seconds(1));
  EXPECT_TRUE(b.jobs.pauses_left().empty());
  b.claim("w1");
}

TEST(Jobs, WhatIsQueuedDoesNotWaitForACalendarThatWasSetBack) {
  Bench b;
  b.enqueue();
  b.store.clock.step_calendar(-std::chrono::hours(1));
  ASSERT_TRUE(b.jobs.give_back(b.claim("w1").lease));
  b.store.clock.step_calendar(-std::chrono::hours(1));
  b.claim("w1");
}

TEST(Jobs, AFailureThatWouldRepeatIsNotTriedAgain) {
  Bench b;
  b.enqueue();
  EXPECT_EQ(b.jobs.fail(b.claim("w1").lease, {FailureKind::data, "no target column", ""}, false), JobState::failed);
}

TEST(Jobs, AttemptsUsedUpByLostWorkers) {
  Bench b;
  const auto id = b.enqueue();
  for (int i = 0; i < 3; ++i) {
    b.claim("w" + std::to_string(i));
    b.store.clock.advance(lease);
    EXPECT_EQ(b.jobs.expire(), 1);
  }
  EXPECT_EQ(b.jobs.find(id)->state, JobState::failed);
  EXPECT_EQ(b.jobs.find(id)->failure->kind, FailureKind::lost);
}

TEST(Jobs, PastItsTimeoutAJobFails) {
  Bench b;
  const auto id = *b.jobs.enqueue({.kind = "train", .timeout = seconds(30)});
  const auto claimed = b.claim("w1");
  for (int i = 0; i < 7; ++i) {
    b.store.clock.advance(seconds(5));
    ASSERT_TRUE(b.jobs.heartbeat(claimed.lease));
    EXPECT_EQ(b.jobs.expire(), 0);
  }
  b.store.clock.advance(seconds(5));
  EXPECT_EQ(b.jobs.expire(), 1);
  EXPECT_EQ(b.jobs.find(id)->failure->kind, FailureKind::time);
  EXPECT_EQ(reason(b.jobs.heartbeat(claimed.lease)), "flow.lease_lost");
}

TEST(Jobs, Cancelling) {
  Bench b;
  const auto queued = b.enqueue();
  ASSERT_TRUE(b.jobs.cancel(queued, "ann"));
  EXPECT_EQ(b.jobs.find(queued)->state, JobState::cancelled);
  EXPECT_TRUE(b.nothing_to_claim());

  const auto running = b.enqueue();
  const auto claimed = b.claim("w1");
  ASSERT_TRUE(b.jobs.cancel(running, "ann"));
  ASSERT_TRUE(b.jobs.cancel(running, "bob"));
  EXPECT_EQ(b.jobs.find(running)->cancel_by, "ann");
  EXPECT_TRUE(b.jobs.heartbeat(claimed.lease)->cancel_asked);
  EXPECT_EQ(b.jobs.fail(claimed.lease, {FailureKind::killed, "stopped", ""}, true), JobState::cancelled);

  const auto quick = b.enqueue();
  const auto finished = b.claim("w1");
  ASSERT_TRUE(b.jobs.cancel(quick, "ann"));
  ASSERT_TRUE(b.jobs.complete(finished.lease, "{}"));
  EXPECT_EQ(b.jobs.find(quick)->state, JobState::done) << "it was finished before it could be stopped";
  ASSERT_TRUE(b.jobs.cancel(quick, "ann"));
  EXPECT_EQ(b.jobs.find(quick)->state, JobState::done);
  EXPECT_EQ(reason(b.jobs.cancel("nobody", "ann")), "flow.no_job");
}

TEST(Jobs, GivingBackCostsNoAttempt) {
  Bench b;
  const auto id = b.enqueue();
  for (int i = 0; i < 5; ++i) {
    const auto claimed = b.claim("w1");
    EXPECT_EQ(claimed.attempt, 1);
    ASSERT_TRUE(b.jobs.give_back(claimed.lease, "at " + std::to_string(i)));
  }
  EXPECT_EQ(b.jobs.find(id)->checkpoint, "at 4");
}

TEST(Jobs, EffectsThatFailLeaveTheJobRunning) {
  Bench b;
  const auto id = b.enqueue();
  const auto claimed = b.claim("w1");
  const auto refused = b.jobs.complete(claimed.lease, "{}", [&](meta::Tx& tx) -> Result<void> {
    TRY_VOID(b.effect(claimed.lease)(tx));
    return millrace::fail(Code::failed_precondition, "test.no", "no");
  });
  EXPECT_EQ(reason(refused), "test.no");
  EXPECT_EQ(b.jobs.find(id)->state, JobState::running);
  EXPECT_TRUE(b.effects(id).empty());
  ASSERT_TRUE(b.jobs.complete(claimed.lease, "{}", b.effect(claimed.lease)));
  ASSERT_TRUE(b.jobs.complete(claimed.lease, "{}", b.effect(claimed.lease))) << "the answer was lost, so it asks again";
  EXPECT_EQ(b.effects(id).size(), 1u);
}

TEST(Jobs, ListsNewestFirst) {
  Bench b;
  const auto a = b.enqueue("train");
  b.store.clock.advance(seconds(1));
  const auto c = b.enqueue("ingest");
  b.claim("w", "ingest");
  EXPECT_EQ(b.jobs.list()->at(0).id, c);
  EXPECT_EQ(b.jobs.list({.state = JobState::queued})->at(0).id, a);
  EXPECT_TRUE(b.jobs.list({.state = JobState::queued, .kind = "ingest"})->empty());
}

// Any order of claims, silences, expiries and finishes: one commit per job at most, the history agrees, tokens rise.
RC_GTEST_PROP(JobsProperty, NeverTwoCommits, ()) {
  Bench b;
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(*b.jobs.enqueue({.kind = "train", .attempts_max = 4}));
  std::vector<Lease> leases;
  std::map<std::string, std::int64_t> newest;
  std::map<std::string, int> commits;
  const auto steps = *rc::gen::container<std::vector<std::pair<int, int>>>(
      rc::gen::pair(rc::gen::inRange(0, 9), rc::gen::inRange(0, 1000)));
  for (const auto& [what, pick] : steps) {
    const Lease* held = leases.empty() ? nullptr : &leases[static_cast<std::size_t>(pick) % leases.size()];
    switch (what) {
      case 0:
      case 1:
      case 2: {
        const auto claimed = *b.jobs.claim("w" + std::to_string(pick), {"train"}, lease);
        if (!claimed) break;
        RC_ASSERT(claimed->lease.token > newest[claimed->job.id]);
        newest[claimed->job.id] = claimed->lease.token;
        leases.push_back(claimed->lease);
        break;
      }
      case 3:
        b.store.clock.advance(seconds(pick % 12));
        RC_ASSERT(b.jobs.expire().has_value());
        break;
      case 4:
      case 5:
        if (held && b.jobs.complete(*held, "{}", b.effect(*held))) {
          RC_ASSERT(held->token == newest[held->job]);
          ++commits[held->job];
        }
        break;
      case 6:
        if (held) (void)b.jobs.fail(*held, bad, pick % 2 == 0);
        break;
      case 7:
        if (held) (void)b.jobs.heartbeat(*held, {}, pick % 3 == 0 ? std::optional<std::string>("c") : std::nullopt);
        break;
      default:
        if (pick % 5 == 0)
          (void)b.jobs.cancel(ids[static_cast<std::size_t>(pick) % ids.size()], "somebody");
        else
          b.store.clock.advance(seconds(20));
    }
  }
  for (const auto& id : ids) {
    const auto effects = b.effects(id);
    const auto job = *b.jobs.find(id);
    RC_ASSERT(effects.size() <= 1u);
    RC_ASSERT((job.state == JobState::done) == (effects.size() == 1u));
    RC_ASSERT((commits[id] > 0) == (effects.size() == 1u));
    RC_ASSERT(job.attempts <= 4);
    const auto history = *b.jobs.history(id);
    const auto ends = std::ranges::count_if(
        history, [](const JobEvent& e) { return e.what == "done" || e.what == "failed" || e.what == "cancelled"; });
    RC_ASSERT(ends == (is_over(job.state) ? 1 : 0));
  }
}

TEST(Jobs, ManyWorkersDoEachJobOnce) {
  TestEnv test;
  ThreadExecutor writer("meta_writer");
  auto store = *meta::open_sqlite(test.env, {.folder = test.path("data")}, writer, tables());
  Jobs jobs(test.env, *store);
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(jobs.enqueue({.kind = "train"}));
  std::vector<std::thread> workers;
  for (int w = 0; w < 4; ++w) {
    workers.emplace_back([&, name = "w" + std::to_string(w)] {
      while (auto claimed = *jobs.claim(name, {"train"}, lease)) {
        EXPECT_TRUE(jobs.complete(claimed->lease, "{}", [&](meta::Tx& tx) -> Result<void> {
          TRY_VOID(tx.exec("INSERT INTO test_effects (job, worker) VALUES ($1, $2)", {claimed->job.id, name}));
          return {};
        }));
      }
    });
  }
  for (auto& worker : workers) worker.join();
  const auto rows = *store->read(
      [](meta::Reader& reader) { return reader.query("SELECT count(*), count(DISTINCT job) FROM test_effects"); });
  EXPECT_EQ(rows[0].integer(0), 60);
  EXPECT_EQ(rows[0].integer(1), 60);
}

// The server is killed between the effects and the commit: neither happened, and the job is done again after the
// restart.
TEST(Jobs, AKillBeforeTheCommitUndoesBoth) {
  TestEnv test;
  const auto child = ::fork();
  ASSERT_GE(child, 0);
  InlineExecutor writer;
  if (child == 0) {
    auto faults = *Faults::parse("flow.complete.before_commit=kill");
    Env env{test.env.fs, test.env.clock, test.env.rng, *faults, test.env.log};
    auto store = *meta::open_sqlite(env, {.folder = test.path("data")}, writer, tables());
    Jobs jobs(env, *store);
    (void)jobs.enqueue({.kind = "train", .key = "churn"});
    auto claimed = **jobs.claim("local", {"train"}, lease);
    (void)jobs.heartbeat(claimed.lease, {}, "round 3");
    (void)jobs.complete(claimed.lease, "{}", [&](meta::Tx& tx) -> Result<void> {
      TRY_VOID(tx.exec("INSERT INTO test_effects (job, worker) VALUES ('x', 'local')"));
      return {};
    });
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  auto store = *meta::open_sqlite(test.env, {.folder = test.path("data")}, writer, tables());
  Jobs jobs(test.env, *store);
  EXPECT_EQ(jobs.worker_gone("local"), 1);
  const auto claimed = **jobs.claim("local", {"train"}, lease);
  EXPECT_EQ(claimed.job.checkpoint, "round 3");
  EXPECT_EQ(claimed.attempt, 2);
  const auto rows =
      *store->read([](meta::Reader& reader) { return reader.query("SELECT count(*) FROM test_effects"); });
  EXPECT_EQ(rows[0].integer(0), 0);
  EXPECT_TRUE(jobs.complete(claimed.lease, "{}"));
}

}  // namespace
}  // namespace millrace::flow
