// From a ProcessSpec to a running child: the part between fork and exec, and what may be decided without it.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/process.hpp"
#include "base/process_cgroup_internal.hpp"

namespace millrace::process {

struct Watched {
  SteadyPoint now;
  std::optional<SteadyPoint> deadline;  // of wall_max
  std::optional<SteadyPoint> asked_at;  // SIGTERM was sent
  Duration grace{};
  std::uint64_t memory_bytes = 0;
  std::optional<std::uint64_t> memory_max;  // set when nobody else watches
  bool killed = false;
};
enum class Step { nothing, terminate_for_wall_time, kill_for_memory, kill_after_grace };

// Pure: what the watcher does now.
Step next_step(const Watched& watched);

// Starts the child on the calling thread, and must be called on one that lives as long as the child may: the kernel
// ties a child to the thread that made it. `group` may be null.
Result<pid_t> spawn(const ProcessSpec& spec, const Cgroup* group, LimitedBy& limited_by);

void kill_descendants(pid_t pid);      // SIGKILL to all that it started and what they started, not to it
std::uint64_t resident_of(pid_t pid);  // with its descendants; bytes
std::uint64_t peak_of(pid_t pid);      // of it alone

}  // namespace millrace::process
