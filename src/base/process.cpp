#include "base/process.hpp"

#include <errno.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <future>
#include <limits>
#include <mutex>

#include "base/executor.hpp"
#include "base/fs.hpp"
#include "base/process_spawn_internal.hpp"

namespace millrace {
namespace {

using process::Cgroup;
using process::Step;

Duration to_duration(const timeval& tv) { return std::chrono::seconds(tv.tv_sec) + Duration(tv.tv_usec); }

std::uint64_t own_peak_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1'024;
}

class SystemProcess final : public Process {
 public:
  SystemProcess(pid_t pid, const ProcessSpec& spec, std::optional<Cgroup> group, LimitedBy limited_by, Clock& clock)
      : pid_(pid),
        pidfd_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))),
        limits_(spec.limits),
        grace_(spec.grace),
        limited_by_(std::move(limited_by)),
        clock_(clock),
        began_(clock.steady()),
        peak_before_bytes_(own_peak_bytes()),
        group_(std::move(group)) {}

  ~SystemProcess() override {
    kill();
    while (!wait(std::chrono::hours(1))) {
    }
    if (pidfd_ >= 0) ::close(pidfd_);
  }

  int pid() const override { return pid_; }

  std::optional<ProcessExit> poll() override {
    const std::lock_guard lock(mutex_);
    if (exit_) return exit_;
    siginfo_t info{};
    // Not reaped yet, so that its number still names its group.
    const int done = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
    if (done == 0 && info.si_pid == 0) {
      enforce();
    } else {
      reap();
    }
    return exit_;
  }

  std::optional<ProcessExit> wait(Duration patience) override {
    using Steady = std::chrono::steady_clock;
    const auto until = Steady::now() + patience;
    for (;;) {
      if (auto exit = poll()) return exit;
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Steady::now());
      if (left.count() <= 0) return std::nullopt;
      const auto slice = std::min(left, next_look());
      pollfd ended{pidfd_, POLLIN, 0};
      ::poll(&ended, pidfd_ >= 0 ? 1 : 0, static_cast<int>(slice.count()));
    }
  }

  void terminate() override {
    const std::lock_guard lock(mutex_);
    ask(ProcessExit::Cause::terminated);
  }

  void kill() override {
    const std::lock_guard lock(mutex_);
    force(ProcessExit::Cause::terminated);
  }

  std::uint64_t memory_bytes() override {
    const std::lock_guard lock(mutex_);
    return exit_ ? 0 : look_at_memory();
  }

  LimitedBy limited_by() const override { return limited_by_; }

 private:
  bool watches_memory() const { return limits_.memory_bytes && limited_by_.memory == "rlimit"; }

  std::chrono::milliseconds next_look() {
    const std::lock_guard lock(mutex_);
    if (watches_memory()) return std::chrono::milliseconds(20);
    if (asked_at_ || limits_.wall_max) return std::chrono::milliseconds(50);
    return std::chrono::milliseconds(pidfd_ >= 0 ? 500 : 20);
  }

  std::uint64_t look_at_memory() {
    peak_seen_bytes_ = std::max(peak_seen_bytes_, process::peak_of(pid_));
    return process::resident_of(pid_);
  }

  void enforce() {
    process::Watched watched{.now = clock_.steady(), .asked_at = asked_at_, .grace = grace_, .killed = killed_};
    if (limits_.wall_max) watched.deadline = began_ + *limits_.wall_max;
    if (watches_memory()) {
      watched.memory_max = limits_.memory_bytes;
      watched.memory_bytes = look_at_memory();
    } else {
      peak_seen_bytes_ = std::max(peak_seen_bytes_, process::peak_of(pid_));
    }
    switch (process::next_step(watched)) {
      case Step::nothing:
        break;
      case Step::terminate_for_wall_time:
        ask(ProcessExit::Cause::wall_time);
        break;
      case Step::kill_for_memory:
        force(ProcessExit::Cause::memory);
        break;
      case Step::kill_after_grace:
        force(ProcessExit::Cause::terminated);
        break;
    }
  }

  // The first cause is the one that is told.
  void ask(ProcessExit::Cause cause) {
    if (exit_ || asked_at_ || killed_) return;
    if (!cause_) cause_ = cause;
    asked_at_ = clock_.steady();
    ::kill(-pid_, SIGTERM);
  }

  void force(ProcessExit::Cause cause) {
    if (exit_) return;
    if (!cause_) cause_ = cause;
    killed_ = true;
    if (!group_) process::kill_descendants(pid_);  // those in process groups of their own too
    ::kill(-pid_, SIGKILL);
    if (group_) group_->kill_all();
  }

  void reap() {
    ::kill(-pid_, SIGKILL);  // whatever it left running
    int status = 0;
    rusage usage{};
    while (::wait4(pid_, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    ProcessExit exit;
    exit.wall = clock_.steady() - began_;
    exit.user_cpu = to_duration(usage.ru_utime);
    exit.system_cpu = to_duration(usage.ru_stime);
    exit.limited_by = limited_by_;
    exit.memory_peak_bytes = peak_bytes(static_cast<std::uint64_t>(usage.ru_maxrss) * 1'024);
    if (WIFSIGNALED(status)) {
      exit.signal = WTERMSIG(status);
    } else {
      exit.status = WEXITSTATUS(status);
    }
    exit.cause = cause_.value_or(exit.signal != 0 ? ProcessExit::Cause::signalled : ProcessExit::Cause::exited);
    const bool failed = exit.signal != 0 || exit.status != 0;
    if (!cause_ && failed && hit_memory_limit(exit.memory_peak_bytes)) exit.cause = ProcessExit::Cause::memory;
    group_.reset();
    exit_ = exit;
  }

  // Until its exec the child shared our memory, and the kernel counts that as the child's: only a figure above ours is
  // its own. Else what was seen while it ran, or what its group says (with cached files, so an upper bound).
  std::uint64_t peak_bytes(std::uint64_t kernel_says) const {
    if (kernel_says > peak_before_bytes_) return kernel_says;
    const auto group_says = group_ ? group_->memory_peak_bytes() : 0;
    return std::max(peak_seen_bytes_, std::min(kernel_says, group_says));
  }

  bool hit_memory_limit(std::uint64_t peak_bytes) const {
    if (!limits_.memory_bytes) return false;
    if (group_ && !group_->limited_by().memory.empty()) return group_->ran_out_of_memory();
    // RLIMIT_DATA made an allocation fail, and the program gave up.
    return peak_bytes >= *limits_.memory_bytes / 10 * 9;
  }

  const pid_t pid_;
  const int pidfd_;
  const ProcessLimits limits_;
  const Duration grace_;
  const LimitedBy limited_by_;
  Clock& clock_;
  const SteadyPoint began_;
  const std::uint64_t peak_before_bytes_;

  std::mutex mutex_;
  std::optional<Cgroup> group_;
  std::optional<SteadyPoint> asked_at_;
  std::optional<ProcessExit::Cause> cause_;
  bool killed_ = false;
  std::uint64_t peak_seen_bytes_ = 0;
  std::optional<ProcessExit> exit_;
};

std::string limiter(const std::string& name) { return name.empty() ? "" : " (" + name + ")"; }

}  // namespace

std::string describe(const ProcessExit& exit, const ProcessLimits& limits) {
  switch (exit.cause) {
    case ProcessExit::Cause::exited:
      return fmt::format("exited with status {}", exit.status);
    case ProcessExit::Cause::signalled:
      return fmt::format("killed by signal {} ({})", exit.signal, ::strsignal(exit.signal));
    case ProcessExit::Cause::memory:
      return fmt::format("killed: used more than its {} of memory{}",
                         format_size(static_cast<long long>(limits.memory_bytes.value_or(0))),
                         limiter(exit.limited_by.memory));
    case ProcessExit::Cause::wall_time:
      return fmt::format("stopped: ran longer than its {}", format_duration(limits.wall_max.value_or(Duration(0))));
    case ProcessExit::Cause::terminated:
      return "stopped on request";
  }
  return "ended";
}

struct SystemProcesses::State {
  Clock& clock;
  ProcessesConfig config;
  // The kernel kills a child when the thread that made it ends (PR_SET_PDEATHSIG), so one thread makes them all.
  ThreadExecutor spawner{"spawner"};
};

SystemProcesses::SystemProcesses(Clock& clock, ProcessesConfig config) : state_(new State{clock, config}) {
  if (config.use_cgroups) Cgroup::sweep();
}

SystemProcesses::~SystemProcesses() = default;

Result<std::unique_ptr<Process>> SystemProcesses::spawn(const ProcessSpec& spec) {
  auto group = state_->config.use_cgroups ? Cgroup::make(spec.limits) : std::nullopt;

  LimitedBy limited_by;
  Result<pid_t> pid = fail(Code::internal, "process.cannot_start", "not started");
  std::promise<void> done;
  TRY_VOID(state_->spawner.post([&] {
    pid = process::spawn(spec, group ? &*group : nullptr, limited_by);
    if (!pid && group && pid.error().reason == "process.cannot_start") {
      // A group that may be made but not joined: do without.
      group.reset();
      limited_by = {};
      pid = process::spawn(spec, nullptr, limited_by);
    }
    done.set_value();
  }));
  done.get_future().wait();
  if (!pid) return fail(std::move(pid).error());
  return std::make_unique<SystemProcess>(*pid, spec, std::move(group), std::move(limited_by), state_->clock);
}

namespace {

const char* launcher() {
  const char* path = ::getenv("MILLRACE_LAUNCHER");
  return path != nullptr && *path != '\0' ? path : nullptr;
}

}  // namespace

std::vector<std::string> self_program(std::string_view name) {
  if (const char* path = launcher()) return {path, std::string(name)};
  return {beside_program(name)};
}

std::string beside_program(std::string_view name) {
  // The launcher stands above the folder of the programs (tools/bundle.sh).
  if (const char* path = launcher()) return join_path(join_path(parent_path(path), "bin"), name);
  std::string path(4'096, '\0');
  const auto length = ::readlink("/proc/self/exe", path.data(), path.size());
  path.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  return join_path(parent_path(path), name);
}

}  // namespace millrace
