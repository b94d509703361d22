#include "base/json.hpp"
#include "loop/jobs.hpp"

namespace millrace::loop {

std::vector<std::string> slow_kinds() {
  return {std::string(job_kind::train), std::string(job_kind::rebuild), std::string(job_kind::batch)};
}

std::vector<std::string> quick_kinds() {
  return {std::string(job_kind::ingest),   std::string(job_kind::assemble), std::string(job_kind::evaluate),
          std::string(job_kind::checkout), std::string(job_kind::check),    std::string(job_kind::live),
          std::string(job_kind::roll)};
}

std::vector<std::string> asked_kinds() { return {std::string(job_kind::query)}; }

#define MILLRACE_JOB(T)                        \
  template <>                                  \
  Result<T> parse_job<T>(std::string_view t) { \
    return json::parse<T>(t, "a job's " #T);   \
  }                                            \
  template <>                                  \
  std::string render_job<T>(const T& value) {  \
    return json::render(value);                \
  }

MILLRACE_JOB(ReadJob)
MILLRACE_JOB(TrainJob)
MILLRACE_JOB(TrainResult)
MILLRACE_JOB(EvaluateJob)
MILLRACE_JOB(EvaluateResult)
MILLRACE_JOB(AssembleJob)
MILLRACE_JOB(AssembleResult)
MILLRACE_JOB(LiveResult)
MILLRACE_JOB(RollJob)
MILLRACE_JOB(RollResult)
MILLRACE_JOB(LogLayout)
MILLRACE_JOB(std::vector<HourRows>)
MILLRACE_JOB(BatchJob)
MILLRACE_JOB(BatchResult)
MILLRACE_JOB(RebuildJob)
MILLRACE_JOB(RebuildResult)
MILLRACE_JOB(RowSet)
MILLRACE_JOB(ModelSpec)

}  // namespace millrace::loop
