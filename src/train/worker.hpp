// Claims jobs and runs each in a child process with limits. Knows neither metadata nor what jobs mean: jobs come from a
// JobSource, the program that does them is millrace-job.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/env.hpp"
#include "base/process.hpp"
#include "train/job_files.hpp"
#include "train/job_source.hpp"

namespace millrace::train {

// The memory of a job that brings no limit of its own.
struct MemoryCap {
  std::int64_t bytes = 0;  // 0: none
  std::string from;        // "3/5 of this machine's 24.1 GB"
};
// `fifths` of what there is, so that a job can't take the machine down; 1 GB at least, where there is one. Pure; none
// where the size is not known.
MemoryCap share_of_memory(std::uint64_t machine_bytes, int fifths);

class Worker {
 public:
  struct Slot {
    std::vector<std::string> kinds;  // what this slot does; one job at a time
    MemoryCap memory = {};
  };
  struct Config {
    std::string name = "local";  // slots claim as "<name>-1", "<name>-2", ...
    std::string data_dir;        // handed to the job
    std::string scratch_dir;     // one folder per attempt below it, removed after it
    std::string output_dir;      // <job>.txt: what the job printed, over all attempts
    std::vector<Slot> slots;
    std::vector<std::string> program;                      // the front of the job process's argv
    std::map<std::string, std::string> environment;        // added to ours for it
    Duration look_every = std::chrono::milliseconds(500);  // for new jobs, when nobody wakes us
    Duration heartbeat_every = std::chrono::milliseconds(1000);
    Duration progress_every = std::chrono::milliseconds(400);  // at most so often, when there is something new
    Duration poll_every = std::chrono::milliseconds(100);      // the child and its progress
    Duration deliver_for = std::chrono::minutes(10);  // a source that is out of reach is told again how a job ended
  };

  Worker(Config config, Env& env, JobSource& source, Processes& processes);
  ~Worker();  // stop()

  void start();
  void wake();  // there may be work: look now
  // Asks the running jobs to stop, waits, and gives them back with their checkpoints. Safe to call again.
  void stop();

  static std::string slot_name(const Config& config, std::size_t slot);

 private:
  struct Attempt;
  void run_slot(std::size_t slot);
  void run(const JobLease& lease, const Slot& slot);
  bool watch(Attempt& attempt);
  void settle(Attempt& attempt);
  Result<void> deliver(const std::function<Result<void>()>& tell);
  Result<void> prepare(Attempt& attempt);
  void read_progress(Attempt& attempt);

  Config config_;
  Env& env_;
  JobSource& source_;
  Processes& processes_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::uint64_t wakes_ = 0;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

// What a child's end means for its job, and what a person can do about it. Pure.
struct AttemptEnd {
  const ProcessExit& exit;
  const ProcessLimits& limits;
  std::string_view kind;
  std::string_view memory_from;   // JobUsage::memory_from
  std::string_view failure_file;  // failure.json's text; "" when there is none
  std::string_view scratch_dir;
};
JobFailure failure_of(const AttemptEnd& end);

}  // namespace millrace::train
