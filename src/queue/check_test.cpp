#include "queue/check.hpp"

#include <gtest/gtest.h>

#include "base/testing/env.hpp"
#include "queue/local.hpp"

namespace millrace::queue {
namespace {

constexpr const char* first = "00000000000000000001.log";

void fill(TestEnv& t, int events) {
  auto queue = open_local(t.env, {.dir = t.path("queue")}).value();
  for (int i = 0; i < events; ++i) ASSERT_TRUE(queue->publish("s", "event", queue->stats().dedup_id + 1));
}

std::vector<std::string> damaged(TestEnv& t) {
  std::vector<std::string> out;
  const auto check = check_local(t.env.fs, t.path("queue"));
  EXPECT_TRUE(check);
  for (const auto& one : check->damage) out.push_back(one.file);
  return out;
}

TEST(QueueCheck, WholeAlsoAfterRestartsAndBesideAPublisher) {
  TestEnv t;
  EXPECT_TRUE(damaged(t).empty()) << "no folder";
  fill(t, 5);
  fill(t, 5);
  auto queue = open_local(t.env, {.dir = t.path("queue")}).value();
  ASSERT_TRUE(queue->add_consumer("c"));
  ASSERT_TRUE(queue->publish("s", "event", 11));
  EXPECT_TRUE(damaged(t).empty());
  EXPECT_EQ(check_local(t.env.fs, t.path("queue"))->dedup_id, 11u);
}

TEST(QueueCheck, DamageIsNamed) {
  TestEnv t;
  fill(t, 5);
  const auto path = t.path(std::string("queue/") + first);
  const auto whole = *read_file(t.env.fs, path);
  const auto with = [&](std::string bytes) {
    EXPECT_TRUE(write_file(t.env.fs, path, bytes));
    return damaged(t);
  };
  auto bytes = whole;
  bytes[40] ^= 1;
  EXPECT_EQ(with(bytes), std::vector<std::string>{first}) << "header";
  bytes = whole;
  bytes[70] ^= 1;
  EXPECT_EQ(with(bytes), std::vector<std::string>{first}) << "a frame that a later one says was synced";
  EXPECT_EQ(with(""), std::vector<std::string>{first});
  EXPECT_TRUE(with(whole.substr(0, whole.size() - 3)).empty()) << "the torn end of a write";
  EXPECT_TRUE(with(whole).empty());
  ASSERT_TRUE(write_file(t.env.fs, t.path("queue/00000000000000000009.log"), whole));
  EXPECT_EQ(damaged(t), std::vector<std::string>{"00000000000000000009.log"}) << "a copy under another name";
  ASSERT_TRUE(t.env.fs.remove(t.path("queue/00000000000000000009.log")));
  ASSERT_TRUE(write_file(t.env.fs, t.path("queue/consumers.json"), "{"));
  EXPECT_EQ(damaged(t), std::vector<std::string>{"consumers.json"});
}

}  // namespace
}  // namespace millrace::queue
