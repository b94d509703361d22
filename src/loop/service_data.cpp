// Questions about a version's rows: jobs that store nothing in the records.
#include <algorithm>
#include <format>

#include "data/checkout.hpp"
#include "data/query.hpp"
#include "loop/service.hpp"

namespace millrace::loop {

Result<std::string> Service::ask(
    std::string_view kind, const std::string& dataset, std::int64_t number, Duration timeout,
    const std::function<Result<std::string>(meta::Reader&, const data::DatasetVersion&)>& input) {
  TRY(auto id, store_.write([&](meta::Tx& tx) -> Result<std::string> {
    TRY(auto version, data::get_version(tx, dataset, number));
    TRY_VOID(data::check_readable(tx, version));
    flow::NewJob job;
    job.kind = kind;
    job.key = ids_.make().text();
    TRY(job.input, input(tx, version));
    job.cause = "by hand";
    job.priority = 20;
    job.attempts_max = 1;
    job.timeout = timeout;
    return jobs_.enqueue(tx, job);
  }));
  changed();
  return id;
}

Result<std::string> Service::query(const std::string& dataset, std::int64_t number, const std::string& sql,
                                   std::int64_t rows_max) {
  auto project = this->project();
  return ask(job_kind::query, dataset, number, std::chrono::minutes(2),
             [&](meta::Reader&, const data::DatasetVersion& version) -> Result<std::string> {
               data::QueryInput query{sql, rows_max, version.content.parts, version.content.schema, {}};
               if (project) {
                 for (const auto& name : sensitive_columns(*project, dataset)) query.masked.push_back(name);
               }
               return data::render(query);
             });
}

Result<std::string> Service::checkout(const std::string& dataset, std::int64_t number, const std::string& format) {
  if (format != "csv" && format != "parquet") {
    return millrace::fail(Code::invalid_argument, "loop.bad_format",
                          "a checkout is csv or parquet, not '" + format + "'");
  }
  auto project = this->project();
  return ask(job_kind::checkout, dataset, number, std::chrono::hours(6),
             [&](meta::Reader&, const data::DatasetVersion& version) -> Result<std::string> {
               data::CheckoutInput input{format, version.content.parts, version.content.schema, {}};
               if (project) {
                 for (const auto& name : sensitive_columns(*project, dataset)) input.masked.push_back(name);
               }
               return data::render(input);
             });
}

Result<std::string> Service::check(const std::string& dataset, std::int64_t number) {
  auto project = this->project();
  const auto* source = project ? project->source(dataset) : nullptr;
  if (!source) {
    return millrace::fail(Code::not_found, "loop.no_source",
                          "the project has no source '" + dataset + "', so nothing says what to check");
  }
  const auto asked = read_input(*source, *project);
  return ask(job_kind::check, dataset, number, std::chrono::hours(1),
             [&](meta::Reader& reader, const data::DatasetVersion& version) -> Result<std::string> {
               data::CheckInput input;
               input.parts = version.content.parts;
               input.schema = version.content.schema;
               input.checks = asked.checks;
               input.key = asked.key;
               const bool news = std::ranges::any_of(asked.checks.columns,
                                                     [](const auto& column) { return column.new_values != "allow"; });
               if (version.content.mode == "append") {
                 input.known_parts = std::ssize(input.parts) - version.content.new_parts;
               } else if (news && version.parent > 0) {
                 TRY(auto before, data::get_version(reader, dataset, version.parent));
                 input.replaced_parts = before.content.parts;
               }
               return data::render(input);
             });
}

Result<BatchJob> Service::batch_of(meta::Reader& reader, const std::string& model, std::int64_t number,
                                   const std::string& format) {
  if (format != "csv" && format != "parquet") {
    return millrace::fail(Code::invalid_argument, "loop.bad_format", "a batch is csv or parquet, not '" + format + "'");
  }
  TRY(const auto version, registry::get_version(reader, model, number));
  if (!version.bytes_kept) {
    return millrace::fail(Code::failed_precondition, "registry.bytes_gone",
                          std::format("the file of {}:{} is gone by [retention] models", model, number));
  }
  BatchJob job;
  job.model = std::format("{}:{}", model, number);
  job.artifact = {version.artifact, version.bytes};
  job.format = format;
  return job;
}

// It takes up again what an attempt before it had done, so it may have several.
Result<std::string> Service::enqueue_batch(meta::Tx& tx, const BatchJob& batch) {
  flow::NewJob job;
  job.kind = job_kind::batch;
  job.key = ids_.make().text();
  job.input = render_job(batch);
  job.cause = "by hand";
  job.priority = 10;
  job.attempts_max = 5;
  job.timeout = std::chrono::days(2);
  return jobs_.enqueue(tx, job);
}

Result<std::string> Service::batch(const std::string& model, std::int64_t number, const BatchFile& file,
                                   const std::string& format) {
  TRY(auto id, store_.write([&](meta::Tx& tx) -> Result<std::string> {
    TRY(auto job, batch_of(tx, model, number, format));
    job.data = std::format("{}@{}", file.name, file.blob.hex().substr(0, 16));
    job.file.digest = file.blob.hex();
    return enqueue_batch(tx, job);
  }));
  changed();
  return id;
}

Result<std::string> Service::batch(const std::string& model, std::int64_t number, const std::string& dataset,
                                   std::int64_t dataset_version, const std::string& format) {
  const auto project = this->project();
  TRY(auto id, store_.write([&](meta::Tx& tx) -> Result<std::string> {
    TRY(auto job, batch_of(tx, model, number, format));
    TRY(auto version, data::get_version(tx, dataset, dataset_version));
    TRY_VOID(data::check_readable(tx, version));
    job.data = std::format("{}@{}", dataset, dataset_version);
    job.parts = version.content.parts;
    job.schema = version.content.schema;
    if (project) {
      for (const auto& name : sensitive_columns(*project, dataset)) job.masked.push_back(name);
    }
    return enqueue_batch(tx, job);
  }));
  changed();
  return id;
}

}  // namespace millrace::loop
