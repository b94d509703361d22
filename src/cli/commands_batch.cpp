// millrace batch: a model's answers for whole tables.
#include <charconv>
#include <format>

#include "cli/commands.hpp"

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

}  // namespace

Result<Output> batch(Client& client, const BatchOptions& options, const Waiting& waiting, bool json) {
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
