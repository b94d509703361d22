#include "serve/last_words.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/testing/env.hpp"

namespace millrace::serve {
namespace {

const Watched second{"fare", "06F3X", 2, 1, TimePoint(std::chrono::seconds(5)), TimePoint(std::chrono::seconds(605)),
                     100};

TEST(LastWords, NothingIsSaidOfAnOrdinaryEnd) {
  TestEnv t;
  {
    auto words = *LastWords::open(t.env, t.path("last_words"));
    EXPECT_FALSE(words->watched());
    ASSERT_TRUE(words->watch(second));
  }
  auto words = *LastWords::open(t.env, t.path("last_words"));
  EXPECT_EQ(words->watched(), second);
  EXPECT_FALSE(words->death());
  EXPECT_EQ(words->death(SIGSEGV)->signal, SIGSEGV) << "somebody else saw it";
  ASSERT_TRUE(words->clear());
  EXPECT_FALSE((*LastWords::open(t.env, t.path("last_words")))->watched());
}

TEST(LastWords, AnotherProcessReadsWhatADyingOneStored) {
  TestEnv t;
  IdMaker ids(t.clock, t.rng);
  std::vector<Id> made;
  for (int i = 0; i < 100; ++i) made.push_back(ids.make());
  const auto child = fork();
  if (child == 0) {
    auto words = *LastWords::open(t.env, t.path("last_words"));
    if (!words->watch(second)) _exit(1);
    for (std::size_t i = 0; i < made.size(); ++i) {
      const auto place = words->begins(made[i], t.clock.now(), 2, i + 1);
      if (i + 1 < made.size()) words->answered(place);
    }
    words->died(SIGABRT, 77);
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  auto words = *LastWords::open(t.env, t.path("last_words"));
  const auto death = words->death();
  ASSERT_TRUE(death);
  EXPECT_EQ(death->signal, SIGABRT);
  EXPECT_EQ(death->at, TimePoint(Duration(77)));
  EXPECT_EQ(death->watched, second);
  ASSERT_EQ(death->requests.size(), LastWords::kRequests);
  EXPECT_FALSE(death->requests[0].answered);
  for (std::size_t i = 0; i < LastWords::kRequests; ++i) {
    EXPECT_EQ(death->requests[i].id, made[99 - i]);
    EXPECT_EQ(death->requests[i].rows, 100 - i);
    EXPECT_EQ(death->requests[i].answered, i > 0);
  }
  ASSERT_TRUE(words->clear());
  EXPECT_FALSE(words->death());
}

// The next one is watched from an empty list.
TEST(LastWords, EachReleaseHasItsOwn) {
  TestEnv t;
  auto words = *LastWords::open(t.env, t.path("last_words"));
  IdMaker ids(t.clock, t.rng);
  ASSERT_TRUE(words->watch(second));
  words->begins(ids.make(), t.clock.now(), 2, 1);
  auto next = second;
  next.release = "06F3Y";
  ASSERT_TRUE(words->watch(next));
  words->died(SIGSEGV, 1);
  EXPECT_TRUE(words->death()->requests.empty());
}

TEST(LastWords, DamageIsNoDeath) {
  TestEnv t;
  {
    auto words = *LastWords::open(t.env, t.path("last_words"));
    ASSERT_TRUE(words->watch(second));
    words->died(SIGSEGV, 1);
  }
  auto bytes = *read_file(t.env.fs, t.path("last_words"), 1 << 20);
  for (const std::size_t at : {0u, 9u, 13u, 30u, 90u}) {
    auto damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x40);
    ASSERT_TRUE(write_file(t.env.fs, t.path("last_words"), damaged));
    EXPECT_FALSE((*LastWords::open(t.env, t.path("last_words")))->death(SIGSEGV)) << at;
  }
  ASSERT_TRUE(write_file(t.env.fs, t.path("last_words"), bytes.substr(0, 100)));
  EXPECT_FALSE((*LastWords::open(t.env, t.path("last_words")))->death(SIGSEGV));
}

TEST(LastWords, WhatCanNotBeSyncedIsNotWatched) {
  TestEnv t(TestEnv::Disk::sim);
  auto words = *LastWords::open(t.env, t.path("last_words"));
  t.faults.arm("serve.watch.before_write=error").value();
  EXPECT_FALSE(words->watch(second));
  EXPECT_FALSE(words->watched());
}

}  // namespace
}  // namespace millrace::serve
