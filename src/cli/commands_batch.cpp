// millrace batch: a model's answers for whole tables.
#include <charconv>
#include <format>

#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/print.hpp"

namespace millrace::cli {

namespace {

Result<std::string> version_to_ask(Client& client, const std::string& text) {
  if (text.find(':') != std::string::npos) {
    TRY(const auto name, split_name(client, text, ""));
    return std::format("/api/v1/models/{}/versions/{}", percent_encoded(name.model), percent_encoded(name.number));
  }
  TRY(const auto name, only_model(client, text));
  TRY(const auto model, client.get<api::Model>(std::format("/api/v1/models/{}?limit=1", percent_encoded(name))));
  if (!model.current) {
    return fail(Code::failed_precondition, "cli.no_current",
                std::format("no version of '{}' takes traffic yet; name one: millrace batch {}:N ...", name, name));
  }
  return std::format("/api/v1/models/{}/versions/{}", percent_encoded(name), *model.current);
}

std::string state_text(const api::BatchRun& run) {
  return run.state == "writing" && !run.message.empty() ? "not written" : run.state;
}

Result<Output> list_of_batches(Client& client, bool json) {
  TRY(const auto list, client.get<api::BatchList>("/api/v1/batches"));
  if (json) return Output{api::render(list) + "\n"};
  if (list.batches.empty()) return Output{"the project file has no [batch.NAME]\n"};
  Table table({"batch", "model", "schedule", "next", "last", "state", "rows", "answers"},
              {false, false, false, false, false, false, true, false});
  std::string notes;
  for (const auto& one : list.batches) {
    const auto next = one.next ? short_time(*one.next) : "by hand";
    if (one.runs.empty()) {
      table.add({one.name, one.model, one.schedule, next, "-", "-", "", one.out});
    } else {
      const auto& last = one.runs.front();
      table.add({one.name, last.model, one.schedule, next, short_time(last.due.value_or(last.begun)), state_text(last),
                 last.result ? with_thousands(last.result->rows) : "", printable(last.out)});
      if (!last.message.empty()) notes += std::format("{}: {}\n", one.name, printable(last.message));
    }
    if (!one.waits.empty()) notes += std::format("{}: {}\n", one.name, one.waits);
  }
  return Output{table.text() + notes};
}

// Over when its answers are where they belong, or can't be put there.
Result<Output> run_of_batch(Client& client, const std::string& name, const Waiting& waiting, bool json) {
  TRY(const auto job,
      (client.post<api::JobAnswer>(std::format("/api/v1/batches/{}/run", percent_encoded(name)), api::Empty{})));
  TRY(const auto state, wait_for_job(client, job.job, waiting));
  (void)state;
  for (;;) {
    TRY(const auto list, client.get<api::BatchList>("/api/v1/batches"));
    const api::BatchRun* run = nullptr;
    for (const auto& batch : list.batches) {
      for (const auto& one : batch.runs) {
        if (one.job == job.job) run = &one;
      }
    }
    if (!run)
      return fail(Code::not_found, "cli.no_batch", std::format("[batch.{}] is gone from the project file", name));
    if (run->state == "writing" && run->message.empty() && waiting.pause()) continue;
    if (run->state != "done") {
      return fail(
          Code::failed_precondition, "loop.batch_not_written",
          run->message.empty() ? "not waited for the answers to be written: millrace batch list" : run->message);
    }
    if (json) return Output{api::render(*run) + "\n"};
    auto out = std::format("{}: {} rows; {} on {}\n", printable(run->out), with_thousands(run->result->rows),
                           run->result->model, printable(run->result->data));
    if (run->result->unseen > 0)
      out +=
          std::format("{} values are of categories that training had not seen\n", with_thousands(run->result->unseen));
    return Output{std::move(out)};
  }
}

}  // namespace

Result<Output> batch(Client& client, const BatchOptions& options, const Waiting& waiting, bool json) {
  const bool of_rows = !options.file.empty() || !options.dataset.empty() || !options.to.empty();
  if (!of_rows && options.model == "list" && options.name.empty()) return list_of_batches(client, json);
  if (!of_rows && options.model == "run" && !options.name.empty())
    return run_of_batch(client, options.name, waiting, json);
  if (!options.name.empty()) {
    return fail(Code::invalid_argument, "cli.bad_option",
                std::format("'{}' is one word too many; of the project file: millrace batch run NAME, millrace batch "
                            "list; else: millrace batch MODEL --in FILE --out FILE",
                            options.name));
  }
  if (options.to.empty())
    return fail(Code::invalid_argument, "cli.bad_option", "say where the answers go: --out FILE.parquet or FILE.csv");
  const auto& to = options.to;
  const auto format = to.ends_with(".csv") ? "csv" : to.ends_with(".parquet") ? "parquet" : "";
  if (*format == '\0') {
    return fail(Code::invalid_argument, "cli.bad_ending",
                std::format("'{}' ends neither in .csv nor in .parquet, which says the format", to));
  }
  if (options.file.empty() == options.dataset.empty()) {
    return fail(Code::invalid_argument, "cli.bad_option", "say which rows: --in FILE, or --data DATASET or DATASET@N");
  }
  TRY_VOID(client.may_write(to, options.force));  // before the work is done for nothing
  TRY(const auto path, version_to_ask(client, options.model));
  api::JobAnswer job;
  if (!options.file.empty()) {
    TRY(const auto body,
        client.upload(std::format("{}/batch/upload?name={}&format={}", path,
                                  percent_encoded(options.file.substr(options.file.rfind('/') + 1)), format),
                      options.file));
    TRY(job, api::parse<api::JobAnswer>(body));
  } else {
    TRY(const auto version, dataset_version(client, options.dataset, ""));
    std::int64_t number = 0;
    const auto& text = version.number;
    if (std::from_chars(text.data(), text.data() + text.size(), number).ptr != text.data() + text.size()) {
      return fail(Code::invalid_argument, "cli.bad_version",
                  std::format("'{}' is no dataset version: write NAME or NAME@NUMBER", options.dataset));
    }
    TRY(job, (client.post<api::JobAnswer>(path + "/batch", api::BatchRequest{version.dataset, number, format})));
  }
  TRY(const auto state, wait_for_job(client, job.job, waiting));
  TRY(const auto made, api::parse<api::BatchAnswer>(state.result));
  TRY(const auto bytes, client.download("/api/v1/blobs/" + made.output.digest, to, options.force));
  if (json) return Output{api::render(made) + "\n"};
  auto out = std::format("{}: {} rows, {}; {} on {}\n", to, with_thousands(made.rows),
                         format_size(static_cast<std::int64_t>(bytes)), made.model, made.data);
  if (made.unseen > 0)
    out += std::format("{} values are of categories that training had not seen\n", with_thousands(made.unseen));
  return Output{std::move(out)};
}

}  // namespace millrace::cli
