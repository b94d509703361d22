// Control groups for child processes: where they may be made, and one of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/process.hpp"

namespace millrace::process {

// Pure. The folder of our own group for `controller` ("memory", "cpu"; "" for version 2), from the texts of
// /proc/self/mountinfo and /proc/self/cgroup; empty when there is none.
std::string own_group_dir(std::string_view mountinfo, std::string_view self_cgroup, std::string_view controller);

// Pure. The least of the limits found in the texts of memory.max or memory.limit_in_bytes; 0 when there is none.
std::uint64_t least_limit(const std::vector<std::string>& texts);

// A group made for one child, of version 1 (a folder per controller) or 2 (one folder).
class Cgroup {
 public:
  // Tries version 2, then 1; which limits it took over is in limited_by(). Nothing when neither takes any.
  static std::optional<Cgroup> make(const ProcessLimits& limits);
  Cgroup(Cgroup&& other) noexcept;
  Cgroup& operator=(Cgroup&& other) = delete;
  ~Cgroup();  // kills what is left inside and removes the folders

  // Open files; who writes "0" to each of them joins.
  const std::vector<int>& join_fds() const { return join_fds_; }
  const LimitedBy& limited_by() const { return limited_by_; }
  bool ran_out_of_memory() const;
  std::uint64_t memory_peak_bytes() const;  // cached files included; 0: not known
  void kill_all() const;

  // Groups of processes of ours that died without removing them.
  static void sweep();

 private:
  Cgroup() = default;
  bool make_v2(const ProcessLimits& limits, const std::string& parent, const std::string& name);
  bool make_v1(const ProcessLimits& limits, const std::string& name);
  bool add_dir(const std::string& dir);

  std::vector<std::string> dirs_;
  std::vector<int> join_fds_;
  LimitedBy limited_by_;
};

}  // namespace millrace::process
