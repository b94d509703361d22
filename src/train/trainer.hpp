// Trainers: labelled rows in, a proven model artifact out. They run in a job's process, know no metadata store, and see
// the world through what is declared here. The same input, data and libraries give the same artifact, byte by byte.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/task.hpp"
#include "model/manifest.hpp"
#include "model/runtime.hpp"
#include "table/table.hpp"

namespace millrace {
class Processes;
}

namespace millrace::train {

// Some rows and which side each is on. Test rows never reach a trainer.
struct Part {
  table::Batch rows;
  std::vector<bool> validation;  // one per row: for early stopping, not learned from
};

// One thread at a time. Every pass gives the same parts in the same order.
class TrainingData {
 public:
  virtual ~TrainingData() = default;
  virtual const table::Schema& schema() const = 0;
  virtual Result<std::optional<Part>> next() = 0;  // nullopt at the end of a pass
  virtual Result<void> rewind() = 0;
};

// Where a run writes itself down. Called from the training's thread only.
class RunLog {
 public:
  virtual ~RunLog() = default;
  virtual void metric(std::string_view name, std::int64_t step, double value) = 0;
  // Replaces the last checkpoint; durable when it returns.
  virtual Result<void> checkpoint(std::string_view bytes) = 0;
};

struct InputChoice {
  std::string name;
  std::string encoding;          // number | boolean | category | date_parts; "": by the column's type
  std::string unseen = "other";  // other | as_missing
  std::optional<double> fill;
};

// The trainer `command`: a shell line run in `folder` as a child process. Its environment holds four paths:
//   MILLRACE_TRAIN_DATA, MILLRACE_VALID_DATA   Parquet: a float64 column per feature (encoded as the served model will
//   see
//                       them, null is missing), and the target: the class's number (int64), or the value (float64)
//   MILLRACE_PARAMS     JSON: format, name, task, target, features, classes, parameters (an object: what
//   [model.trainer]
//                       says besides name, command, seed and threads), seed, nthread
//   MILLRACE_OUTPUT     where it must write its model: XGBoost JSON or UBJSON, or ONNX (one float input of one row per
//                       prediction; probabilities, or the value)
//   MILLRACE_PROGRESS   where it may append JSON lines: {"step": 3, "done": 0.1, "metrics": {"loss": 0.7}, "note": ""}
// What it prints is appended to TrainerConfig::output_path.
struct CommandChoice {
  std::string line;
  std::string folder;
  std::map<std::string, std::string> environment;  // added to ours
  std::int64_t memory_bytes = 0;                   // 0: no limit of its own
  double seconds_max = 0;                          // 0: no limit of its own
};

// What to train. A plain aggregate that goes through base/json.hpp as it is: it is part of the job's file.
struct TrainInput {
  std::string name;              // of the model
  std::string trainer = "auto";  // boosted-trees | baseline | command; auto is boosted-trees
  std::string task;              // binary | multiclass | regression
  std::string target;            // a column; rows where it is null are left out and counted
  std::vector<std::string>
      classes;           // in order, as table::to_text; empty: those that occur, sorted (numbers as numbers)
  std::string positive;  // binary; empty: the second class
  double threshold = 0.5;
  std::vector<InputChoice> inputs;
  std::string key;                                // column that names an entity; may be empty
  std::vector<std::string> ignored;               // columns of the data that requests may carry besides
  std::map<std::string, std::string> parameters;  // see Trainer::parameters; of a command: each value as JSON
  CommandChoice command;
  std::uint64_t seed = 1;
  int nthread = 1;
  // Provenance, copied into the manifest. `created` is the run's first start: a rebuild hands in the recorded one.
  std::string data_digest;
  std::string project_digest;
  std::string code_digest;
  std::string created;
  bool quick = false;
  // A checkpoint is written after this many rounds or seconds, whichever comes first; 0: never by that count.
  int checkpoint_rounds = 50;
  double checkpoint_seconds = 10;
};

struct TrainOutput {
  std::string artifact;  // loads, and answers its golden rows
  model::TrainingFacts facts;
  int resumed_at = 0;  // the round at which a checkpoint was taken up; 0: from the start
};

struct ParameterInfo {
  std::string name;
  std::string fallback;  // the default
  std::string accepts;   // "a number above 0, at most 1"
  std::string help;
};

// One training at a time per object.
class Trainer {
 public:
  virtual ~Trainer() = default;
  virtual std::string_view name() const = 0;
  virtual std::vector<ParameterInfo> parameters() const = 0;
  // `checkpoint`: the last one this run wrote, or empty; one of another training is passed over.
  // invalid_argument `train.unknown_parameter` (with the nearest name), `train.bad_parameter`, `train.unknown_column`,
  // `train.no_inputs`, `train.bad_target`, `train.unknown_class`; failed_precondition `train.no_rows`,
  // `train.one_class`, `train.too_many_classes`; cancelled `train.cancelled` within a round of task.cancelled()
  // becoming true.
  virtual Result<TrainOutput> train(const TrainInput& input, TrainingData& data, RunLog& log, Task& task,
                                    std::string_view checkpoint = {}) = 0;
};

struct TrainerConfig {
  model::Libraries libraries;
  Processes* processes = nullptr;  // for `command`
  std::string output_path;         // of `command`; empty: output.txt in the task's scratch folder
};

// The trainer that `name` means. invalid_argument `train.unknown_trainer`.
Result<std::unique_ptr<Trainer>> make_trainer(std::string_view name, const TrainerConfig& config);

}  // namespace millrace::train
