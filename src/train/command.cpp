// A trainer in any language: a child process that reads Parquet and writes a model file.
#include <algorithm>

#include "base/fs.hpp"
#include "base/json.hpp"
#include "base/process.hpp"
#include "base/text.hpp"
#include "model/loaded.hpp"
#include "train/command_reports_internal.hpp"
#include "train/failure_text.hpp"
#include "train/prepare_internal.hpp"
#include "train/trainers_internal.hpp"

namespace millrace::train {
namespace {

constexpr std::uint64_t kModelBytesMax = 2'000'000'000;
constexpr std::uint64_t kOutputShown = 4'000, kNoteShown = 200;
constexpr Duration kGrace = std::chrono::seconds(2);  // less than the job process itself has
constexpr auto kPatience = std::chrono::milliseconds(200);

// params.json, for the command.
struct CommandParams {
  int format = 1;
  std::string name;
  std::string task;
  std::string target;
  std::vector<std::string> features;
  std::vector<std::string> classes;
  std::map<std::string, glz::raw_json> parameters;
  std::uint64_t seed = 0;
  int nthread = 1;
};

// One side of the data as features and label: what the finished model will be fed with.
class EncodedSide final : public table::BatchReader {
 public:
  EncodedSide(const TrainInput& input, const Prepared& prepared, const model::Encoder& encoder, TrainingData& data,
              Task& task, bool validation)
      : prepared_(prepared),
        encoder_(encoder),
        data_(data),
        task_(task),
        target_(data.schema().index_of(input.target)),
        validation_(validation) {
    for (const auto& name : model::feature_names(encoder.inputs()))
      schema_.fields.push_back({name, table::Type::float64});
    const bool number = prepared.task == model::TaskType::regression;
    schema_.fields.push_back({input.target, number ? table::Type::float64 : table::Type::int64});
  }
  const table::Schema& schema() const override { return schema_; }

  Result<std::optional<table::Batch>> next() override {
    while (true) {
      TRY_VOID(check_cancelled(task_));
      TRY(auto part, data_.next());
      if (!part) return std::optional<table::Batch>{};
      std::vector<float> features;
      TRY_VOID(encoder_.encode_batch(part->rows, features, stats_));
      const table::Column labels = part->rows.column(target_);
      const auto width = static_cast<std::size_t>(encoder_.features());
      std::vector<table::Row> rows;
      for (std::int64_t i = 0; i < part->rows.rows(); ++i) {
        if (part->validation[static_cast<std::size_t>(i)] != validation_) continue;
        TRY(const auto label, prepared_.target.label(labels, i));
        if (!label) continue;
        table::Row row;
        for (std::size_t k = 0; k < width; ++k) {
          const float value = features[static_cast<std::size_t>(i) * width + k];
          row.push_back(value == value ? table::Value(static_cast<double>(value)) : table::Value());
        }
        if (prepared_.task == model::TaskType::regression) {
          row.emplace_back(static_cast<double>(*label));
        } else {
          row.emplace_back(static_cast<std::int64_t>(*label));
        }
        rows.push_back(std::move(row));
      }
      if (rows.empty()) continue;
      TRY(auto batch, table::Batch::from_rows(schema_, rows));
      return std::optional(std::move(batch));
    }
  }

 private:
  const Prepared& prepared_;
  const model::Encoder& encoder_;
  TrainingData& data_;
  Task& task_;
  int target_;
  bool validation_;
  table::Schema schema_;
  model::EncodeStats stats_;
};

// The last lines of what the command printed, which begins at `begin` of the file.
std::string tail_of(Fs& fs, const std::string& path, std::uint64_t begin, std::uint64_t bytes) {
  auto file = fs.open_read(path);
  if (!file) return "";
  const std::uint64_t size = (*file)->size(), read_max = 4 * bytes;
  const std::uint64_t from = std::max(begin, size > read_max ? size - read_max : 0);
  std::string text(size - std::min(size, from), '\0');
  auto got = (*file)->read(from, std::as_writable_bytes(std::span(text.data(), text.size())));
  text.resize(got ? *got : 0);
  return std::string(last_lines(printable(text), bytes));
}

std::string last_line(const std::string& text) {
  const auto at = text.rfind('\n');
  return at == std::string::npos ? text : text.substr(at + 1);
}

struct Paths {
  std::string train, validation, params, output, reports, printed;
  std::uint64_t printed_before = 0;  // bytes that were there already
};

class Command final : public Trainer {
 public:
  explicit Command(const TrainerConfig& config) : config_(config) {}
  std::string_view name() const override { return "command"; }
  std::vector<ParameterInfo> parameters() const override { return {}; }

  Result<TrainOutput> train(const TrainInput& input, TrainingData& data, RunLog&, Task& task,
                            std::string_view) override {
    if (input.command.line.empty()) {
      return fail(Code::invalid_argument, "train.no_command",
                  "the trainer 'command' needs a command: [model.trainer] command = \"python train.py\"");
    }
    if (!config_.processes)
      return fail(Code::failed_precondition, "train.no_processes", "no child process may be started here");
    TRY(auto prepared, prepare(input, data, task));
    const model::Encoder encoder(prepared.fitted.inputs);
    Paths paths{
        join_path(task.scratch_dir, "train.parquet"), join_path(task.scratch_dir, "validation.parquet"),
        join_path(task.scratch_dir, "params.json"),   join_path(task.scratch_dir, "model.out"),
        join_path(task.scratch_dir, "reports.jsonl"), config_.output_path,
    };
    if (paths.printed.empty()) paths.printed = join_path(task.scratch_dir, "output.txt");
    if (auto before = task.env.fs.info(paths.printed)) paths.printed_before = before->size;
    TRY_VOID(write_side(input, prepared, encoder, data, task, false, paths.train));
    TRY_VOID(write_side(input, prepared, encoder, data, task, true, paths.validation));
    std::map<std::string, glz::raw_json> parameters;
    for (const auto& [name, value] : input.parameters) parameters[name] = value;
    TRY_VOID(write_file(task.env.fs, paths.params,
                        json::render(CommandParams{.name = input.name,
                                                   .task = input.task,
                                                   .target = input.target,
                                                   .features = model::feature_names(prepared.fitted.inputs),
                                                   .classes = prepared.classes,
                                                   .parameters = std::move(parameters),
                                                   .seed = input.seed,
                                                   .nthread = input.nthread})));
    for (const auto& left : {paths.output, paths.reports})  // by an earlier attempt
      TRY_VOID(task.env.fs.remove_all(left));
    TRY_VOID(run(input, paths, task));
    return take(input, prepared, paths, task);
  }

 private:
  static Result<void> write_side(const TrainInput& input, const Prepared& prepared, const model::Encoder& encoder,
                                 TrainingData& data, Task& task, bool validation, const std::string& path) {
    TRY_VOID(data.rewind());
    EncodedSide side(input, prepared, encoder, data, task, validation);
    TRY(auto file, task.env.fs.open_write(path, WriteMode::truncate));
    TRY_VOID(table::write_parquet(side.schema(), side, *file));
    return {};
  }

  Result<void> run(const TrainInput& input, const Paths& paths, Task& task) {
    ProcessSpec spec{.argv = {"/bin/sh", "-c", input.command.line},
                     .env = input.command.environment,
                     .cwd = input.command.folder,
                     .stdout_path = paths.printed,
                     .stderr_path = paths.printed,
                     .grace = kGrace};
    spec.env["MILLRACE_TRAIN_DATA"] = paths.train;
    spec.env["MILLRACE_VALID_DATA"] = paths.validation;
    spec.env["MILLRACE_PARAMS"] = paths.params;
    spec.env["MILLRACE_OUTPUT"] = paths.output;
    spec.env["MILLRACE_PROGRESS"] = paths.reports;
    if (input.command.memory_bytes > 0)
      spec.limits.memory_bytes = static_cast<std::uint64_t>(input.command.memory_bytes);
    if (input.command.seconds_max > 0)
      spec.limits.wall_max =
          std::chrono::duration_cast<Duration>(std::chrono::duration<double>(input.command.seconds_max));
    TRY(auto process, config_.processes->spawn(spec));
    bool stopping = false;
    CommandReports reports(task.env.fs, paths.reports);
    TaskProgress last;
    while (true) {
      const auto ended = process->wait(kPatience);
      for (const auto& one : reports.take()) {
        report(task, one);
        last = one;
      }
      if (ended) return judge(*ended, spec.limits, stopping, paths, input.command.folder, task);
      if (!stopping && task.cancelled && task.cancelled()) {
        stopping = true;
        process->terminate();
      }
      // What it told last, with what it uses and printed now.
      auto now = last;
      now.phase = "command";
      now.metrics.emplace_back("memory_bytes", static_cast<double>(process->memory_bytes()));
      now.note = last_line(tail_of(task.env.fs, paths.printed, paths.printed_before, kNoteShown));
      report(task, now);
    }
  }

  static Result<void> judge(const ProcessExit& ended, const ProcessLimits& limits, bool stopping, const Paths& paths,
                            const std::string& folder, Task& task) {
    if (stopping) return fail(Code::cancelled, "train.cancelled", "the training was cancelled");
    if (ended.ok()) return {};
    using Cause = ProcessExit::Cause;
    const std::string printed = tail_of(task.env.fs, paths.printed, paths.printed_before, kOutputShown);
    const auto how = "the command " + describe(ended, limits);
    const auto last = printed.empty() ? "it printed nothing" : "it printed last:\n" + printed;
    if (ended.cause == Cause::memory) return fail(Code::resource_exhausted, "train.command_failed", how + "\n" + last);
    if (ended.cause == Cause::wall_time)
      return fail(Code::deadline_exceeded, "train.command_failed", how + "\n" + last);
    auto fault = read_command_fault(printed, ended.status, folder);
    auto& text = fault.text;
    text.what = text.what.empty() ? how : text.what + " (" + how + ")";
    if (text.next.empty() && fault.cause == "code")
      text.next = "mend what the command runs, or model.trainer.command (then millrace apply); then: millrace train";
    text.more = last;
    if (fault.cause == "memory") return fail(Code::resource_exhausted, "train.command_failed", render(text));
    if (fault.cause == "disk") return fail(Code::resource_exhausted, "train.command_disk", render(text));
    if (fault.cause == "dependency") return fail(Code::not_found, "train.command_needs", render(text));
    return fail(Code::failed_precondition, "train.command_failed", render(text));
  }

  Result<TrainOutput> take(const TrainInput& input, const Prepared& prepared, const Paths& paths, Task& task) {
    if (!exists(task.env.fs, paths.output)) {
      return fail(Code::failed_precondition, "train.no_output",
                  "the command ended well but wrote no model to $MILLRACE_OUTPUT (an XGBoost model in JSON or UBJSON, "
                  "or an ONNX model)");
    }
    const auto bad = [](const Error& error) {
      return fail(Code::failed_precondition, "train.bad_output",
                  "the model that the command wrote to $MILLRACE_OUTPUT: " + error.message);
    };
    const auto read = read_file(task.env.fs, paths.output, kModelBytesMax);
    if (!read) return bad(read.error());
    const std::string& file = *read;
    model::Manifest manifest = start_manifest(input, prepared, "command", input.parameters);
    // XGBoost's JSON and UBJSON both begin with a brace; ONNX with a protobuf tag.
    const bool trees = file.starts_with('{');
    const bool text = trees && file.find_first_not_of(" \t\r\n", 1) != std::string::npos &&
                      file[file.find_first_not_of(" \t\r\n", 1)] == '"';
    manifest.engine = {.name = trees ? "xgboost" : "onnx",
                       .file = trees ? (text ? "model.json" : "model.ubj") : "model.onnx"};
    TrainOutput out{.facts = manifest.facts};
    auto artifact =
        model::build_artifact(std::move(manifest), file, model::make_golden_rows(prepared.fitted, kGoldenSeed),
                              {.libraries = config_.libraries});
    if (!artifact) return bad(artifact.error());
    out.artifact = std::move(*artifact);
    return out;
  }

  TrainerConfig config_;
};

}  // namespace

std::unique_ptr<Trainer> make_command(const TrainerConfig& config) { return std::make_unique<Command>(config); }

}  // namespace millrace::train
