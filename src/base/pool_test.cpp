#include "base/pool.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <latch>

namespace millrace {
namespace {

using namespace std::chrono_literals;

TEST(Pool, RunsAllThatItTook) {
  Pool pool({.name = "test", .threads = 3, .queued_max = 1'000});
  std::atomic<int> sum = 0;
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(pool.submit([&sum, i] { sum += i; }));
  EXPECT_TRUE(pool.drain(1min));
  EXPECT_EQ(sum, 499'500);
  EXPECT_EQ(pool.stats().done, 1'000u);
  const auto late = pool.submit([] {});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().reason, "base.pool_stopped");
}

TEST(Pool, RefusesWhenFullWithoutWaiting) {
  std::promise<void> gate;
  std::latch began(1);
  Pool pool({.name = "test", .threads = 1, .queued_max = 2});
  ASSERT_TRUE(pool.submit([&] {
    began.count_down();
    gate.get_future().wait();
  }));
  began.wait();
  ASSERT_TRUE(pool.submit([] {}));
  ASSERT_TRUE(pool.submit([] {}));
  const auto full = pool.submit([] {});
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Code::resource_exhausted);
  EXPECT_EQ(full.error().reason, "base.pool_full");
  EXPECT_EQ(pool.stats().queued, 2u);
  EXPECT_EQ(pool.stats().running, 1u);
  EXPECT_EQ(pool.stats().refused, 1u);
  gate.set_value();
  EXPECT_TRUE(pool.drain(1min));
}

TEST(Pool, DrainDropsWhatCannotBegin) {
  std::promise<void> gate;
  std::latch began(1);
  bool ran = false;
  Pool pool({.name = "test", .threads = 1, .queued_max = 2});
  ASSERT_TRUE(pool.submit([&] {
    began.count_down();
    gate.get_future().wait();
  }));
  began.wait();
  ASSERT_TRUE(pool.submit([&] { ran = true; }));
  EXPECT_FALSE(pool.drain(1ms));
  EXPECT_EQ(pool.stats().queued, 0u);
  gate.set_value();
  EXPECT_TRUE(pool.drain(1min)) << "the running one may end later";
  EXPECT_FALSE(ran);
}

TEST(Pool, TakesWorkThatCannotBeCopied) {
  Pool pool({});
  auto promise = std::make_unique<std::promise<int>>();
  auto future = promise->get_future();
  ASSERT_TRUE(pool.submit([p = std::move(promise)] { p->set_value(42); }));
  EXPECT_EQ(future.get(), 42);
}

}  // namespace
}  // namespace millrace
