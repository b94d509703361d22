// Runs as the wire shows them.
#include <format>
#include <variant>

#include "api/native/map.hpp"
#include "base/json.hpp"
#include "flow/job.hpp"
#include "train/failure_text.hpp"

namespace millrace::api {

namespace {

struct Outcome {
  std::string version, verdict;
};

std::vector<std::string> digests(const std::vector<data::Part>& parts) {
  std::vector<std::string> out;
  for (const auto& part : parts) out.push_back(part.digest);
  return out;
}

std::int64_t rows_of(const std::vector<data::Part>& parts) {
  std::int64_t rows = 0;
  for (const auto& part : parts) rows += part.rows;
  return rows;
}

RunData data_of(const loop::RunPlan& plan) {
  const auto& rows = plan.train.rows;
  RunData data{.dataset = rows.dataset,
               .version = rows.version,
               .read = plan.data_read,
               .rows = rows_of(rows.parts),
               .parts = digests(rows.parts),
               .feedback_rows = rows_of(rows.feedback),
               .feedback_parts = digests(rows.feedback),
               .labels_seq = plan.labels_seq,
               .digest = plan.train.data_digest};
  if (!plan.first_row.empty()) data.first = plan.first_row;
  if (!plan.last_row.empty()) data.last = plan.last_row;
  return data;
}

RunCode code_of(const loop::RunPlan& plan) {
  RunCode code{.project_number = plan.project_number,
               .project_file = plan.code.project_file,
               .project_digest = plan.train.project_digest,
               .command = plan.train.command,
               .digest = plan.train.code_digest,
               .git_commit = plan.code.git_commit,
               .git_diff = plan.code.git_diff,
               .git_note = plan.code.git_note};
  for (const auto& file : plan.train.command_files)
    code.files.push_back({file.path, file.digest, static_cast<std::int64_t>(file.bytes)});
  return code;
}

}  // namespace

std::optional<Fault> fault_of(std::string_view failure) {
  const auto cause = failure.substr(0, failure.find(": "));
  if (cause.size() == failure.size() || !flow::parse_failure_kind(cause)) return std::nullopt;
  auto text = train::read_failure_text(failure.substr(cause.size() + 2));
  return Fault{std::string(cause), std::move(text.what), std::move(text.where), std::move(text.next)};
}

Result<Run> to_wire(const track::Run& from, const std::vector<track::MetricPoint>& metrics,
                    const std::vector<flow::JobEvent>& events, const loop::RunPlan* plan) {
  Run to;
  to.id = from.id;
  to.kind = from.kind;
  to.state = track::state_name(from.state);
  to.cause = from.cause;
  to.created = format_time(from.created);
  if (from.started) to.started = format_time(*from.started);
  if (from.ended) to.ended = format_time(*from.ended);
  if (!from.params.empty()) {
    TRY(to.params, (json::parse<std::map<std::string, std::string>>(from.params, "a run's params")));
  }
  if (!from.resources.empty()) {
    using Used = std::map<std::string, std::variant<double, std::string>>;
    TRY(const auto used, json::parse<Used>(from.resources, "a run's resources"));
    for (const auto& [name, value] : used) {
      if (const auto* number = std::get_if<double>(&value)) to.resources[name] = *number;
      if (const auto* text = std::get_if<std::string>(&value)) to.limits[name] = *text;
    }
  }
  if (!from.outcome.empty()) {
    TRY(auto outcome, json::parse<Outcome>(from.outcome, "a run's outcome"));
    to.version = outcome.version;
    to.verdict = outcome.verdict;
  }
  to.failure = from.failure;
  to.fault = fault_of(from.failure);
  if (!from.inputs.empty()) {
    TRY(auto rows, loop::parse_job<loop::RowSet>(from.inputs));
    to.inputs = {{"dataset", std::format("{}@{}", rows.dataset, rows.version)}};
  }
  if (plan) {
    to.rule = plan->rule;
    to.data = data_of(*plan);
    to.code = code_of(*plan);
  }
  for (const auto& point : metrics) to.metrics[point.name] = point.value;  // in order of step: the last one stays
  for (const auto& event : events) {
    to.events.push_back(std::format("{} {} {} {}{}", format_time(event.at).substr(0, 19), event.what, event.worker,
                                    event.token > 0 ? std::format("token {} ", event.token) : "", event.note));
  }
  return to;
}

}  // namespace millrace::api
