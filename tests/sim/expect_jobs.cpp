#include "sim/expect_jobs.hpp"

namespace millrace::simulator {

std::string ExpectJobs::claimed(const flow::Job& job) {
  auto& known = known_[job.id];
  if (job.token <= known.token)
    return "jobs: " + job.id + " was claimed with token " + std::to_string(job.token) + " after " +
           std::to_string(known.token);
  known.token = job.token;
  known.state = flow::JobState::running;
  return {};
}

std::string ExpectJobs::compare(const std::vector<flow::Job>& jobs) {
  for (const auto& job : jobs) {
    auto& known = known_[job.id];
    const auto named = "jobs: " + job.id + " (" + job.kind + ") ";
    if (job.token < known.token) return named + "went back to token " + std::to_string(job.token);
    if (flow::is_over(known.state) && job.state != known.state)
      return named + "was " + std::string(flow::to_text(known.state)) + " and is " +
             std::string(flow::to_text(job.state));
    const auto result = job.result.value_or("");
    if (known.state == flow::JobState::done && result != known.result) return named + "has another result";
    if (job.attempts > job.attempts_max) return named + "was tried too often";
    known = {job.state, job.token, result};
  }
  return {};
}

bool holds(const flow::Job& job, std::int64_t token) {
  return job.state == flow::JobState::running && job.token == token;
}

}  // namespace millrace::simulator
