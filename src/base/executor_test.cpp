#include "base/executor.hpp"

#include <gtest/gtest.h>

#include <future>
#include <vector>

namespace millrace {
namespace {

TEST(InlineExecutor, RunsBeforeItReturns) {
  InlineExecutor executor;
  bool ran = false;
  ASSERT_TRUE(executor.post([&] { ran = true; }));
  EXPECT_TRUE(ran);
}

TEST(ThreadExecutor, RunsInOrderAndFinishesBeforeItGoes) {
  std::vector<int> seen;
  {
    ThreadExecutor executor("test");
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(executor.post([&seen, i] { seen.push_back(i); }));
  }
  ASSERT_EQ(seen.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(seen[static_cast<std::size_t>(i)], i);
}

TEST(ThreadExecutor, RefusesWhatIsTooMuch) {
  std::promise<void> go;
  std::promise<void> busy;
  ThreadExecutor executor("test", 1);
  ASSERT_TRUE(executor.post([&] {
    busy.set_value();
    go.get_future().wait();
  }));
  busy.get_future().wait();
  EXPECT_TRUE(executor.post([] {}));
  const auto refused = executor.post([] {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "base.executor_full");
  go.set_value();
}

}  // namespace
}  // namespace millrace
