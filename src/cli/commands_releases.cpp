// releases: how versions came to serve.
#include <format>

#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/print.hpp"

namespace millrace::cli {

namespace {

std::string release_step_text(const api::Release& one) {
  if (one.steps.empty()) return "-";
  const auto at = static_cast<std::size_t>(one.step - 1);
  const auto step = at < one.steps.size() ? one.steps[at] : one.steps.back();
  return one.steps.size() == 1 ? step : std::format("{} ({} of {})", step, one.step, one.steps.size());
}

std::string failed_text(std::int64_t failed, std::int64_t of) { return std::format("{} of {}", failed, of); }

std::string ended_text(const api::Release& one, const std::string& predictor, const std::string& name,
                       const std::string& at, const std::vector<api::ReleaseRequest>& requests) {
  auto out = std::format("\n{}:{} ended {} with {} at {}; it is not loaded again by itself\n", one.model, one.candidate,
                         predictor.empty() ? "the server" : "predictor " + predictor, name, short_time(at));
  for (const auto& request : requests)
    out += std::format("  {}   {}   {}:{}   {} {}   {}\n", request.prediction, short_time(request.at), one.model,
                       request.version, request.rows, request.rows == 1 ? "row" : "rows",
                       request.answered ? "answered" : "was being computed");
  return out;
}

std::string death_lines(const api::Release& one) {
  if (!one.death) return "";
  const auto& death = *one.death;
  auto out = ended_text(one, death.predictor, death.name, death.at, death.last_requests);
  for (const auto& other : death.others)
    out += ended_text(one, other.predictor, other.name, other.at, other.last_requests);
  return out +
         std::format("  next    millrace promote {}:{} --reason \"...\"   to try it again\n", one.model, death.version);
}

}  // namespace

Result<Output> releases(Client& client, const std::string& model, int limit, bool json) {
  auto name = model;
  if (name.empty()) {
    TRY(const auto status, client.get<api::Status>("/api/v1/status"));
    name = status.project;
  }
  TRY(const auto list,
      client.get<api::ReleaseList>(std::format("/api/v1/models/{}/releases?limit={}", percent_encoded(name), limit)));
  if (json) return Output{api::render(list) + "\n"};
  if (list.releases.empty()) return Output{"no release yet\n"};
  Table table({"release", "version", "before", "step", "since", "outcome", "failed", "before", "why"});
  std::string deaths;
  for (const auto& one : list.releases) {
    table.add({one.id, std::format("{}:{}", one.model, one.candidate),
               one.previous ? std::to_string(*one.previous) : "-", release_step_text(one), short_time(one.since),
               one.outcome, failed_text(one.candidate_failed, one.candidate_requests),
               failed_text(one.previous_failed, one.previous_requests), one.why});
    deaths += death_lines(one);
  }
  return Output{table.text() + deaths};
}

}  // namespace millrace::cli
