#include "base/lanes.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <latch>
#include <mutex>
#include <string>
#include <thread>

namespace millrace {
namespace {

using namespace std::chrono_literals;

SteadyPoint at(Duration since) { return SteadyPoint(since); }

TEST(Lanes, WhoIsNext) {
  using enum Urgency;
  constexpr auto all = Lane::kUnbounded;
  struct Case {
    const char* what;
    std::vector<LaneState> lanes;
    std::optional<std::size_t> next;
  };
  const Case cases[] = {
      {"nothing waits", {}, std::nullopt},
      {"the only one", {{normal, at(5ms), 0, 1}}, 0},
      {"as much runs as may", {{normal, at(5ms), 1, 1}}, std::nullopt},
      {"who came first", {{normal, at(6ms), 0, all}, {normal, at(5ms), 0, all}}, 1},
      {"who is urgent, though it came later", {{normal, at(0ms), 0, all}, {high, at(99ms), 0, all}}, 1},
      {"but not much later", {{normal, at(0ms), 0, all}, {high, at(101ms), 0, all}}, 0},
      {"low gives way to normal", {{low, at(0ms), 0, all}, {normal, at(399ms), 0, all}}, 1},
      {"for a while", {{low, at(0ms), 0, all}, {normal, at(401ms), 0, all}}, 0},
      {"low gives way to high", {{low, at(0ms), 0, all}, {high, at(499ms), 0, all}}, 1},
      {"for a while", {{low, at(0ms), 0, all}, {high, at(501ms), 0, all}}, 0},
      {"one that may not begin lets others pass", {{high, at(0ms), 2, 2}, {low, at(9ms), 0, 1}}, 1},
      {"of equals the one that stands before", {{low, at(5ms), 0, 1}, {low, at(5ms), 0, 1}}, 0},
  };
  for (const auto& one : cases) EXPECT_EQ(next_lane(one.lanes), one.next) << one.what;
}

// One thread, held while work is put before it: then the order is that of urgency and age.
TEST(Lanes, TheMostUrgentIsTakenFirst) {
  LanePool pool({.name = "test", .threads = 1, .queued_max = 100});
  std::promise<void> gate;
  std::latch began(1);
  ASSERT_TRUE(pool.submit(nullptr, at(0ms), [&] {
    began.count_down();
    gate.get_future().wait();
  }));
  began.wait();
  const auto high = std::make_shared<Lane>(), low = std::make_shared<Lane>();
  high->set(Urgency::high, Lane::kUnbounded);
  low->set(Urgency::low, Lane::kUnbounded);
  std::string order;
  const auto note = [&](char what) { return [&order, what] { order += what; }; };
  ASSERT_TRUE(pool.submit(low, at(0ms), note('l')));
  ASSERT_TRUE(pool.submit(low, at(10ms), note('m')));
  ASSERT_TRUE(pool.submit(nullptr, at(20ms), note('n')));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(pool.submit(high, at(100ms), note('h')));
  ASSERT_TRUE(pool.submit(high, at(505ms), note('z')));  // low work that came half a second before it is not overtaken
  EXPECT_EQ(pool.stats().queued, 7u);
  gate.set_value();
  EXPECT_TRUE(pool.drain(1min));
  EXPECT_EQ(order, "hhhnlzm");
}

TEST(Lanes, ALaneRunsNoMoreThanItMay) {
  LanePool pool({.name = "test", .threads = 8, .queued_max = 10'000});
  const std::vector<std::shared_ptr<Lane>> lanes{std::make_shared<Lane>(), std::make_shared<Lane>()};
  lanes[0]->set(Urgency::low, 1);
  lanes[1]->set(Urgency::high, 3);
  std::atomic<int> running[2], most[2], done = 0;
  std::vector<int> order;  // of lane 0, which runs one at a time
  std::vector<std::jthread> clients;
  for (int client = 0; client < 4; ++client) {
    clients.emplace_back([&, client] {
      for (int i = 0; i < 500; ++i) {
        const auto which = static_cast<std::size_t>((client + i) % 2);
        ASSERT_TRUE(pool.submit(lanes[which], at(Duration(i)), [&, which, i] {
          const int now = ++running[which];
          int before = most[which];
          while (before < now && !most[which].compare_exchange_weak(before, now)) {
          }
          if (which == 0) order.push_back(i);
          std::this_thread::yield();
          --running[which];
          ++done;
        }));
      }
    });
  }
  clients.clear();
  EXPECT_TRUE(pool.drain(2min));
  EXPECT_EQ(done, 2000);
  EXPECT_EQ(most[0], 1);
  EXPECT_LE(most[1], 3);
  EXPECT_EQ(order.size(), 1000u);
}

TEST(Lanes, OneThatIsFullLeavesThreadsToOthers) {
  LanePool pool({.name = "test", .threads = 2, .queued_max = 10});
  const auto slow = std::make_shared<Lane>();
  slow->set(Urgency::high, 1);
  std::promise<void> gate, other;
  auto wait = gate.get_future().share();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(pool.submit(slow, at(0ms), [wait] { wait.wait(); }));
  ASSERT_TRUE(pool.submit(nullptr, at(1ms), [&] { other.set_value(); }));
  EXPECT_EQ(other.get_future().wait_for(2min), std::future_status::ready);
  EXPECT_EQ(pool.stats().queued, 4u);
  gate.set_value();
  EXPECT_TRUE(pool.drain(1min));
  EXPECT_EQ(pool.stats().done, 6u);
}

TEST(Lanes, SaysNoWhenFullAndDropsWhatCannotBegin) {
  std::promise<void> gate;
  std::latch began(1);
  LanePool pool({.name = "test", .threads = 1, .queued_max = 2});
  const auto lane = std::make_shared<Lane>();
  const auto held = std::make_shared<int>();
  ASSERT_TRUE(pool.submit(lane, at(0ms), [&] {
    began.count_down();
    gate.get_future().wait();
  }));
  began.wait();
  ASSERT_TRUE(pool.submit(lane, at(0ms), [held] {}));
  ASSERT_TRUE(pool.submit(nullptr, at(0ms), [held] {}));
  EXPECT_EQ(pool.submit(lane, at(0ms), [] {}).error().reason, "base.pool_full");
  EXPECT_FALSE(pool.drain(Duration::zero()));
  EXPECT_EQ(held.use_count(), 1) << "what did not begin is gone";
  EXPECT_EQ(pool.submit(lane, at(0ms), [] {}).error().reason, "base.pool_stopped");
  gate.set_value();
}

}  // namespace
}  // namespace millrace
