#include "flow/relay.hpp"

#include <gtest/gtest.h>

#include "meta/testing/temp_store.hpp"
#include "queue/testing/memory.hpp"

namespace millrace::flow {
namespace {

// Runs what was posted when the test says so.
class LaterExecutor final : public Executor {
 public:
  Result<void> post(std::function<void()> work) override {
    waiting_.push_back(std::move(work));
    return {};
  }
  int run() {
    int ran = 0;
    for (; !waiting_.empty(); ++ran) {
      auto work = std::move(waiting_.front());
      waiting_.erase(waiting_.begin());
      work();
    }
    return ran;
  }

 private:
  std::vector<std::function<void()>> waiting_;
};

struct Bench {
  meta::TempStore store{std::span<const meta::Migration>{}};
  queue::MemoryQueue queue{store.clock};
  LaterExecutor executor;

  Bench() { EXPECT_TRUE(queue.add_consumer("c", {})); }
  void emit(const std::string& key) {
    ASSERT_TRUE(store->write([&](meta::Tx& tx) { return tx.emit({"job.done", key, R"({"a":[1,"x\"y"]})"}); }));
  }
  std::string seen() {
    std::string out;
    for (const auto& message : *queue.fetch("c", 1000)) {
      const auto event = *parse_relayed(message.payload);
      out += std::to_string(event.seq) + event.key + " ";
    }
    return out;
  }
};

TEST(Relay, EventsArriveWholeAndInOrder) {
  Bench b;
  b.emit("before");
  Relay relay(b.store.env(), *b.store, b.queue, b.executor);
  b.executor.run();
  EXPECT_EQ(b.seen(), "1before ");
  for (const char* key : {"a", "b", "c"}) b.emit(key);
  EXPECT_EQ(b.executor.run(), 1) << "one round for all that came before it began";
  EXPECT_EQ(b.seen(), "1before 2a 3b 4c ");
  const auto message = b.queue.fetch("c", 1)->at(0);
  EXPECT_EQ(message.subject, "job.done");
  const auto event = *parse_relayed(message.payload);
  EXPECT_EQ(event.payload, R"({"a":[1,"x\"y"]})");
  EXPECT_EQ(event.time, b.store.clock.now());
  EXPECT_TRUE(b.store->outbox_after(0, 10)->empty());
}

TEST(Relay, WhatAQueueRefusesWaits) {
  Bench b;
  Relay relay(b.store.env(), *b.store, b.queue, b.executor);
  b.executor.run();
  b.emit("a");
  b.queue.fail_next_publish({Code::resource_exhausted, "queue.full", "full"});
  b.executor.run();
  EXPECT_EQ(b.seen(), "");
  b.emit("b");
  b.executor.run();
  EXPECT_EQ(b.seen(), "1a 2b ");
}

TEST(Relay, AnAnswerThatWasLostDoublesNothing) {
  Bench b;
  Relay relay(b.store.env(), *b.store, b.queue, b.executor);
  b.emit("a");
  b.queue.fail_next_publish({Code::unavailable, "queue.io", "lost"}, true);
  EXPECT_FALSE(relay.run_once());
  b.emit("b");
  EXPECT_EQ(relay.run_once().value(), 2u);
  EXPECT_EQ(b.seen(), "1a 2b ");
}

TEST(Relay, AKillBeforeForgettingDoublesNothing) {
  Bench b;
  ASSERT_TRUE(b.store.test.faults.arm("flow.relay.after_publish=error"));
  {
    Relay relay(b.store.env(), *b.store, b.queue, b.executor);
    b.emit("a");
    EXPECT_FALSE(relay.run_once());
  }
  ASSERT_TRUE(b.store.test.faults.arm(""));
  b.store.reopen();
  Relay relay(b.store.env(), *b.store, b.queue, b.executor);
  b.emit("b");
  ASSERT_TRUE(relay.run_once());
  EXPECT_EQ(b.seen(), "1a 2b ");
}

TEST(Relay, ARestoredStoreIsHeardAgain) {
  Bench b;
  ASSERT_TRUE(b.queue.publish("job.done", R"({"seq":40,"time":"2026-01-05","key":"old","payload":{}})", 40));
  Relay relay(b.store.env(), *b.store, b.queue, b.executor);
  b.executor.run();
  b.emit("new");
  b.executor.run();
  EXPECT_EQ(b.seen(), "40old 41new ");
}

TEST(Relay, AfterItsEndNothingRuns) {
  Bench b;
  {
    const Relay relay(b.store.env(), *b.store, b.queue, b.executor);
  }
  b.emit("a");
  b.executor.run();
  EXPECT_EQ(b.seen(), "");
}

TEST(Relay, ForeignMessagesAreNoEvents) {
  EXPECT_EQ(parse_relayed("hello").error().reason, "flow.bad_event");
  EXPECT_EQ(parse_relayed("{}").error().reason, "flow.bad_event");
}

}  // namespace
}  // namespace millrace::flow
