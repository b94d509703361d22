// runs: diff, resume, repeat, follow.
#include <algorithm>
#include <format>

#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/print.hpp"

namespace millrace::cli {

namespace {

std::string run_path(const std::string& run) { return "/api/v1/runs/" + percent_encoded(run); }

bool over(const std::string& state) { return state == "finished" || state == "failed" || state == "cancelled"; }

// As the run ended: 0, 2 when its gates refused it, 1 when it failed.
int exit_code_of(const std::string& state, const std::string& verdict) {
  if (state != "finished") return 1;
  return verdict == "failed" ? 2 : 0;
}

std::string progress_line(const api::RunProgress& now) {
  auto line = std::format("run {} {}", now.run.substr(0, 10), now.state);
  if (!now.step.empty()) line += "  " + now.step;
  if (now.done >= 0) line += std::format(" {:.0f} %", now.done * 100);
  if (now.round > 0) line += std::format("  {} {}", now.phase == "train" ? "round" : "at", with_thousands(now.round));
  for (const auto& metric : now.metrics) line += std::format("  {} {}", metric.name, short_number(metric.value));
  if (now.rows_per_second)
    line += std::format("  {} rows/s", with_thousands(static_cast<std::int64_t>(*now.rows_per_second)));
  if (now.memory_bytes > 0) line += "  " + format_size(now.memory_bytes);
  if (!now.note.empty()) line += "  (" + now.note + ")";
  return line;
}

Result<Output> ended(Client& client, const api::RunProgress& last) {
  const int exit_code = exit_code_of(last.state, last.verdict);
  if (last.state != "finished") {
    return Output{std::format("run {} {}: {}\n  next  millrace runs logs {}\n        millrace runs resume {}\n",
                              last.run, last.state, last.failure, last.run, last.run),
                  exit_code};
  }
  if (last.version.empty()) return Output{std::format("run {} finished\n", last.run), exit_code};
  TRY(auto shown, models_show(client, last.version, "", false));
  TRY(auto name, split_name(client, last.version));
  TRY(auto model, client.get<api::Model>("/api/v1/models/" + percent_encoded(name.model)));
  if (last.verdict != "failed" && model.current != std::stoll(name.number)) {
    shown.text += model.current
                      ? std::format("answers  {}:{} still; to let this one: millrace promote {}\n", name.model,
                                    *model.current, last.version)
                      : std::format("answers  nothing yet; to let this one: millrace promote {}\n", last.version);
  }
  return Output{shown.text, exit_code};
}

}  // namespace

Result<Output> runs_diff(Client& client, const std::string& one, const std::string& other, bool json) {
  TRY(auto answer, client.get<api::Difference>(run_path(one) + "/diff?with=" + percent_encoded(other)));
  if (json) return Output{api::render(answer) + "\n"};
  return Output{difference_text(answer)};
}

Result<Output> runs_follow(Client& client, const std::string& run, const Waiting& waiting, const Following& following,
                           bool json) {
  constexpr int looks_max = 300;  // while the server is away: about half a minute
  api::RunProgress last;
  std::string said;
  auto take = [&](const std::string& line) -> Result<void> {
    TRY(last, api::parse<api::RunProgress>(line));
    if (line == said) return {};  // told again after the server was away
    said = line;
    if (json && following.out) following.out(line + "\n");
    if (!json && waiting.progress) waiting.progress(progress_line(last));
    return {};
  };
  bool interrupted = false;
  auto stopped = [&] { return interrupted = interrupted || !waiting.pause(); };
  for (int away = 0; !over(last.state);) {
    const auto before = said;
    auto done = client.follow(run_path(run) + "/follow", take, stopped);
    if (interrupted) {
      return fail(Code::cancelled, "client.interrupted",
                  "stopped following; the run goes on: millrace runs show " + run);
    }
    if (done && over(last.state)) break;
    if (!done && done.error().code != Code::unavailable && done.error().code != Code::deadline_exceeded)
      return fail(done.error());
    // Broken off: the server may be on its way back, perhaps on another port.
    away = said == before ? away + 1 : 1;
    if (away > looks_max) {
      return done ? fail(Code::unavailable, "client.unreachable", "the server ended the stream before the run was over")
                  : fail(done.error());
    }
    if (away == 1 && waiting.progress && !json) waiting.progress("the server is away; looking for it again");
    if (stopped()) continue;
    if (following.find_again) (void)following.find_again(client);
  }
  if (json) return Output{"", exit_code_of(last.state, last.verdict)};
  return ended(client, last);
}

Result<Output> runs_again(Client& client, const std::string& how, const std::string& id, const Waiting& waiting,
                          bool json) {
  TRY(auto first, client.get<api::Run>(run_path(id)));
  TRY(auto job, (client.post<api::JobAnswer>(run_path(first.id) + "/" + how, api::Empty{})));
  if (waiting.detach) return Output{json ? api::render(job) + "\n" : "run " + job.run + "\n"};
  auto progress = waiting;
  if (json) progress.progress = {};
  TRY(auto shown, runs_follow(client, job.run, progress, {}, false));
  TRY(auto run, client.get<api::Run>(run_path(job.run)));
  auto out = std::format("run {} {} run {}\n", run.id, how == "resume" ? "went on from" : "repeated", first.id);
  // Were the same bytes made? Only a first run that has a version can tell.
  if (how == "repeat" && !first.version.empty() && !run.version.empty()) {
    auto artifact = [&](const std::string& version) -> Result<std::string> {
      TRY(auto name, split_name(client, version));
      TRY(auto v,
          client.get<api::ModelVersion>("/api/v1/models/" + percent_encoded(name.model) + "/versions/" + name.number));
      return v.artifact;
    };
    TRY(auto was, artifact(first.version));
    TRY(auto is, artifact(run.version));
    out += was == is ? std::format("identical: {} has the same bytes as {}, {}\n", run.version, first.version, is)
                     : std::format(
                           "different: {} has {}, {} has {} (bytes are only equal under one build and for the "
                           "same command files)\n",
                           run.version, is, first.version, was);
    if (was != is) shown.exit_code = std::max(shown.exit_code, 1);
  }
  if (json) return Output{api::render(run) + "\n", shown.exit_code};
  return Output{out + shown.text, shown.exit_code};
}

}  // namespace millrace::cli
