#include "cli/options_internal.hpp"

namespace millrace::cli {

void add_up_options(CLI::App& command, UpOptions& options) {
  command.add_option("file", options.files, "data file to begin with (CSV or Parquet, plain or gzip)")->expected(0, 1);
  command.add_option("--target", options.target, "column to predict");
  command.add_option("--project", options.project_file, "project file")->capture_default_str();
  command.add_option("--profile", options.profile, "which [profile.*] of the project file");
  command.add_option("--listen", options.listen, "ADDRESS:PORT (default 127.0.0.1:7070; port 0: any free one)");
  command.add_option("--grpc", options.grpc, "ADDRESS:PORT for gRPC too (default: none; port 0: any free one)");
  command.add_option("--data-dir", options.data_dir, "data folder (default .millrace beside the project file)");
  command.add_flag("--ephemeral", options.ephemeral, "keep nothing: a data folder that is removed at the end");
  command.add_flag("--open", options.open, "open the status page in a browser");
  command.add_flag("--no-worker", options.no_worker, "run no jobs here: workers run apart (millrace worker)");
  command.add_flag("--restart", options.restart, "start again by itself when the process is killed");
}

UpOptions not_serving(UpOptions options) {
  options.serves = false;
  return options;
}

void add_init_options(CLI::App& command, InitOptions& options) {
  command.add_option("file", options.file, "data file")->required();
  command.add_option("--target", options.target, "column to predict");
  command.add_option("--project", options.project_file, "file to write")->capture_default_str();
  command.add_flag("--force", options.force, "replace an existing project file");
}

void add_label_options(CLI::App& command, api::Label& label) {
  command.add_option("--prediction", label.prediction, "prediction's id");
  command.add_option("--key", label.key, "entity's key instead: its last prediction before --time");
  command.add_option("--time", label.time, "when it became true (default: now)");
  command.add_option("--origin", label.origin, "human, system or model")
      ->capture_default_str()
      ->check(CLI::IsMember({"human", "system", "model"}));
  command.add_option("--author", label.author, "who says so");
}

void add_batch_options(CLI::App& command, BatchOptions& options) {
  command.add_option(
      "model", options.model,
      "NAME: what takes traffic, or NAME:N; none: the only one; or `run NAME` to start a [batch.NAME] of "
      "the project file now, or `list`");
  command.add_option("name", options.name, "with run: which one");
  command.add_option("--in", options.file, "CSV, Parquet or Arrow file, plain or gzip");
  command.add_option("--data", options.dataset, "instead: DATASET or DATASET@N; sensitive columns are masked");
  command.add_option("--out", options.to, "file to write: .csv or .parquet");
  command.add_flag("--force", options.force, "replace an existing file");
}

void add_loadtest_options(CLI::App& command, LoadtestOptions& options) {
  command.add_option("model", options.model, "which one")->required();
  command.add_option("--rate", options.rate, "requests a second, sent whether the server keeps up or not")
      ->capture_default_str();
  command.add_option("--duration", options.duration, "how long")->capture_default_str();
  command.add_option("--ramp", options.ramp,
                     "LOWEST..HIGHEST: rates until a limit breaks (without --p99: 100ms, no errors)");
  command.add_option("--stage", options.stage, "how long each rate of a ramp")->capture_default_str();
  command.add_option("--connections", options.connections, "each carries one request at a time")
      ->capture_default_str()
      ->check(CLI::Range(1, 10'000));
  command.add_option("--arrivals", options.arrivals, "fixed or poisson times")
      ->capture_default_str()
      ->check(CLI::IsMember({"fixed", "poisson"}));
  command.add_option("--seed", options.seed, "of poisson times and made-up rows")->capture_default_str();
  command.add_option("--rows", options.rows_file, "CSV, JSON list or JSON lines (default: the model's example rows)");
  command.add_option("--rows-each", options.rows_each, "rows in a request")
      ->capture_default_str()
      ->check(CLI::Range(1, 10'000));
  command.add_option("--protocol", options.protocol, "predict, v2 or v2-binary")
      ->capture_default_str()
      ->check(CLI::IsMember({"predict", "v2", "v2-binary"}));
  command.add_option("--timeout", options.timeout, "for an answer; what takes longer is an error")
      ->capture_default_str();
  command.add_option("--p50", options.p50, "limit: half of the requests are answered within");
  command.add_option("--p90", options.p90, "limit");
  command.add_option("--p99", options.p99, "limit, as in 20ms");
  command.add_option("--p999", options.p999, "limit");
  command.add_option("--max", options.max, "limit for the slowest one");
  command.add_option("--errors", options.errors, "limit: how many, or which share (0.1%)");
}

void add_demo_options(CLI::App& command, DemoOptions& options) {
  command.add_option("name", options.name, "digits")->default_val("digits")->check(CLI::IsMember({"digits"}));
  command.add_option("--data", options.data, "digits.csv.gz (default: where the toolchain unpacked it)");
  command.add_option("--seed", options.seed, "of the order of labels and of the training")->capture_default_str();
  command.add_option("--rate", options.rate, "images a second")->capture_default_str()->check(CLI::Range(1.0, 1000.0));
  command.add_flag("--keep", options.keep, "leave the server up at the end");
}

void add_predictor_options(CLI::App& command, PredictorOptions& options) {
  auto* models = command.add_option("--models", options.models,
                                    "folder: NAME.ubj, NAME.json, NAME.onnx, NAME.zip, NAME/VERSION/model.onnx");
  command
      .add_option("--admin", options.admin,
                  "URL of a server (millrace up or admin): its models are served, its releases followed, predictions "
                  "logged and sent to it; token: --token-file or MILLRACE_TOKEN")
      ->excludes(models);
  command
      .add_option("--data", options.data_dir,
                  "with --admin: folder for the models, the last wish and the log, so that it serves on by itself")
      ->capture_default_str();
  command.add_option("--name", options.name, "with --admin: what people call it (default: host and port)");
  command
      .add_option("--unshipped-max", options.unshipped_max,
                  "with --admin: bytes of the prediction log that may wait for the server; then no line is kept")
      ->capture_default_str();
  command.add_flag("--restart", options.restart, "start again by itself when the process is killed");
  command.add_option("--http", options.http, "ADDRESS:PORT (port 0: any free one)")->capture_default_str();
  command.add_option("--grpc", options.grpc, "ADDRESS:PORT (port 0: any free one; default: no gRPC)");
  command.add_option("--poll", options.poll, "how often the folder is looked at; 0s: only when a client asks")
      ->capture_default_str();
  command.add_option("--memory", options.memory,
                     "for all models, as in 2GB; the one asked for longest ago leaves (default: no bound)");
  command
      .add_option("--queue", options.queue, "requests of one model that may wait, of those that are long to compute")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command
      .add_option("--concurrency", options.concurrency,
                  "of them, computed at the same time (default: as many as there are processors)")
      ->check(CLI::Range(1, 256));
  command.add_option("--priority", options.priorities,
                     "NAME=high or NAME=low: whose waiting requests are computed first; may be repeated");
  command
      .add_option(
          "--batch-rows", options.batch_rows,
          "requests that wait for a model are computed together, so many rows at once (default: each by itself)")
      ->check(CLI::Range(2, 10'000));
  command
      .add_option("--batch-delay", options.batch_delay, "how long a request waits for others while its model is busy")
      ->capture_default_str();
  command.add_option("--pin", options.pins, "a model that never leaves memory; may be repeated");
  command.add_option("--cache", options.cache,
                     "folder for proven models (default .millrace-cache in the models' folder; none: no cache)");
  command.add_option(
      "--token-file", options.token_file,
      "the token off loopback (default .millrace-token in the models' folder; made when missing); with --admin the "
      "server's token");
  command.add_option("--tls-certificate", options.tls_certificate, "PEM; with it and --tls-key both speak TLS only");
  command.add_option("--tls-key", options.tls_key, "PEM, without a passphrase, that others can't read");
  command.add_option("--onnxruntime", options.onnxruntime,
                     "libonnxruntime.so of another build, as one for a GPU (default: the loader's own search)");
  command.add_option("--xgboost", options.xgboost, "libxgboost.so of another build");
  command.add_option("--log", options.log, "folder for the log of predictions (not available yet: none is kept)");
  command.add_option("--otlp", options.otlp,
                     "collector for traces, as in http://127.0.0.1:4318 (OTLP over HTTP; default: no traces)");
  command
      .add_option("--otlp-sample", options.otlp_sample,
                  "share of the requests that are traced; a traceparent's own flag decides where there is one")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  command.add_flag("--allow-upload", options.allow_upload,
                   "load requests may bring files, which are put into the folder");
}

}  // namespace millrace::cli
