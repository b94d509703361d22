// What a job is: a unit of work that a worker claims. Plain values; jobs.hpp moves them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace millrace::flow {

enum class JobState { queued, running, done, failed, cancelled };
// Why an attempt ended badly. data: the input is at fault; code: the step's own program; memory, disk, time: a limit;
// dependency: something it needs did not answer; killed: a signal from outside; lost: its worker was not heard of.
enum class FailureKind { data, code, memory, disk, time, dependency, killed, lost };

std::string_view to_text(JobState state);  // "queued", ...
std::string_view to_text(FailureKind kind);
std::optional<JobState> parse_job_state(std::string_view text);
std::optional<FailureKind> parse_failure_kind(std::string_view text);
inline bool is_over(JobState state) { return state != JobState::queued && state != JobState::running; }

struct Failure {
  FailureKind kind = FailureKind::code;
  std::string message;  // one line for a person
  std::string detail;   // the end of its output, say; cut at 64 KiB
};

struct NewJob {
  std::string kind;  // what a worker must be able to do: "train", "ingest"
  // At most one unfinished job per (kind, key): asking again answers the one that is there.
  std::string key;
  std::string input = "{}";               // JSON
  std::optional<std::string> checkpoint;  // of another job, whose work the first attempt takes up
  int priority = 0;                       // higher first
  int attempts_max = 3;
  Duration timeout{};            // of one attempt; zero: none
  std::string resources = "{}";  // JSON, for whoever runs it
  std::string cause;             // the rule or person that started it
  std::optional<std::string> pipeline_run;
  std::optional<std::string> step;
  std::optional<TimePoint> run_after;  // not before; none: at once, whatever the calendar does
};

struct Job {
  std::string id;
  std::string kind;
  std::string key;
  JobState state = JobState::queued;
  std::string input;
  int priority = 0;
  int attempts = 0;  // begun so far
  int attempts_max = 0;
  Duration timeout{};
  std::string resources;
  std::string cause;
  std::optional<std::string> pipeline_run;
  std::optional<std::string> step;
  TimePoint queued_at{};                // when it was asked for
  TimePoint run_after{};                // not before, as asked; 1970: at once
  std::optional<TimePoint> started_at;  // the newest attempt
  std::optional<TimePoint> ended_at;
  std::optional<std::string> worker;  // who has it, or had it last
  std::int64_t token = 0;             // of the newest claim; 0: never claimed
  Duration lease{};
  std::optional<TimePoint> heard_at;      // of the newest heartbeat that was written down
  std::optional<std::string> cancel_by;   // who asked to stop it
  std::optional<std::string> progress;    // JSON
  std::optional<std::string> checkpoint;  // whatever the next attempt needs to go on
  std::optional<std::string> result;      // JSON
  std::optional<Failure> failure;         // of the newest attempt that failed, also while it is tried again
};

// One line of a job's history.
struct JobEvent {
  TimePoint at{};
  std::string
      what;  // queued claimed checkpoint retry lost timed_out given_back cancel_asked done failed cancelled refused
  std::int64_t token = 0;
  std::string worker;
  std::string note;
};

}  // namespace millrace::flow
