// A relay publishes an outbox, consumers follow, and the disk fails, dies, or loses power at any moment. In the end
// every event is there once and in order; nobody saw an event that vanished later; no acknowledgement was lost.
#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <thread>

#include "base/testing/env.hpp"
#include "queue/local.hpp"

namespace millrace::queue {
namespace {

class World {
 public:
  explicit World(std::uint64_t seed) : t_(TestEnv::Disk::sim, seed), rng_(seed * 7919 + 1) {
    consumers_ = {{"all", ">"}, {"even", "even.>"}, {"odd", "odd"}};
    open();
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      if (::testing::Test::HasFatalFailure()) return;
    }
    t_.sim_fs().clear_faults();
    while (sent_ < made_) relay();
    audit();
  }

 private:
  struct Follower {
    std::string name, filter;
    std::uint64_t acked = 0;      // we were told that it is durable
    std::uint64_t attempted = 0;  // it may be durable
  };

  LocalConfig config() {
    return {.dir = t_.path("queue"), .segment_bytes = 6'000, .payload_bytes_max = 4'000, .pending_bytes_max = 40'000};
  }
  static std::string subject(std::uint64_t id) { return id % 2 == 0 ? "even." + std::to_string(id % 3) : "odd"; }
  static std::string payload(std::uint64_t id) {
    return std::to_string(id) + ":" + std::string((id * 131) % (id % 10 == 0 ? 4'000 - 20 : 200), 'x');
  }
  static std::uint64_t id_of(const Message& m) { return std::stoull(m.payload); }

  void open() {
    queue_.reset();
    for (;;) {
      auto opened = open_local(t_.env, config());
      if (opened) {
        queue_ = std::move(*opened);
        break;
      }
      ASSERT_EQ(opened.error().code, Code::unavailable) << opened.error().message;
      revive();
    }
    ASSERT_GE(queue_->stats().last_seq, seen_);  // what somebody saw stays
    for (const Follower& f : consumers_) {
      while (!queue_->add_consumer(f.name, {.filter = f.filter})) revive_and_open();
    }
  }

  void revive() {  // after the death of the machine or the process
    queue_.reset();
    if (rng_.below(3) == 0) {
      t_.sim_fs().kill();
    } else {
      t_.sim_fs().crash(t_.rng);
    }
  }
  void revive_and_open() {
    revive();
    open();
  }

  void step() {
    switch (rng_.below(12)) {
      case 0:
        t_.sim_fs().die_at(rng_.below(30));
        break;
      case 1:
        t_.sim_fs().fail_at(rng_.below(30));
        break;
      case 2:
        if (rng_.below(3) == 0) revive_and_open();
        break;
      case 3:
        if (rng_.below(4) == 0) open();
        break;
      case 4:
      case 5:
      case 6:
      case 7:
        relay();
        break;
      default:
        follow(consumers_[rng_.below(consumers_.size())]);
    }
  }

  // What a died machine answers is `fs.crashed`; everything else may be a passing error.
  void after(const Error& error) {
    ASSERT_EQ(error.code, Code::unavailable) << error.message;
    if (error.reason == "fs.crashed" || rng_.below(4) == 0) revive_and_open();
  }

  void relay() {
    if (sent_ == made_) made_ += 1 + rng_.below(rng_.below(4) == 0 ? 40 : 4);
    std::vector<Event> events;
    std::uint64_t bytes = 0;
    for (std::uint64_t id = sent_ + 1; id <= made_ && bytes < 30'000; ++id) {
      events.push_back({subject(id), payload(id), id});
      bytes += events.back().payload.size() + 50;
    }
    auto published = queue_->publish_batch(events);
    if (published) {
      sent_ += events.size();
    } else {
      after(published.error());
    }
  }

  void follow(Follower& f) {
    auto messages = queue_->fetch(f.name, 1 + rng_.below(20));
    if (!messages) return after(messages.error());
    std::uint64_t last = 0;
    for (const Message& m : *messages) {
      const std::uint64_t id = id_of(m);
      ASSERT_EQ(m.payload, payload(id));
      ASSERT_EQ(m.subject, subject(id));
      ASSERT_TRUE(matches(f.filter, m.subject));
      ASSERT_EQ(m.seq, id);  // the relay's ids and the queue's agree: nothing doubled, nothing lost
      if (last == 0) {
        ASSERT_GT(id, f.acked);
        for (std::uint64_t skipped = f.attempted + 1; skipped < id; ++skipped) {
          ASSERT_FALSE(matches(f.filter, subject(skipped))) << skipped << " was never delivered to " << f.name;
        }
      } else {
        for (std::uint64_t skipped = last + 1; skipped < id; ++skipped)
          ASSERT_FALSE(matches(f.filter, subject(skipped)));
      }
      last = id;
      seen_ = std::max(seen_, id);
    }
    if (last == 0 || rng_.below(3) == 0) return;
    f.attempted = std::max(f.attempted, last);
    auto acked = queue_->ack(f.name, last);
    if (!acked) return after(acked.error());
    f.acked = std::max(f.acked, last);
  }

  void audit() {
    revive_and_open();
    ASSERT_TRUE(queue_->add_consumer("auditor"));
    std::uint64_t next = 1;
    for (;;) {
      const auto messages = queue_->fetch("auditor", 100);
      ASSERT_TRUE(messages) << messages.error().message;
      if (messages->empty()) break;
      for (const Message& m : *messages) {
        ASSERT_EQ(m.seq, next);
        ASSERT_EQ(m.payload, payload(next));
        ++next;
      }
      ASSERT_TRUE(queue_->ack("auditor", next - 1));
    }
    ASSERT_EQ(next, made_ + 1);
    ASSERT_EQ(queue_->stats().dedup_id, made_);
  }

  TestEnv t_;
  SeededRng rng_;
  std::unique_ptr<Queue> queue_;
  std::vector<Follower> consumers_;
  std::uint64_t made_ = 0;  // outbox entries
  std::uint64_t sent_ = 0;  // of them acknowledged by the queue
  std::uint64_t seen_ = 0;  // the highest that a consumer got
};

TEST(LocalQueueCrash, ARelayAndItsConsumersSurviveEverything) {
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World(seed).run(80);
    if (HasFailure()) return;
  }
}

TEST(LocalQueueCrash, AFullDiskIsSaidAndPasses) {
  TestEnv t(TestEnv::Disk::sim);
  auto queue = open_local(t.env, {.dir = t.path("queue"), .segment_bytes = 4'000}).value();
  ASSERT_TRUE(queue->add_consumer("c"));
  ASSERT_TRUE(queue->publish("s", "before", 1));
  t.sim_fs().set_capacity(20'000);
  std::uint64_t accepted = 1;
  for (;;) {
    auto published = queue->publish("s", std::string(1'000, 'x'), accepted + 1);
    if (!published) {
      EXPECT_EQ(published.error().code, Code::resource_exhausted);
      EXPECT_EQ(published.error().reason, "fs.disk_full");
      break;
    }
    ++accepted;
  }
  EXPECT_GT(accepted, 5u);
  EXPECT_FALSE(queue->publish("s", std::string(1'000, 'x'), accepted + 1));
  EXPECT_EQ(queue->fetch("c", 1000)->size(), accepted);  // reading goes on
  t.sim_fs().clear_faults();
  EXPECT_TRUE(queue->publish("s", "after", accepted + 1));
  EXPECT_EQ(queue->fetch("c", 1000)->back().payload, "after");
  queue.reset();
  queue = open_local(t.env, {.dir = t.path("queue")}).value();
  EXPECT_EQ(queue->fetch("c", 1000)->size(), accepted + 1);
}

// One failed sync is an error for all who shared it, and for nobody else.
TEST(LocalQueueCrash, PublishersThatShareAFailureAreAllTold) {
  for (const std::string point : {"publish.before_write", "publish.before_sync", "publish.after_sync",
                                  "segment.before_rename", "segment.after_folder_sync"}) {
    SCOPED_TRACE(point);
    // A real disk takes its time to sync, so that others queue up behind the failing one.
    TestEnv t(point == "publish.after_sync" ? TestEnv::Disk::real : TestEnv::Disk::sim);
    auto queue = open_local(t.env, {.dir = t.path("queue"), .segment_bytes = 500}).value();
    ASSERT_TRUE(queue->add_consumer("c"));
    for (int round = 1; round <= 5; ++round) {
      ASSERT_TRUE(t.faults.arm("queue." + point + "=error@" + std::to_string(round)));
      std::mutex mutex;
      std::set<std::string> accepted;
      int failed = 0;
      {
        std::vector<std::jthread> threads;
        for (int p = 0; p < 4; ++p) {
          threads.emplace_back([&, p] {
            for (int i = 0; i < 20; ++i) {
              const std::string text = std::to_string(round) + "." + std::to_string(p) + "." + std::to_string(i);
              auto published = queue->publish("s", text);
              std::lock_guard lock(mutex);
              if (published) {
                accepted.insert(text);
              } else {
                ++failed;
                EXPECT_EQ(published.error().reason, "fault.injected");
              }
            }
          });
        }
      }
      EXPECT_GE(failed, 1);
      std::multiset<std::string> there;
      for (;;) {
        auto messages = queue->fetch("c", 1000).value();
        if (messages.empty()) break;
        for (const Message& m : messages) there.insert(m.payload);
        ASSERT_TRUE(queue->ack("c", messages.back().seq));
      }
      for (const std::string& text : accepted) EXPECT_EQ(there.count(text), 1u) << text;
      EXPECT_LE(there.size(), accepted.size() + static_cast<std::size_t>(failed));
      queue.reset();
      queue = open_local(t.env, {.dir = t.path("queue"), .segment_bytes = 500}).value();
      const auto rest = queue->fetch("c", 1000).value();  // unanswered ones may turn up after a restart
      EXPECT_LE(rest.size(), static_cast<std::size_t>(failed));
      if (!rest.empty()) {
        ASSERT_TRUE(queue->ack("c", rest.back().seq));
      }
    }
  }
}

}  // namespace
}  // namespace millrace::queue
