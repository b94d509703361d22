// The commands that talk to a server: each asks the native API and returns what to print. `json`: the API's own answer.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "cli/client.hpp"

namespace millrace::cli {

// What a command prints and how it ends (0 ok, 1 error, 2 gate failed, 3 waiting for approval,
// 4 nothing to do).
struct Output {
  std::string text;
  int exit_code = 0;
};

// Called while a command waits, with one line of progress; may be empty.
using OnProgress = std::function<void(const std::string& line)>;
// Waits a moment between two looks at a job; false when the person pressed Ctrl-C.
using Pause = std::function<bool()>;

struct Waiting {
  OnProgress progress;
  Pause pause;
  bool detach = false;  // do not wait for the job
};

// `at` of these three: a moment to look back at, as the person wrote it; "": now.
Result<Output> status(Client& client, const std::string& at, bool json);
Result<Output> apply(Client& client, const std::string& project_text, bool dry_run, bool json);
Result<Output> down(Client& client, const Waiting& waiting);  // returns when it answers no more
Result<Output> show_loop(Client& client, bool json);

Result<Output> predictors(Client& client, bool json);

Result<Output> data_ls(Client& client, const std::string& dataset, bool json);
// "customers@2"; without number: the newest.
struct DatasetName {
  std::string dataset, number;
};
Result<DatasetName> dataset_version(Client& client, const std::string& text, const std::string& at);
Result<Output> data_show(Client& client, const std::string& version, const std::string& at, bool json);
Result<Output> data_diff(Client& client, const std::string& one, const std::string& other, bool json);
Result<Output> data_query(Client& client, const std::string& version, const std::string& sql, std::int64_t rows_max,
                          const Waiting& waiting, bool json);
// The file's ending says the format: .csv or .parquet.
Result<Output> data_checkout(Client& client, const std::string& version, const std::string& file, bool force,
                             const Waiting& waiting, bool json);
Result<Output> data_check(Client& client, const std::string& version, const Waiting& waiting, bool json);
Result<Output> data_accept(Client& client, const std::string& version, const std::string& reason, bool json);
Result<Output> ingest(Client& client, const std::string& source, const std::string& file, const Waiting& waiting,
                      bool json);

struct BatchOptions {
  std::string name;           // of a [batch.NAME], with model "run"
  std::string model;          // NAME: what takes traffic, or NAME:N; "" where there is one model
  std::string file, dataset;  // one of them
  std::string to;             // the ending says the format: .csv or .parquet
  bool force = false;
};
Result<Output> batch(Client& client, const BatchOptions& options, const Waiting& waiting, bool json);

struct TrainOptions {
  bool quick = false;
  bool shuffle_target = false;
  std::string reason;
};
Result<Output> train(Client& client, const TrainOptions& options, const Waiting& waiting, bool json);
Result<Output> runs_ls(Client& client, int limit, bool json);
Result<Output> runs_show(Client& client, const std::string& run, bool json);
// With `follow.progress`: each line as it is printed, until the run is over; else what there is.
Result<Output> runs_logs(Client& client, const std::string& run, const Waiting& follow);
Result<Output> runs_cancel(Client& client, const std::string& run, bool json);
// `model` empty: of each the newest; else the newest `max` of that one.
Result<Output> models_ls(Client& client, const std::string& model, int max, bool json);
Result<Output> models_show(Client& client, const std::string& version, const std::string& at, bool json);
Result<Output> models_rebuild(Client& client, const std::string& version, const Waiting& waiting, bool json);
Result<Output> runs_diff(Client& client, const std::string& one, const std::string& other, bool json);
// `how`: resume or repeat.
Result<Output> runs_again(Client& client, const std::string& how, const std::string& run, const Waiting& waiting,
                          bool json);
// What a live view needs besides: where lines of JSON go as they come, and how the server is found again after it was
// gone.
struct Following {
  std::function<void(const std::string&)> out;
  std::function<Result<void>(Client&)> find_again;
};
Result<Output> runs_follow(Client& client, const std::string& run, const Waiting& waiting, const Following& following,
                           bool json);
Result<Output> releases(Client& client, const std::string& model, int limit, bool json);
Result<Output> models_diff(Client& client, const std::string& one, const std::string& other, bool json);
Result<Output> models_export(Client& client, const std::string& version, const std::string& file,
                             const std::string& format, bool force, bool json);
Result<Output> models_import(Client& client, const std::string& file, const std::string& model, const Waiting& waiting,
                             bool json);
Result<Output> models_gc(Client& client, bool dry_run, bool json);
Result<Output> promote(Client& client, const std::string& version, const std::string& reason, bool json);
Result<Output> rollback(Client& client, const std::string& model, const std::string& reason, bool json);

Result<Output> tokens_add(Client& client, const std::string& name, const std::vector<std::string>& rights, bool json);
Result<Output> tokens_list(Client& client, bool json);
Result<Output> tokens_revoke(Client& client, const std::string& name, bool json);

Result<Output> predict(Client& client, const std::string& model, const std::string& body, bool csv);
Result<Output> label(Client& client, const std::string& model, const std::string& labels_json, bool json);
// `count` empty: what is left of [labels] queue.per_day today.
Result<Output> label_queue(Client& client, const std::string& model, const std::string& count, bool json);
Result<Output> why(Client& client, const std::string& prediction, bool json);

// Looks at the job until it ends. Its result JSON, or the Error of its failure.
Result<api::JobState> wait_for_job(Client& client, const std::string& job, const Waiting& waiting);
// "churn:3" in two; without a number, the newest; "baseline" is 0. invalid_argument `cli.bad_version`.
struct VersionName {
  std::string model;
  std::string number;
};
Result<VersionName> split_name(Client& client, const std::string& text, const std::string& at = "");
std::string at_query(const std::string& at);  // "?at=...", or nothing
std::string difference_text(const api::Difference& difference);
// The only model of the server when `model` is empty; invalid_argument `cli.which_model` when there are several.
Result<std::string> only_model(Client& client, const std::string& model);

}  // namespace millrace::cli
