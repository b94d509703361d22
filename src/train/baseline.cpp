// The trivial rival: the same answer to every row.
#include <cmath>

#include "model/loaded.hpp"
#include "train/prepare_internal.hpp"
#include "train/trainers_internal.hpp"

namespace millrace::train {
namespace {

// Log-odds or log-probabilities of the classes' shares. A class without rows counts as half a row: its logarithm must
// be finite.
std::vector<float> constant_outputs(const Prepared& p) {
  if (p.task == model::TaskType::regression) return {static_cast<float>(p.target_mean)};
  std::vector<double> rows;
  for (const auto count : p.class_rows) rows.push_back(count > 0 ? static_cast<double>(count) : 0.5);
  if (p.task == model::TaskType::binary) return {static_cast<float>(std::log(rows[1] / rows[0]))};
  std::vector<float> outputs;
  for (const double count : rows) outputs.push_back(static_cast<float>(std::log(count / static_cast<double>(p.rows))));
  return outputs;
}

class Baseline final : public Trainer {
 public:
  std::string_view name() const override { return "baseline"; }
  std::vector<ParameterInfo> parameters() const override { return {}; }

  Result<TrainOutput> train(const TrainInput& input, TrainingData& data, RunLog&, Task& task,
                            std::string_view) override {
    if (!input.parameters.empty()) {
      return fail(Code::invalid_argument, "train.unknown_parameter",
                  "the baseline has no parameters, but '" + input.parameters.begin()->first + "' is given");
    }
    TRY(auto prepared, prepare(input, data, task));
    model::Manifest manifest = start_manifest(input, prepared, "baseline", {});
    manifest.engine = {.name = "constant", .file = "model.json"};
    TrainOutput out{.facts = manifest.facts};
    TRY(out.artifact,
        model::build_artifact(std::move(manifest), model::constant_engine_file(constant_outputs(prepared)),
                              model::make_golden_rows(prepared.fitted, kGoldenSeed)));
    return out;
  }
};

}  // namespace

std::unique_ptr<Trainer> make_baseline(const TrainerConfig&) { return std::make_unique<Baseline>(); }

}  // namespace millrace::train
