// Job side: what each kind of job does. Runs in the job process; no metadata here.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/process.hpp"
#include "base/result.hpp"
#include "base/task.hpp"
#include "blob/blob.hpp"
#include "loop/jobs.hpp"
#include "model/runtime.hpp"

namespace millrace::loop {

struct JobContext {
  Task task;
  blob::Store& blobs;
  Processes* processes = nullptr;  // for the trainer `command`
  model::Libraries libraries;
  int threads = 1;
  std::int64_t memory_bytes = 0;                                    // 0: no limit
  std::string checkpoint;                                           // of an earlier attempt
  std::function<Result<void>(const std::string&)> save_checkpoint;  // durable when it returns
  std::string output_path;                                          // what commands print is appended to it
};

Result<TrainResult> run_train(const TrainJob& job, JobContext& context);
Result<RebuildResult> run_rebuild(const RebuildJob& job, JobContext& context);
Result<EvaluateResult> run_evaluate(const EvaluateJob& job, JobContext& context);
Result<AssembleResult> run_assemble(const AssembleJob& job, JobContext& context);
Result<LiveResult> run_live(const AssembleJob& job, JobContext& context);
// invalid_argument `model.missing_input`, `model.wrong_type` where the rows do not fit the model; those of
// table::open_file.
Result<BatchResult> run_batch(const BatchJob& job, JobContext& context);
Result<RollResult> run_roll(const RollJob& job, JobContext& context);

// Any of them by kind: input and result as JSON. invalid_argument `loop.unknown_job`.
Result<std::string> run_job(std::string_view kind, std::string_view input, JobContext& context);

}  // namespace millrace::loop
