// Job side of `train` and `rebuild`: trains the candidate and the baseline, writes both archives as blobs.
#include <format>

#include "base/fault.hpp"
#include "base/fs.hpp"
#include "loop/job_run.hpp"
#include "loop/row_set.hpp"
#include "model/artifact.hpp"
#include "train/command_files.hpp"

namespace millrace::loop {

namespace {

// Checkpoints become blobs named in the checkpoint file. Metrics are in the progress lines, which the worker sends on.
class JobRunLog final : public train::RunLog {
 public:
  JobRunLog(JobContext& context) : context_(context) {}
  void metric(std::string_view, std::int64_t, double) override {}
  Result<void> checkpoint(std::string_view bytes) override {
    TRY_VOID(context_.task.env.faults.reach("train.checkpoint.before"));
    TRY(auto blob, context_.blobs.put(bytes));
    TRY_VOID(context_.task.env.faults.reach("train.checkpoint.after_blob"));
    TRY_VOID(context_.save_checkpoint(blob.digest.hex()));
    return context_.task.env.faults.reach("train.checkpoint.after");
  }

 private:
  JobContext& context_;
};

train::TrainInput input_of(const TrainJob& job, std::string trainer) {
  train::TrainInput input;
  input.name = job.model.name;
  input.trainer = std::move(trainer);
  input.task = job.model.task;
  input.target = job.model.target;
  input.classes = job.model.classes;
  input.positive = job.model.positive;
  for (const auto& one : job.model.inputs) input.inputs.push_back({one.name, one.encoding});
  input.key = job.model.key;
  input.ignored = job.model.ignored;
  if (input.trainer != "baseline") input.parameters = job.parameters;
  if (input.trainer == "command") {
    input.command.line = job.command;
    input.command.folder = job.command_folder;
  }
  input.seed = job.seed;
  input.nthread = job.threads;
  input.data_digest = job.data_digest;
  input.project_digest = job.project_digest;
  input.code_digest = job.code_digest;
  input.created = job.created;
  input.quick = job.quick_rows > 0;
  return input;
}

// The files that were kept when the run began are what it runs, also when it is repeated later.
Result<void> place_command(const TrainJob& job, JobContext& context, train::CommandChoice& command) {
  auto& fs = context.task.env.fs;
  const auto copies = join_path(context.task.scratch_dir, "code");
  TRY(const auto place, train::place_command_files(fs, context.blobs, job.command_folder, copies, job.command_files));
  command.folder = place.folder;
  command.line = place.before + command.line;
  if (place.folder == job.command_folder) return {};
  context.task.progress(
      {.phase = "code",
       .note = std::format("{} is not what it was when the run began: the command runs with the "
                           "files that were kept, in {}",
                           place.changed.empty() ? job.command_folder : place.changed, place.folder)});
  return {};
}

Result<train::TrainOutput> train_one(const TrainJob& job, const std::string& trainer_name, JobContext& context,
                                     std::string_view checkpoint) {
  TRY(auto trainer, train::make_trainer(trainer_name, {context.libraries, context.processes, context.output_path}));
  TRY(auto data, JobTrainingData::open(job, context.blobs));
  JobRunLog log(context);
  auto input = input_of(job, trainer_name);
  if (trainer_name == "command") TRY_VOID(place_command(job, context, input.command));
  return trainer->train(input, *data, log, context.task, checkpoint);
}

}  // namespace

Result<TrainResult> run_train(const TrainJob& job, JobContext& context) {
  std::string checkpoint;
  if (!context.checkpoint.empty()) {
    TRY(auto digest, Digest::parse(context.checkpoint));
    if (auto bytes = context.blobs.read(digest, std::uint64_t{1} << 32))
      checkpoint = *std::move(bytes);  // else from the start
  }
  TRY(auto baseline, train_one(job, "baseline", context, {}));
  TRY(auto trained, train_one(job, job.trainer, context, checkpoint));
  TRY(auto artifact, context.blobs.put(trained.artifact));
  TRY(auto baseline_blob, context.blobs.put(baseline.artifact));
  TRY_VOID(context.task.env.faults.reach("train.artifact.after"));
  TrainResult result;
  result.artifact = {artifact.digest.hex(), static_cast<std::int64_t>(artifact.size)};
  result.baseline = {baseline_blob.digest.hex(), static_cast<std::int64_t>(baseline_blob.size)};
  result.rows = trained.facts.rows;
  result.validation_rows = trained.facts.validation_rows;
  result.rounds = trained.facts.rounds;
  result.resumed_at = trained.resumed_at;
  TRY(auto read, model::read_artifact(trained.artifact));
  result.parameters = read.manifest.provenance.parameters;
  result.engine = read.manifest.engine.name + " " + read.manifest.engine.version;
  return result;
}

Result<RebuildResult> run_rebuild(const RebuildJob& job, JobContext& context) {
  TRY(auto baseline, train_one(job.train, "baseline", context, {}));
  TRY(auto trained, train_one(job.train, job.train.trainer, context, {}));
  RebuildResult result;
  result.digest = sha256(trained.artifact).hex();
  result.identical = result.digest == job.expected;
  if (result.identical) {
    TRY_VOID(context.blobs.put(trained.artifact));  // where the bytes were lost they are back
    TRY_VOID(context.blobs.put(baseline.artifact));
    result.message = "identical: the same bytes came out again, " + result.digest;
    return result;
  }
  TRY(auto expected, Digest::parse(job.expected));
  auto bytes = context.blobs.read(expected, std::uint64_t{1} << 32);
  result.message = "different: " + result.digest + " instead of " + job.expected;
  if (bytes) {
    TRY(auto before, model::read_artifact(*bytes));
    TRY(auto now, model::read_artifact(trained.artifact));
    const auto& was = before.manifest.engine;
    const auto& is = now.manifest.engine;
    if (was.version != is.version || was.build != is.build) {
      result.message += std::format(" (trained with {} {}, rebuilt with {} {}: bytes are only equal under one build)",
                                    was.name, was.version, is.name, is.version);
    }
  }
  return result;
}

}  // namespace millrace::loop
