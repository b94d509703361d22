// runs: ls, show, logs, cancel.
#include <format>

#include "base/clock.hpp"
#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/print.hpp"

namespace millrace::cli {

namespace {

std::string short_digest(const std::string& digest) { return digest.substr(0, 12); }

std::string seconds_text(double seconds) {
  return seconds < 60 ? std::format("{:.3g} s", seconds)
                      : format_duration(std::chrono::seconds(static_cast<std::int64_t>(seconds)));
}

std::string data_text(const api::RunData& data) {
  auto out =
      std::format("data     {}@{}, read {}: {} rows in {} {}\n", data.dataset, data.version, short_time(data.read),
                  data.rows, data.parts.size(), data.parts.size() == 1 ? "part" : "parts");
  if (data.feedback_rows > 0) {
    out += std::format("         and {} labelled predictions", data.feedback_rows);
    if (data.first && data.last) out += std::format(" of {} to {}", short_time(*data.first), short_time(*data.last));
    out += std::format(", labels up to number {}\n", data.labels_seq);
  }
  if (!data.digest.empty()) out += "         digest " + short_digest(data.digest) + "\n";
  return out;
}

std::string code_text(const api::RunCode& code) {
  auto out = std::format("project  number {}, kept as {}\n", code.project_number, short_digest(code.project_file));
  if (!code.command.empty()) out += "command  " + printable(code.command) + "\n";
  for (const auto& file : code.files)
    out += std::format("file     {}   {}, kept as {}\n", printable(file.path), format_size(file.bytes),
                       short_digest(file.digest));
  if (!code.git_commit.empty())
    out += std::format("git      {}{}\n", short_digest(code.git_commit),
                       code.git_diff.empty() ? "" : ", and a diff kept as " + short_digest(code.git_diff));
  if (!code.git_note.empty()) out += "git      " + code.git_note + "\n";
  return out;
}

std::string used_text(const std::map<std::string, double>& used) {
  const auto number = [&](const char* name) {
    const auto found = used.find(name);
    return found == used.end() ? 0.0 : found->second;
  };
  if (!used.contains("wall_seconds")) return "";
  return std::format("used     {}, {} of processor time, after {} in the queue; {} of memory at most; {} read\n",
                     seconds_text(number("wall_seconds")), seconds_text(number("cpu_seconds")),
                     seconds_text(number("queue_seconds")),
                     format_size(static_cast<long long>(number("memory_bytes_peak"))),
                     format_size(static_cast<long long>(number("bytes_read"))));
}

}  // namespace

Result<Output> runs_ls(Client& client, int limit, bool json) {
  TRY(auto answer, client.get<api::RunList>("/api/v1/runs?limit=" + std::to_string(limit)));
  if (json) return Output{api::render(answer) + "\n"};
  if (answer.runs.empty()) return Output{"no runs yet; start one with: millrace train\n"};
  Table table({"run", "kind", "state", "version", "verdict", "created", "cause"});
  for (const auto& run : answer.runs) {
    table.add({run.id, run.kind, run.state, run.version, run.verdict, short_time(run.created),
               run.failure.empty() ? run.cause : run.failure});
  }
  return Output{table.text()};
}

Result<Output> runs_show(Client& client, const std::string& id, bool json) {
  TRY(auto run, client.get<api::Run>("/api/v1/runs/" + percent_encoded(id)));
  if (json) return Output{api::render(run) + "\n"};
  auto out = std::format("run      {}   {} {}\ncause    {}\n", run.id, run.kind, run.state, run.cause);
  if (!run.rule.empty() && run.rule != run.cause) out += "rule     " + run.rule + "\n";
  out += "created  " + short_time(run.created) + "\n";
  if (run.started) out += "started  " + short_time(*run.started) + "\n";
  if (run.ended) out += "ended    " + short_time(*run.ended) + "\n";
  if (!run.version.empty()) out += std::format("version  {}   {}\n", run.version, run.verdict);
  if (run.fault) {
    out += std::format("failure  {}: {}\n", run.fault->cause, printable(run.fault->what));
    if (!run.fault->where.empty()) out += "where    " + printable(run.fault->where) + "\n";
    if (!run.fault->next.empty()) out += "next     " + printable(run.fault->next) + "\n";
    out += std::format("printed  millrace runs logs {}\n", run.id);
  } else if (!run.failure.empty()) {
    out += "failure  " + printable(run.failure) + "\n";
  }
  if (run.data) out += data_text(*run.data);
  if (run.code) out += code_text(*run.code);
  out += used_text(run.resources);
  for (const auto& [name, text] : run.limits) out += std::format("limit    {}: {}\n", name, text);
  for (const auto& [name, value] : run.metrics) {
    if (name == "memory_bytes" || name == "rows_per_s") continue;  // told as what was used
    out += std::format("metric   {} {}\n", name, short_number(value));
  }
  for (const auto& [name, value] : run.inputs) {
    const bool told = run.data && (name == "dataset" || name == "data digest" || name == "project file");
    if (!told) out += std::format("input    {} = {}\n", name, value);
  }
  for (const auto& [name, value] : run.params) out += std::format("param    {} = {}\n", name, value);
  for (const auto& line : condensed(run.events)) out += "event    " + line + "\n";
  return Output{out};
}

Result<Output> runs_logs(Client& client, const std::string& id, const Waiting& follow) {
  const auto path = "/api/v1/runs/" + percent_encoded(id);
  if (!follow.progress) {
    TRY(auto text, client.call("GET", path + "/logs"));
    return Output{printable(text)};
  }
  std::string pending;
  for (std::size_t from = 0;;) {
    TRY(const auto run, client.get<api::Run>(path));  // before the text: what is printed after its end is none of it
    TRY(auto text, client.call("GET", std::format("{}/logs?from={}", path, from)));
    from += text.size();
    pending += text;
    for (auto end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
      follow.progress(printable(pending.substr(0, end)));
      pending.erase(0, end + 1);
    }
    if (run.ended && text.empty()) return Output{pending.empty() ? "" : printable(pending) + "\n"};
    if (!text.empty()) continue;
    if (!follow.pause()) return Output{};
  }
}

Result<Output> runs_cancel(Client& client, const std::string& id, bool json) {
  TRY_VOID(client.call("POST", "/api/v1/runs/" + percent_encoded(id) + "/cancel", "{}"));
  if (json) return Output{"{}\n"};
  return Output{"asked to stop; see: millrace runs show " + id + "\n"};
}

}  // namespace millrace::cli
