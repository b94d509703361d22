// A million events, the process killed twice on the way, and a consumer that joins when all is over.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/testing/env.hpp"
#include "queue/local.hpp"

namespace millrace::queue {
namespace {

constexpr std::uint64_t events_in_all = 1'000'000;
constexpr std::uint64_t batch = 2'000;

std::string payload(std::uint64_t id) { return "event number " + std::to_string(id); }

// The relay of an outbox: begins where the queue says that it ended, reports each acknowledged id, until it is killed.
[[noreturn]] void relay(const std::string& dir, int report) {
  TestEnv t(TestEnv::Disk::sim);  // its clock and log; no folder of its own, which nobody would remove
  RealFs fs;
  auto queue = open_local({fs, t.env.clock, t.env.rng, t.env.faults, t.env.log}, {.dir = dir}).value();
  std::uint64_t next = queue->stats().dedup_id + 1;
  while (next <= events_in_all) {
    std::vector<Event> events;
    for (; events.size() < batch && next <= events_in_all; ++next) events.push_back({"outbox", payload(next), next});
    if (!queue->publish_batch(events)) ::_exit(3);
    const std::uint64_t acknowledged = next - 1;
    if (::write(report, &acknowledged, sizeof acknowledged) != sizeof acknowledged) ::_exit(4);
  }
  ::_exit(0);
}

TEST(LocalQueueKill, AMillionEventsTwoKillsAndALateJoiner) {
  TestEnv t;
  const std::string dir = t.path("queue");
  std::uint64_t acknowledged = 0;
  for (const std::uint64_t kill_after : {events_in_all / 3, 2 * events_in_all / 3, events_in_all + 1}) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(ends[0]);
      relay(dir, ends[1]);
    }
    ::close(ends[1]);
    std::uint64_t told = 0;
    while (::read(ends[0], &told, sizeof told) == sizeof told) {
      acknowledged = told;
      if (told >= kill_after) ::kill(child, SIGKILL);  // in the middle of a later batch; what it still says is true too
    }
    ::close(ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    if (kill_after <= events_in_all) {
      ASSERT_TRUE(WIFSIGNALED(status));
      auto queue = open_local(t.env, {.dir = dir}).value();
      EXPECT_GE(queue->stats().last_seq, acknowledged);
    } else {
      ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    }
  }
  EXPECT_EQ(acknowledged, events_in_all);

  auto queue = open_local(t.env, {.dir = dir}).value();
  ASSERT_TRUE(queue->add_consumer("late"));
  std::uint64_t seen = 0;
  for (;;) {
    auto messages = queue->fetch("late", 20'000);
    ASSERT_TRUE(messages) << messages.error().message;
    if (messages->empty()) break;
    for (const Message& m : *messages) {
      ++seen;
      ASSERT_EQ(m.seq, seen);
      ASSERT_EQ(m.payload, payload(seen));
    }
    ASSERT_TRUE(queue->ack("late", seen));
  }
  EXPECT_EQ(seen, events_in_all);
}

}  // namespace
}  // namespace millrace::queue
