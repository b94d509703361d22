// Child processes with bounds. A child ends with us, or when a limit says so, and all that it started ends with it;
// what it printed stays. (When we die by SIGKILL, the kernel kills the child; what that one started, and did not tie to
// itself as we do, is killed when we start again if it was in a cgroup. Without cgroups the same holds for a child that
// dies by itself: what it started outside of its process group stays.)
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace millrace {

struct ProcessLimits {
  std::optional<std::uint64_t> memory_bytes;  // of the child and its own children together
  std::optional<double> cpu_cores;
  std::optional<Duration> wall_max;  // then SIGTERM, and SIGKILL after grace
};

struct ProcessSpec {
  std::vector<std::string> argv;           // argv[0]: a path, or a name that is looked up in PATH
  std::map<std::string, std::string> env;  // added to ours, or instead of ours:
  bool inherit_env = true;
  std::string cwd;                       // empty: ours
  std::string stdout_path, stderr_path;  // appended to, may be the same file; empty: thrown away. stdin is empty.
  ProcessLimits limits;
  Duration grace = std::chrono::seconds(5);  // between SIGTERM and SIGKILL
};

// What enforces each limit: "cgroup v2", "cgroup v1", "rlimit" (RLIMIT_DATA, and a watch on resident memory by poll()),
// "affinity" (whole processors); empty where no limit was asked for.
struct LimitedBy {
  std::string memory, cpu;
};

struct ProcessExit {
  enum class Cause {
    exited,      // by itself; see status
    signalled,   // by a signal that we did not send
    memory,      // over limits.memory_bytes
    wall_time,   // over limits.wall_max
    terminated,  // terminate() or kill() was called
  };
  Cause cause = Cause::exited;
  int status = -1;  // exit status; -1 when a signal ended it
  int signal = 0;
  Duration user_cpu{}, system_cpu{};    // with those of its children that it waited for
  std::uint64_t memory_peak_bytes = 0;  // resident, of the largest process; 0: too short a life to be seen
  Duration wall{};
  LimitedBy limited_by;
  bool ok() const { return cause == Cause::exited && status == 0; }
};

// For people: "exited with status 3", "killed: used more than its 512.0 MB of memory (cgroup v1)".
std::string describe(const ProcessExit& exit, const ProcessLimits& limits);

// One child. Thread-safe. The destructor kills it and its children and waits for its end.
class Process {
 public:
  virtual ~Process() = default;
  virtual int pid() const = 0;
  // How it ended, or nothing while it runs; never waits. Enforces wall_max and grace, and the memory limit where
  // limited_by().memory is "rlimit": call it several times a second, or use wait().
  virtual std::optional<ProcessExit> poll() = 0;
  // As poll(), but waits for the end, `patience` at most (real time).
  virtual std::optional<ProcessExit> wait(Duration patience) = 0;
  virtual void terminate() = 0;  // SIGTERM to it and its children; poll() or wait() follow with SIGKILL after grace
  virtual void kill() = 0;       // SIGKILL to it and its children
  virtual std::uint64_t memory_bytes() = 0;  // resident now, its children included; 0 when it has ended
  virtual LimitedBy limited_by() const = 0;
};

// Starts processes; passed in, so that a simulator can do without. Thread-safe.
class Processes {
 public:
  virtual ~Processes() = default;
  // not_found `process.no_program` or `process.no_folder`, permission_denied `process.not_executable`, unavailable
  // `process.cannot_start`; errors of the output files as in base/fs.hpp's "fs.*".
  virtual Result<std::unique_ptr<Process>> spawn(const ProcessSpec& spec) = 0;
};

struct ProcessesConfig {
  bool use_cgroups = true;  // false: "rlimit" and "affinity" only
};

// The operating system's. All its children die with this process however it ends, and with this object: destroy the
// Process objects first.
class SystemProcesses final : public Processes {
 public:
  explicit SystemProcesses(Clock& clock, ProcessesConfig config = {});
  ~SystemProcesses() override;
  Result<std::unique_ptr<Process>> spawn(const ProcessSpec& spec) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// What processes of ours can use at most: the machine's memory, or the least limit of the cgroups that we are in; 0:
// not known.
std::uint64_t machine_memory_bytes();

// The file that `name` starts: itself where it has a '/', else the first in PATH that may be executed. not_found
// `process.no_program`.
Result<std::string> find_program(const std::string& name);

// How to start a program of ours that lies in the folder of the running one: the front of an argv. Under the bundled
// loader /proc/self/exe is the loader, so the launcher script that started us puts its own path into MILLRACE_LAUNCHER
// and takes the program's name as first argument.
std::vector<std::string> self_program(std::string_view name);
// The path of a file in that folder.
std::string beside_program(std::string_view name);

}  // namespace millrace
