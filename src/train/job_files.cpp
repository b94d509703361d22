#include "train/job_files.hpp"

#include "base/json.hpp"

namespace millrace::train {

std::string render(const JobSpec& spec) { return json::render(spec); }
Result<JobSpec> parse_job_spec(std::string_view text) { return json::parse<JobSpec>(text, "the job's spec"); }
std::string render(const FailureFile& failure) { return json::render(failure); }
Result<FailureFile> parse_failure(std::string_view text) { return json::parse<FailureFile>(text, "the job's failure"); }
std::string render(const TaskProgress& progress) { return json::render(progress); }
Result<TaskProgress> parse_progress(std::string_view line) {
  return json::parse<TaskProgress>(line, "a progress line");
}

std::string cause_of(const Error& error) {
  const std::string_view reason = error.reason;
  // A command is its author's code, whatever it did wrong.
  if (error.code == Code::failed_precondition &&
      (reason == "train.command_failed" || reason == "train.no_output" || reason == "train.bad_output"))
    return "code";
  if (reason == "train.command_needs" || reason == "fs.too_many_open") return "dependency";
  if (reason.starts_with("fs.")) return reason == "fs.not_found" || reason == "fs.too_large" ? "data" : "disk";
  if (reason.contains("disk")) return "disk";
  if (reason.starts_with("process.")) return "dependency";
  switch (error.code) {
    case Code::invalid_argument:
    case Code::failed_precondition:
    case Code::out_of_range:
    case Code::data_loss:
      return "data";
    case Code::resource_exhausted:
      return reason.ends_with("too_large") ? "data" : "memory";
    case Code::deadline_exceeded:
      return "time";
    case Code::unavailable:
      return "dependency";
    case Code::not_found:
      return reason.contains("library") ? "dependency" : "data";
    case Code::cancelled:
      return "killed";
    default:
      return "code";
  }
}

}  // namespace millrace::train
