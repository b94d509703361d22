// The files between a worker and the job process that it starts, in one scratch folder per attempt:
//   spec.json      what to do (JobSpec)
//   progress.jsonl one TaskProgress per line, appended
//   checkpoint     text: how to go on from here; replaced atomically
//   result.json    on success: the job's result; or
//   failure.json   the error with its cause
//   reserve        room on the disk for failure.json
// What the process prints goes to a file of its own that outlives the attempt.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"
#include "base/task.hpp"

namespace millrace::train {

struct JobSpec {
  std::string job;
  std::string kind;
  std::string input;       // JSON, by kind
  std::string checkpoint;  // of an earlier attempt
  std::string data_dir;    // blobs, prediction log: see docs/formats/data_folder.md
  std::string scratch_dir;
  int threads = 1;
  std::int64_t memory_bytes = 0;
  std::string output;  // what the job prints, and what the commands that it starts print, is appended to this file
};
struct FailureFile {
  std::string cause;  // data, code, memory, disk, time, dependency, killed
  std::string code;
  std::string reason;
  std::string message;
};

// Exit status of a job that could not even write its failure.
inline constexpr int status_cannot_write = 74;

std::string render(const JobSpec& spec);
Result<JobSpec> parse_job_spec(std::string_view text);
std::string render(const FailureFile& failure);
Result<FailureFile> parse_failure(std::string_view text);
std::string render(const TaskProgress& progress);
Result<TaskProgress> parse_progress(std::string_view line);

// Which cause an error has, for the run's record. Pure.
std::string cause_of(const Error& error);

}  // namespace millrace::train
