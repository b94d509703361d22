#include <array>

#include "base/check.hpp"
#include "base/json.hpp"
#include "flow/job_rows_internal.hpp"

namespace millrace::flow {

namespace {

constexpr std::array<std::string_view, 5> states = {"queued", "running", "done", "failed", "cancelled"};
constexpr std::array<std::string_view, 8> kinds = {"data", "code",       "memory", "disk",
                                                   "time", "dependency", "killed", "lost"};

template <class E, std::size_t N>
std::optional<E> parse(const std::array<std::string_view, N>& names, std::string_view text) {
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == text) return static_cast<E>(i);
  }
  return std::nullopt;
}

struct EventPayload {
  std::string id;
  std::string kind;
  std::string key;
  std::string state;
  std::optional<std::string> pipeline_run;
  std::optional<std::string> step;
};

}  // namespace

std::string_view to_text(JobState state) { return states.at(static_cast<std::size_t>(state)); }
std::string_view to_text(FailureKind kind) { return kinds.at(static_cast<std::size_t>(kind)); }
std::optional<JobState> parse_job_state(std::string_view text) { return parse<JobState>(states, text); }
std::optional<FailureKind> parse_failure_kind(std::string_view text) { return parse<FailureKind>(kinds, text); }

Job read_job(const meta::Row& row) {
  Job job;
  std::size_t i = 0;
  job.id = row.text(i++);
  job.kind = row.text(i++);
  job.key = row.text(i++);
  const auto state = parse_job_state(row.text(i++));
  check(state.has_value(), "flow_jobs holds only known states (its CHECK says so)");
  job.state = *state;
  job.input = row.text(i++);
  job.priority = static_cast<int>(row.integer(i++));
  job.attempts = static_cast<int>(row.integer(i++));
  job.attempts_max = static_cast<int>(row.integer(i++));
  job.timeout = Duration(row.integer(i++));
  job.resources = row.text(i++);
  job.cause = row.text(i++);
  job.pipeline_run = row.maybe_text(i++);
  job.step = row.maybe_text(i++);
  job.queued_at = row.time(i++);
  job.run_after = row.time(i++);
  job.started_at = row.maybe_time(i++);
  job.ended_at = row.maybe_time(i++);
  job.worker = row.maybe_text(i++);
  job.token = row.integer(i++);
  job.lease = Duration(row.integer(i++));
  job.heard_at = row.maybe_time(i++);
  job.cancel_by = row.maybe_text(i++);
  job.progress = row.maybe_text(i++);
  job.checkpoint = row.maybe_text(i++);
  job.result = row.maybe_text(i++);
  if (const auto kind = row.maybe_text(i)) {
    job.failure = Failure{parse_failure_kind(*kind).value_or(FailureKind::code), row.text(i + 1), row.text(i + 2)};
  }
  return job;
}

std::string event_payload(const Job& job, JobState state) {
  return json::render(EventPayload{job.id, job.kind, job.key, std::string(to_text(state)), job.pipeline_run, job.step});
}

std::string tail(std::string text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  auto begin = text.size() - bytes_max;
  while (begin < text.size() && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) ++begin;
  return text.substr(begin);
}

}  // namespace millrace::flow
