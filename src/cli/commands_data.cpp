// status, apply, data, ingest.
#include <format>

#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/print.hpp"

namespace millrace::cli {

namespace {

DatasetName split_version(const std::string& text) {
  auto at = text.rfind('@');
  if (at == std::string::npos) return {text, ""};
  return {text.substr(0, at), text.substr(at + 1)};
}

Result<std::string> version_path(Client& client, const std::string& text, const std::string& at = "") {
  TRY(const auto name, dataset_version(client, text, at));
  return "/api/v1/datasets/" + percent_encoded(name.dataset) + "/versions/" + percent_encoded(name.number) +
         at_query(at);
}

std::string lines(const std::vector<std::string>& all, std::string_view before) {
  std::string out;
  for (const auto& line : all) out += std::string(before) + line + "\n";
  return out;
}

// A look back: the records of that moment, and the project file at the end.
std::string status_then(const api::Status& answer) {
  std::string out = std::format("at        {}\nproject   {}\n", short_time(answer.at), answer.project);
  for (const auto& model : answer.models) {
    out += "model     " + (model.current ? std::format("{}:{} was current", model.name, *model.current)
                                         : model.name + ": no version was current");
    if (model.test_value) out += std::format("   {} {} (test)", model.metric, short_number(*model.test_value));
    if (model.live_value)
      out += std::format("   {} {} live, {} rows", model.metric, short_number(*model.live_value),
                         with_thousands(model.live_rows));
    if (model.previous) out += std::format("   previous {}:{}", model.name, *model.previous);
    out += std::format("\n          data {}\n", model.data_age.empty() ? "none" : model.data_age + " old");
    out += lines(model.notes, "note      ");
  }
  if (answer.project_file) {
    const auto& file = *answer.project_file;
    out += std::format("file      version {} of the project file, applied {} by {}\n\n{}", file.number,
                       short_time(file.applied), file.by, file.text);
    if (!out.ends_with('\n')) out += '\n';
  }
  return out;
}

}  // namespace

std::string at_query(const std::string& at) { return at.empty() ? "" : "?at=" + percent_encoded(at); }

Result<Output> status(Client& client, const std::string& at, bool json) {
  TRY(auto answer, client.get<api::Status>("/api/v1/status" + at_query(at)));
  if (json) return Output{api::render(answer) + "\n"};
  if (!answer.at.empty()) return Output{status_then(answer)};
  std::string out =
      std::format("project   {}   {}   {}\n", answer.project, client.url(), answer.ready ? "ready" : "not ready");
  for (const auto& model : answer.models) {
    auto version = model.current ? std::format("{}:{}", model.name, *model.current) : model.name + ": no version yet";
    out += std::format("model     {:6}  {}", model.light, version);
    if (model.test_value) out += std::format("   {} {} (test)", model.metric, short_number(*model.test_value));
    if (model.live_value) {
      out += std::format("   {} {} [{}, {}] live, {} rows", model.metric, short_number(*model.live_value),
                         model.live_low ? short_number(*model.live_low) : "-",
                         model.live_high ? short_number(*model.live_high) : "-", with_thousands(model.live_rows));
    }
    const auto labels = model.labels_joined > 0
                            ? std::format("labels joined {}, waiting {}", with_thousands(model.labels_joined),
                                          with_thousands(model.labels_waiting))
                            : std::string("no labels yet");
    out += std::format("\n          requests {}   {}   data {} old", with_thousands(model.requests), labels,
                       model.data_age.empty() ? "-" : model.data_age);
    if (model.previous) out += std::format("   previous {}:{}", model.name, *model.previous);
    if (model.current && model.loaded != model.current) {
      out += std::format("\n          answering now: {}",
                         model.loaded ? std::format("{}:{}", model.name, *model.loaded) : "nothing");
    }
    out += "\n";
    if (!model.next_retrain.empty()) out += "retrain   " + model.next_retrain + "\n";
    out += lines(model.notes, "note      ");
  }
  out += lines(answer.running, "running   ");
  out += lines(answer.waiting, "waiting   ");
  return Output{out};
}

Result<Output> apply(Client& client, const std::string& project_text, bool dry_run, bool json) {
  TRY(auto answer, (client.post<api::ApplyAnswer>("/api/v1/project", api::ApplyRequest{project_text, dry_run})));
  if (json) return Output{api::render(answer) + "\n"};
  if (!answer.changed) return Output{"nothing to do: the project file is the one in use\n", 4};
  Table table({"what", "was", "becomes", "causes"});
  for (const auto& change : answer.changes) table.add({change.path, change.old_value, change.new_value, change.causes});
  auto out = table.empty() ? std::string() : table.text();
  out += lines(answer.notes, "note  ");
  out += dry_run ? "nothing was changed; to do it: millrace apply\n"
                 : std::format("applied: it is version {} of the project file\n", answer.number);
  return Output{out};
}

Result<Output> down(Client& client, const Waiting& waiting) {
  TRY_VOID(client.call("POST", "/api/v1/shutdown", "{}"));
  constexpr int looks_max = 600;  // about a minute
  for (int look = 0; look < looks_max; ++look) {
    auto answers = client.call("GET", "/healthz");
    if (!answers && answers.error().reason == "client.unreachable") return Output{"stopped\n"};
    if (!waiting.pause()) break;
  }
  return Output{"asked to stop; it still answers the requests in flight\n"};
}

Result<Output> show_loop(Client& client, bool json) {
  TRY(auto answer, client.get<api::LoopAnswer>("/api/v1/loop"));
  if (json) return Output{api::render(answer) + "\n"};
  Table table({"step", "how", "rule"});
  for (const auto& step : answer.steps) table.add({step.step, step.how, step.rule});
  return Output{table.text()};
}

Result<Output> data_ls(Client& client, const std::string& dataset, bool json) {
  TRY(auto answer,
      client.get<api::DatasetList>("/api/v1/datasets" + (dataset.empty() ? "" : "/" + percent_encoded(dataset))));
  if (json) return Output{api::render(answer) + "\n"};
  if (answer.versions.empty()) return Output{"no dataset versions yet; make one with: millrace ingest SOURCE\n"};
  Table table({"version", "rows", "parts", "bytes", "state", "created", "source"}, {false, true, true, true});
  for (const auto& v : answer.versions) {
    table.add({std::format("{}@{}", v.dataset, v.number), with_thousands(v.rows), std::to_string(v.parts),
               format_size(v.bytes), v.state_reason.empty() ? v.state : v.state + " (" + v.state_reason + ")",
               short_time(v.created), v.source});
  }
  return Output{table.text()};
}

Result<Output> data_show(Client& client, const std::string& version, const std::string& at, bool json) {
  TRY(auto path, version_path(client, version, at));
  TRY(auto v, client.get<api::DatasetVersion>(path));
  if (json) return Output{api::render(v) + "\n"};
  auto out = std::format("{}@{}   {} rows   {}   {}{}\nsource {}\nbytes  {}   made {} by {}\n", v.dataset, v.number,
                         with_thousands(v.rows), format_size(v.bytes), v.state,
                         v.state_reason.empty() ? "" : " (" + v.state_reason + ")", v.source, v.source_digest,
                         short_time(v.created), v.by);
  Table table({"column", "type", "nulls", "distinct", "min", "max", "mean", "role", "why"}, {false, false, true, true});
  for (const auto& c : v.columns) {
    table.add({c.name, c.type, with_thousands(c.nulls), with_thousands(c.distinct), c.min.substr(0, 24),
               c.max.substr(0, 24), c.mean ? short_number(*c.mean) : "", c.role, c.why});
  }
  out += table.text();
  for (const auto& check : v.checks) {
    if (check.level != "ok")
      out += std::format("check {:5}  {}  {}: {}\n", check.level, check.column, check.rule, check.message);
  }
  out += lines(v.notes, "note  ");
  return Output{out};
}

Result<Output> data_diff(Client& client, const std::string& one, const std::string& other, bool json) {
  TRY(auto path, version_path(client, one));
  auto number = split_version(other).number;
  if (number.empty()) number = other;
  TRY(auto answer, client.get<api::DiffAnswer>(path + "/diff?with=" + percent_encoded(number)));
  if (json) return Output{api::render(answer) + "\n"};
  return Output{lines(answer.lines, "")};
}

Result<Output> data_query(Client& client, const std::string& version, const std::string& sql, std::int64_t rows_max,
                          const Waiting& waiting, bool json) {
  TRY(auto path, version_path(client, version));
  TRY(auto job, (client.post<api::JobAnswer>(path + "/query", api::QueryRequest{sql, rows_max})));
  TRY(auto state, wait_for_job(client, job.job, waiting));
  TRY(auto answer, api::parse<api::QueryAnswer>(state.result));
  if (json) return Output{api::render(answer) + "\n"};
  std::vector<bool> right;
  std::vector<std::string> names;
  for (const auto& column : answer.columns) {
    names.push_back(column.name);
    right.push_back(column.type == "int64" || column.type == "float64");
  }
  Table table(names, right);
  for (auto& row : answer.rows) {
    std::vector<std::string> cells;
    for (auto& cell : row) cells.push_back(cell.value_or("null"));
    table.add(std::move(cells));
  }
  return Output{table.text() + (answer.more ? std::format("(the first {} rows; more with --rows)\n", rows_max) : "")};
}

Result<DatasetName> dataset_version(Client& client, const std::string& text, const std::string& at) {
  auto name = split_version(text);
  if (!name.number.empty()) return name;
  TRY(auto list, client.get<api::DatasetList>("/api/v1/datasets/" + percent_encoded(name.dataset) + at_query(at)));
  if (list.versions.empty()) {
    return fail(Code::not_found, "cli.no_dataset",
                at.empty() ? "dataset '" + name.dataset + "' has no version yet; see: millrace data ls"
                           : "dataset '" + name.dataset + "' had no version then (" + at + ")");
  }
  name.number = std::to_string(list.versions.front().number);
  return name;
}

Result<Output> data_checkout(Client& client, const std::string& version, const std::string& file, bool force,
                             const Waiting& waiting, bool json) {
  const auto format = file.ends_with(".csv") ? "csv" : file.ends_with(".parquet") ? "parquet" : "";
  if (*format == '\0') {
    return fail(Code::invalid_argument, "cli.bad_ending",
                std::format("'{}' ends neither in .csv nor in .parquet, which says the format", file));
  }
  TRY_VOID(client.may_write(file, force));  // before the work is done for nothing
  TRY(auto path, version_path(client, version));
  TRY(auto job, (client.post<api::JobAnswer>(path + "/checkout", api::CheckoutRequest{format})));
  TRY(auto state, wait_for_job(client, job.job, waiting));
  TRY(auto made, api::parse<api::CheckoutAnswer>(state.result));
  TRY(auto bytes, client.download("/api/v1/blobs/" + made.digest, file, force));
  (void)bytes;
  if (json) return Output{api::render(made) + "\n"};
  return Output{std::format("{}: {} rows, {}\n", file, with_thousands(made.rows), format_size(made.bytes))};
}

Result<Output> data_check(Client& client, const std::string& version, const Waiting& waiting, bool json) {
  TRY(auto path, version_path(client, version));
  TRY(auto job, (client.post<api::JobAnswer>(path + "/check", api::Empty{})));
  TRY(auto state, wait_for_job(client, job.job, waiting));
  TRY(auto report, api::parse<api::CheckAnswer>(state.result));
  const int exit_code = report.passed ? 0 : 2;
  if (json) return Output{api::render(report) + "\n", exit_code};
  if (report.lines.empty()) return Output{"the project file has no checks for it; add some: [check.NAME]\n"};
  Table table({"level", "column", "rule", "what"});
  for (const auto& line : report.lines) table.add({line.level, line.column, line.rule, line.message});
  return Output{table.text() + (report.passed ? "passed\n" : "failed\n"), exit_code};
}

Result<Output> data_accept(Client& client, const std::string& version, const std::string& reason, bool json) {
  TRY(auto path, version_path(client, version));
  TRY(auto answer, (client.post<api::DatasetVersion>(path + "/accept", api::AcceptRequest{reason})));
  if (json) return Output{api::render(answer) + "\n"};
  return Output{std::format("{}@{} may now be trained on: {}\n", answer.dataset, answer.number, answer.state_reason)};
}

Result<Output> ingest(Client& client, const std::string& source, const std::string& file, const Waiting& waiting,
                      bool json) {
  auto newest = [&]() -> Result<std::optional<api::DatasetVersion>> {
    TRY(auto list, client.get<api::DatasetList>("/api/v1/datasets/" + percent_encoded(source)));
    return list.versions.empty() ? std::nullopt : std::optional(std::move(list.versions.front()));
  };
  TRY(const auto before, newest());
  api::JobAnswer job;
  if (file.empty()) {
    auto posted = client.post<api::JobAnswer>("/api/v1/ingest", api::IngestRequest{source});
    if (!posted && posted.error().reason == "loop.nothing_to_roll") return Output{posted.error().message + "\n", 4};
    TRY(job, std::move(posted));
  } else {
    TRY(auto body, client.upload("/api/v1/datasets/" + percent_encoded(source) +
                                     "/upload?name=" + percent_encoded(file.substr(file.rfind('/') + 1)),
                                 file));
    TRY(job, api::parse<api::JobAnswer>(body));
  }
  if (waiting.detach) return Output{json ? api::render(job) + "\n" : "job " + job.job + "\n"};
  TRY(auto state, wait_for_job(client, job.job, waiting));
  if (json) return Output{state.result + "\n"};
  TRY(const auto after, newest());
  if (!after) return Output{"read\n"};
  auto name = std::format("{}@{}", after->dataset, after->number);
  if (before && before->number == after->number)
    return Output{std::format("nothing new: {} has these bytes already\n", name), 4};
  auto out = std::format("{}   {} rows   {}{}\n", name, with_thousands(after->rows), after->state,
                         after->state_reason.empty() ? "" : " (" + after->state_reason + ")");
  return Output{out + lines(after->notes, "note  ") + "  next  millrace data show " + name + "\n"};
}

}  // namespace millrace::cli
