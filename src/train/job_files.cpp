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
  switch (error.code) {
    case Code::invalid_argument:
    case Code::failed_precondition:
    case Code::out_of_range:
    case Code::data_loss:
      return "data";
    case Code::resource_exhausted:
      return error.reason.contains("disk") ? "disk" : "memory";
    case Code::deadline_exceeded:
      return "time";
    case Code::unavailable:
      return error.reason.starts_with("fs.") ? "disk" : "dependency";
    case Code::not_found:
      return error.reason.contains("library") ? "dependency" : "data";
    case Code::cancelled:
      return "killed";
    default:
      return "code";
  }
}

}  // namespace millrace::train
