// What every trainer does before it trains: look at the columns, learn the encoding and the classes in one pass.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"
#include "model/fit.hpp"
#include "train/trainer.hpp"

namespace millrace::train {

// A target value as the engine's label: the class's number, or the value itself.
class Target {
 public:
  Target() = default;
  Target(model::TaskType task, table::Type type, const std::vector<std::string>& classes);
  // nullopt for null (and NaN). invalid_argument `train.unknown_class`, `train.bad_target`.
  Result<std::optional<float>> label(const table::Column& column, std::int64_t row) const;

 private:
  model::TaskType task_ = model::TaskType::regression;
  table::Type type_ = table::Type::float64;
  std::unordered_map<std::string, int> codes_;
};

struct Prepared {
  model::TaskType task = model::TaskType::regression;
  model::FittedInputs fitted;
  std::vector<std::string> classes;
  std::string positive;
  table::Type target_type = table::Type::float64;
  Target target;
  std::int64_t rows = 0;             // labelled, to learn from
  std::int64_t validation_rows = 0;  // labelled
  std::int64_t unlabelled_rows = 0;
  std::vector<std::int64_t> class_rows;  // by class, of `rows`
  double target_mean = 0;                // regression, of `rows`
};

Result<Prepared> prepare(const TrainInput& input, TrainingData& data, Task& task);

// The manifest but for engine, golden rows and what training found out.
model::Manifest start_manifest(const TrainInput& input, const Prepared& prepared, std::string trainer,
                               std::map<std::string, std::string> parameters);

// cancelled `train.cancelled` when the runner wants the training to end.
Result<void> check_cancelled(const Task& task);
void report(const Task& task, const TaskProgress& progress);

}  // namespace millrace::train
