// Where a worker gets its jobs from and reports to. In one process with the admin server it is implemented over flow
// (loop/local_jobs.hpp), elsewhere over the native API (remote). The worker knows neither metadata nor what jobs mean.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace millrace::train {

struct JobLease {
  std::string worker;
  std::string job;
  std::int64_t token = 0;  // fencing: only the newest token of a job may report and commit
  std::string kind;
  std::string input;       // JSON
  std::string checkpoint;  // what the last attempt left; "" at first
  std::int64_t attempt = 1;
  double cpu_cores = 0;           // 0: no limit
  std::int64_t memory_bytes = 0;  // 0: no limit
  Duration duration_max{0};       // 0: no limit
};

struct JobProgress {
  std::vector<std::string> lines;  // JSON of base TaskProgress, oldest first; each is reported once
  std::string checkpoint;          // newest; "" when there is none yet
};

// What the attempt used, for the run's record.
struct JobUsage {
  double wall_seconds = 0;
  double cpu_seconds = 0;
  std::int64_t memory_bytes_peak = 0;
  std::int64_t memory_bytes_max = 0;  // what it was allowed; 0: no limit
  std::string memory_from;            // who said so: "[retrain] resources.memory", "3/5 of this machine's 24.1 GB"
  std::string limited_by;             // who enforced it: "cgroup v2", "cgroup v1", "rlimit"
  std::string output_tail;            // the last part of what it printed
};

struct JobFailure {
  std::string cause;  // data, code, memory, disk, time, dependency, killed
  std::string message;
  bool retry = false;
};

// Thread-safe. A call about a lease that was lost answers aborted `flow.lease_lost`: stop the work at once.
class JobSource {
 public:
  virtual ~JobSource() = default;
  virtual Result<std::optional<JobLease>> claim(const std::string& worker, const std::vector<std::string>& kinds) = 0;
  // Extends the lease. True: cancelling was asked for.
  virtual Result<bool> heartbeat(const JobLease& lease, const JobProgress& progress) = 0;
  virtual Result<void> complete(const JobLease& lease, const std::string& result, const JobUsage& usage) = 0;
  virtual Result<void> fail(const JobLease& lease, const JobFailure& failure, const JobUsage& usage) = 0;
  // The worker stops in good order: somebody else goes on from the checkpoint, the attempt does not count.
  virtual Result<void> give_back(const JobLease& lease, const std::string& checkpoint) = 0;
};

}  // namespace millrace::train
