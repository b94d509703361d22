#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "base/bounded_queue.hpp"

namespace millrace {
namespace {

TEST(BoundedQueue, FirstInFirstOutUntilItIsFull) {
  BoundedQueue<std::unique_ptr<int>> queue(4);
  EXPECT_FALSE(queue.try_pop());
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 4; ++i) {
      auto value = std::make_unique<int>(i);
      EXPECT_TRUE(queue.try_push(value));
    }
    auto more = std::make_unique<int>(4);
    EXPECT_FALSE(queue.try_push(more));
    ASSERT_TRUE(more) << "it is as it was";
    for (int i = 0; i < 4; ++i) EXPECT_EQ(**queue.try_pop(), i);
    EXPECT_FALSE(queue.try_pop());
  }
}

TEST(BoundedQueue, NothingIsKeptOfWhatWasTaken) {
  BoundedQueue<std::shared_ptr<int>> queue(2);
  auto value = std::make_shared<int>(1);
  const std::weak_ptr<int> watched = value;
  ASSERT_TRUE(queue.try_push(value));
  EXPECT_FALSE(watched.expired());
  (void)queue.try_pop();
  EXPECT_TRUE(watched.expired());
}

// Each value once, those of one thread in its order.
TEST(BoundedQueue, ManyThreads) {
  constexpr int producers = 3, consumers = 2, each = 20'000;
  BoundedQueue<int> queue(64);
  std::atomic<int> left{producers * each};
  std::vector<std::vector<int>> taken(consumers);
  {
    std::vector<std::jthread> threads;
    for (int p = 0; p < producers; ++p) {
      threads.emplace_back([&, p] {
        for (int i = 0; i < each; ++i) {
          int value = p * each + i;
          while (!queue.try_push(value)) std::this_thread::yield();
        }
      });
    }
    for (auto& mine : taken) {
      threads.emplace_back([&] {
        while (left.load() > 0) {
          if (const auto value = queue.try_pop()) {
            mine.push_back(*value);
            --left;
          } else {
            std::this_thread::yield();
          }
        }
      });
    }
  }
  std::vector<int> times(producers * each);
  for (const auto& mine : taken) {
    std::vector<int> last(producers, -1);
    for (const int value : mine) {
      ++times[static_cast<std::size_t>(value)];
      EXPECT_LT(last[static_cast<std::size_t>(value / each)], value);
      last[static_cast<std::size_t>(value / each)] = value;
    }
  }
  for (const int n : times) ASSERT_EQ(n, 1);
}

}  // namespace
}  // namespace millrace
