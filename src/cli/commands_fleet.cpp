// predictors: who serves on other machines, and by which wish.
#include <format>

#include "api/native/wire_fleet.hpp"
#include "cli/commands.hpp"
#include "cli/print.hpp"

namespace millrace::cli {

namespace {

std::string models_text(const api::Predictor& one) {
  std::string out;
  for (const auto& model : one.models) {
    if (!out.empty()) out += ", ";
    out += model.serving ? std::format("{}:{}", model.name, *model.serving) : model.name + ":-";
    std::string others;
    for (const auto& version : model.versions) {
      if (version.loaded && version.version != model.serving)
        others += std::format("{}{}", others.empty() ? "" : " ", version.version);
    }
    if (!others.empty()) out += " (" + others + ")";
  }
  return out.empty() ? "-" : out;
}

std::string ago_text(double seconds) {
  if (seconds < 120) return std::format("{:.0f}s ago", seconds);
  if (seconds < 7200) return std::format("{:.0f}m ago", seconds / 60);
  return seconds < 172800 ? std::format("{:.0f}h ago", seconds / 3600) : std::format("{:.0f}d ago", seconds / 86400);
}

std::string state_text(const api::Predictor& one) {
  if (!one.connected) return "not heard of";
  if (!one.reached) return "behind";
  return one.ready ? "serves" : "not ready";
}

}  // namespace

Result<Output> predictors(Client& client, bool json) {
  TRY(const auto list, client.get<api::PredictorList>("/api/v1/predictors"));
  if (json) return Output{api::render(list) + "\n"};
  if (list.predictors.empty())
    return Output{std::format("no predictor yet; on another machine: millrace predictor --admin {}\n", client.url())};
  Table table({"predictor", "address", "state", "wish", "models", "heard", "unshipped"});
  std::string notes;
  for (const auto& one : list.predictors) {
    table.add({one.name, one.address, state_text(one), std::to_string(one.wish), models_text(one),
               ago_text(one.heard_seconds_ago), std::format("{}", one.unshipped_bytes)});
    if (const auto& death = one.death)
      notes += std::format(
          "{}: {}:{} ended it with {} at {}, and is not loaded there again by itself; millrace releases {}\n", one.name,
          death->model, death->version, death->name, short_time(death->at), death->model);
    if (!one.connected) continue;
    for (const auto& model : one.models) {
      if (!model.error.empty()) notes += std::format("{}: {}\n", one.name, model.error);
    }
    if (!one.trouble.empty()) notes += std::format("{}: {}\n", one.name, one.trouble);
  }
  std::string behind;
  for (const auto& name : list.not_reached) behind += (behind.empty() ? "" : ", ") + name;
  return Output{std::format("newest wish {}{}\n{}{}", list.wish, behind.empty() ? "" : "; not reached by " + behind,
                            table.text(), notes)};
}

}  // namespace millrace::cli
