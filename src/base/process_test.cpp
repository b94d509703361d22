#include "base/process.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/process_spawn_internal.hpp"
#include "base/testing/env.hpp"

namespace millrace {
namespace {

using namespace std::chrono_literals;
using Cause = ProcessExit::Cause;

bool is_alive(pid_t pid) {
  RealFs fs;
  const auto status = read_file(fs, "/proc/" + std::to_string(pid) + "/status");
  return status && !status->contains("State:\tZ") && !status->contains("State:\tX");
}

// Reads until `path` has a whole line; the children write soon.
std::string first_line(Process& process, const std::string& path) {
  RealFs fs;
  for (int i = 0; i < 3'000; ++i) {
    const auto text = read_file(fs, path).value_or("");
    if (const auto end = text.find('\n'); end != std::string::npos) return text.substr(0, end);
    if (process.wait(10ms)) break;
  }
  return read_file(fs, path).value_or("");
}

void expect_dead_soon(pid_t pid) {
  for (int i = 0; i < 10'000 && is_alive(pid); ++i) std::this_thread::yield();
  EXPECT_FALSE(is_alive(pid));
}

struct ProcessTest : testing::TestWithParam<bool> {
  TestEnv t;
  SystemProcesses processes{t.clock, {.use_cgroups = GetParam()}};
  std::string out = t.path("out"), err = t.path("err");

  ProcessSpec shell(const std::string& script) {
    return {.argv = {"sh", "-c", script}, .stdout_path = out, .stderr_path = err};
  }
  ProcessExit finish(const ProcessSpec& spec) {
    auto process = processes.spawn(spec);
    EXPECT_TRUE(process) << process.error().message;
    const auto exit = (*process)->wait(1min);
    EXPECT_TRUE(exit);
    return exit.value_or(ProcessExit{});
  }
  std::string content(const std::string& path) { return read_file(t.env.fs, path).value_or("(none)"); }
};
INSTANTIATE_TEST_SUITE_P(Cgroups, ProcessTest, testing::Values(true), [](const auto&) { return "IfThere"; });
INSTANTIATE_TEST_SUITE_P(Plain, ProcessTest, testing::Values(false), [](const auto&) { return "Rlimit"; });

TEST_P(ProcessTest, StatusOutputFolderEnvironment) {
  auto spec = shell("echo out; echo err >&2; pwd; echo $COLOR; read line || echo no input; exit 3");
  spec.cwd = t.dir;
  spec.env = {{"COLOR", "green"}};
  const auto exit = finish(spec);
  EXPECT_EQ(exit.cause, Cause::exited);
  EXPECT_EQ(exit.status, 3);
  EXPECT_FALSE(exit.ok());
  EXPECT_EQ(content(out), "out\n" + t.dir + "\ngreen\nno input\n");
  EXPECT_EQ(content(err), "err\n");
  finish(spec);
  EXPECT_EQ(content(err), "err\nerr\n") << "appended";
}

TEST_P(ProcessTest, OneFileForBothOutputs) {
  auto spec = shell("echo 1; echo 2 >&2; echo 3");
  spec.stderr_path = out;
  EXPECT_TRUE(finish(spec).ok());
  EXPECT_EQ(content(out), "1\n2\n3\n");
}

TEST_P(ProcessTest, EnvironmentOfItsOwn) {
  auto spec = shell("echo ${HOME-unset} $X");
  spec.inherit_env = false;
  spec.env = {{"X", "y"}};
  EXPECT_TRUE(finish(spec).ok());
  EXPECT_EQ(content(out), "unset y\n");
}

TEST_P(ProcessTest, SignalOfSomebodyElse) {
  const auto exit = finish(shell("kill -SEGV $$"));
  EXPECT_EQ(exit.cause, Cause::signalled);
  EXPECT_EQ(exit.signal, SIGSEGV);
  EXPECT_EQ(exit.status, -1);
}

TEST_P(ProcessTest, WhatCannotStart) {
  const auto reason = [&](ProcessSpec spec) { return processes.spawn(spec).error().reason; };
  EXPECT_EQ(reason({.argv = {"no-such-program"}}), "process.no_program");
  EXPECT_EQ(reason({.argv = {"/no/such/program"}}), "process.no_program");
  EXPECT_EQ(reason({.argv = {"/etc/passwd"}}), "process.not_executable");
  EXPECT_EQ(reason({.argv = {}}), "process.no_program");
  EXPECT_EQ(reason({.argv = {"true"}, .cwd = "/no/such/folder"}), "process.no_folder");
  EXPECT_EQ(reason({.argv = {"true"}, .stdout_path = "/no/such/folder/out"}), "fs.not_found");
}

TEST_P(ProcessTest, CountsProcessorTimeAndMemory) {
  auto spec = shell("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done");
  const auto exit = finish(spec);
  EXPECT_GT(exit.user_cpu, 1ms);
  EXPECT_GT(exit.memory_peak_bytes, 0u);  // of a child smaller than we are it is the last sample, perhaps an early one
}

TEST_P(ProcessTest, AMemoryHogIsStopped) {
  ProcessSpec spec = shell("echo before; exec tail /dev/zero");
  spec.limits.memory_bytes = 60'000'000;
  const auto exit = finish(spec);
  EXPECT_EQ(exit.cause, Cause::memory) << describe(exit, spec.limits) << ", peak " << exit.memory_peak_bytes;
  EXPECT_FALSE(exit.limited_by.memory.empty());
  if (!GetParam()) {
    EXPECT_EQ(exit.limited_by.memory, "rlimit");
  }
  EXPECT_LT(exit.memory_peak_bytes, 200'000'000u);
  EXPECT_EQ(content(out), "before\n") << "what it printed stays";
  EXPECT_TRUE(describe(exit, spec.limits).contains("60.0 MB"));
  RecordProperty("limited_by", exit.limited_by.memory);
}

TEST_P(ProcessTest, AHogAmongItsChildrenIsStoppedToo) {
  ProcessSpec spec = shell("sh -c 'tail /dev/zero; exit 7' & wait $!; exit 8");
  spec.limits.memory_bytes = 60'000'000;
  const auto exit = finish(spec);
  EXPECT_EQ(exit.cause, Cause::memory) << describe(exit, spec.limits);
}

// The kernel counts the memory of the one that started a process as that process' own.
TEST_P(ProcessTest, OurMemoryIsNotTheirs) {
  const std::vector<char> ours(150'000'000, 'x');
  ProcessSpec spec = shell("exit 5");
  spec.limits.memory_bytes = 60'000'000;
  const auto exit = finish(spec);
  EXPECT_EQ(exit.cause, Cause::exited) << describe(exit, spec.limits);
  EXPECT_LT(exit.memory_peak_bytes, 60'000'000u);
  EXPECT_EQ(ours.back(), 'x');
}

TEST_P(ProcessTest, EnoughMemoryIsNoTrouble) {
  ProcessSpec spec = shell("exit 5");
  spec.limits = {.memory_bytes = 200'000'000, .cpu_cores = 0.5};
  const auto exit = finish(spec);
  EXPECT_EQ(exit.cause, Cause::exited) << "a failure of its own, not of memory";
  EXPECT_EQ(exit.status, 5);
  EXPECT_FALSE(exit.limited_by.cpu.empty());
}

TEST_P(ProcessTest, WallTime) {
  auto spec = shell("echo ready; exec sleep 1000");
  spec.limits.wall_max = 1h;
  auto process = *processes.spawn(spec);
  ASSERT_EQ(first_line(*process, out), "ready");
  t.clock.advance(59min);
  EXPECT_FALSE(process->poll());
  t.clock.advance(1min);
  const auto exit = process->wait(1min);
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->cause, Cause::wall_time);
  EXPECT_EQ(exit->signal, SIGTERM) << "asked, not forced";
  EXPECT_EQ(exit->wall, 1h);
  EXPECT_EQ(describe(*exit, spec.limits), "stopped: ran longer than its 1h");
}

TEST_P(ProcessTest, DeafOnesAreKilledAfterGrace) {
  auto spec = shell("trap '' TERM; echo ready; while :; do sleep 1000; done");
  spec.grace = 10s;
  auto process = *processes.spawn(spec);
  ASSERT_EQ(first_line(*process, out), "ready");
  process->terminate();
  t.clock.advance(9s);
  EXPECT_FALSE(process->wait(20ms));
  t.clock.advance(1s);
  const auto exit = process->wait(1min);
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->cause, Cause::terminated);
  EXPECT_EQ(exit->signal, SIGKILL);
}

TEST_P(ProcessTest, PoliteOnesMayCleanUp) {
  auto spec = shell("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done");
  auto process = *processes.spawn(spec);
  ASSERT_EQ(first_line(*process, out), "ready");
  process->terminate();
  const auto exit = process->wait(1min);
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->cause, Cause::terminated);
  EXPECT_EQ(exit->status, 0);
  EXPECT_EQ(content(out), "ready\nbye\n");
}

TEST_P(ProcessTest, GrandchildrenDieWithIt) {
  for (const std::string ending : {"exec sleep 1000", "exit 0"}) {
    auto spec = shell("sleep 1000 & echo $!; " + ending);
    spec.stdout_path = t.path("pid" + ending.substr(5, 1));
    auto process = *processes.spawn(spec);
    const auto grandchild = static_cast<pid_t>(std::stoi(first_line(*process, spec.stdout_path)));
    if (ending != "exit 0") {
      EXPECT_TRUE(is_alive(grandchild));
      EXPECT_GT(process->memory_bytes(), 0u);
      process->kill();
    }
    ASSERT_TRUE(process->wait(1min));
    expect_dead_soon(grandchild);
    EXPECT_EQ(process->memory_bytes(), 0u);
  }
}

TEST_P(ProcessTest, GrandchildrenInGroupsOfTheirOwnAreKilledToo) {
  auto process = *processes.spawn(shell("set -m; (sleep 1000 & echo $!; wait) & wait"));
  const auto grandchild = static_cast<pid_t>(std::stoi(first_line(*process, out)));
  EXPECT_TRUE(is_alive(grandchild));
  process->kill();
  ASSERT_TRUE(process->wait(1min));
  expect_dead_soon(grandchild);
}

TEST_P(ProcessTest, TheDestructorLeavesNothing) {
  auto process = *processes.spawn(shell("echo ready; sleep 1000"));
  ASSERT_EQ(first_line(*process, out), "ready");
  const auto pid = process->pid();
  process.reset();
  EXPECT_FALSE(is_alive(pid));
}

TEST_P(ProcessTest, AThreadThatSpawnsMayEnd) {
  std::unique_ptr<Process> process;
  std::thread([&] { process = *processes.spawn(shell("echo ready; sleep 1000")); }).join();
  ASSERT_EQ(first_line(*process, out), "ready");
  EXPECT_FALSE(process->wait(50ms)) << "the kernel ties a child to the thread that made it";
}

TEST_P(ProcessTest, DiesWithUs) {
  int pipe_fds[2];
  ASSERT_EQ(::pipe(pipe_fds), 0);
  const bool use_cgroups = GetParam();
  const pid_t parent = ::fork();
  if (parent == 0) {  // a server that is killed
    SystemClock clock;
    SystemProcesses ours(clock, {.use_cgroups = use_cgroups});
    auto process = *ours.spawn({.argv = {"sleep", "1000"}});
    const pid_t pid = process->pid();
    (void)!::write(pipe_fds[1], &pid, sizeof pid);
    ::pause();
  }
  pid_t child = 0;
  ASSERT_EQ(::read(pipe_fds[0], &child, sizeof child), static_cast<ssize_t>(sizeof child));
  EXPECT_TRUE(is_alive(child));
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  expect_dead_soon(child);
  ::close(pipe_fds[0]);
  ::close(pipe_fds[1]);
}

TEST_P(ProcessTest, ManyAtOnce) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < 5; ++j) {
        auto process = processes.spawn({.argv = {"sh", "-c", "exit " + std::to_string(i)}});
        ASSERT_TRUE(process);
        EXPECT_EQ((*process)->wait(1min)->status, i);
      }
    });
  }
}

TEST(ProcessStep, Table) {
  using process::Step;
  const SteadyPoint zero{};
  struct Row {
    const char* name;
    process::Watched watched;
    Step step;
  };
  const Row rows[] = {
      {"nothing asked", {.now = zero + 1h}, Step::nothing},
      {"before the deadline", {.now = zero + 9s, .deadline = zero + 10s}, Step::nothing},
      {"at the deadline", {.now = zero + 10s, .deadline = zero + 10s}, Step::terminate_for_wall_time},
      {"within grace", {.now = zero + 14s, .deadline = zero + 10s, .asked_at = zero + 10s, .grace = 5s}, Step::nothing},
      {"after grace",
       {.now = zero + 15s, .deadline = zero + 10s, .asked_at = zero + 10s, .grace = 5s},
       Step::kill_after_grace},
      {"memory at the limit", {.now = zero, .memory_bytes = 5, .memory_max = 5}, Step::nothing},
      {"memory over it", {.now = zero, .memory_bytes = 6, .memory_max = 5}, Step::kill_for_memory},
      {"memory during grace",
       {.now = zero, .asked_at = zero, .grace = 5s, .memory_bytes = 6, .memory_max = 5},
       Step::kill_for_memory},
      {"killed already",
       {.now = zero + 1h, .deadline = zero, .memory_bytes = 6, .memory_max = 5, .killed = true},
       Step::nothing},
  };
  for (const auto& row : rows) EXPECT_EQ(process::next_step(row.watched), row.step) << row.name;
}

TEST(ProcessCgroup, FindsItsOwnGroup) {
  using process::own_group_dir;
  const auto* v1 =
      "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
      "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:7 - cgroup cgroup rw,memory\n"
      "36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
      "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
  const auto* self_v1 = "5:cpu,cpuacct:/\n4:memory:/jobs/7\n0::/init.scope\n";
  EXPECT_EQ(own_group_dir(v1, self_v1, "memory"), "/sys/fs/cgroup/memory/jobs/7");
  EXPECT_EQ(own_group_dir(v1, self_v1, "cpu"), "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_EQ(own_group_dir(v1, self_v1, ""), "/sys/fs/cgroup/unified/init.scope");
  EXPECT_EQ(own_group_dir(v1, self_v1, "hugetlb"), "");

  const auto* v2 = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
  EXPECT_EQ(own_group_dir(v2, "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope\n", ""),
            "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope");
  EXPECT_EQ(own_group_dir(v2, "0::/x\n", "memory"), "");

  const auto* container = "30 24 0:26 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
  EXPECT_EQ(own_group_dir(container, "4:memory:/docker/abc\n", "memory"), "/sys/fs/cgroup/memory");
  EXPECT_EQ(own_group_dir(container, "4:memory:/docker/abc/deep\n", "memory"), "/sys/fs/cgroup/memory/deep");
  EXPECT_EQ(own_group_dir(container, "4:memory:/elsewhere\n", "memory"), "");
  EXPECT_EQ(own_group_dir("", "", "memory"), "");
  EXPECT_EQ(own_group_dir("nonsense - \n - \n", "x\n:\n::\n", "memory"), "");
}

TEST(ProcessCgroup, TheLeastLimitCounts) {
  using process::least_limit;
  EXPECT_EQ(least_limit({"8000", "max", "4000", "9223372036854771712"}), 4000u);
  EXPECT_EQ(least_limit({"max", ""}), 0u);
  EXPECT_GT(machine_memory_bytes(), 64'000'000u);
}

TEST(FindProgram, InPathOrByPath) {
  const auto sh = find_program("sh");
  ASSERT_TRUE(sh);
  EXPECT_TRUE(sh->ends_with("/sh")) << *sh;
  EXPECT_EQ(find_program(*sh).value_or(""), *sh);
  EXPECT_EQ(find_program("no-such-program").error().reason, "process.no_program");
  EXPECT_EQ(find_program("/etc/passwd").error().reason, "process.no_program");
}

TEST(SelfProgram, LauncherOrFolder) {
  ::unsetenv("MILLRACE_LAUNCHER");
  const auto plain = self_program("millrace-job");
  ASSERT_EQ(plain.size(), 1u);
  EXPECT_TRUE(plain[0].ends_with("/bin/millrace-job")) << plain[0];
  ::setenv("MILLRACE_LAUNCHER", "/opt/millrace/run", 1);
  EXPECT_EQ(self_program("millrace-job"), (std::vector<std::string>{"/opt/millrace/run", "millrace-job"}));
  ::unsetenv("MILLRACE_LAUNCHER");
}

}  // namespace
}  // namespace millrace
