#include "train/trainer.hpp"

#include "train/trainers_internal.hpp"

namespace millrace::train {

Result<std::unique_ptr<Trainer>> make_trainer(std::string_view name, const TrainerConfig& config) {
  if (name == "auto" || name == "boosted-trees") return make_boosted_trees(config);
  if (name == "baseline") return make_baseline(config);
  if (name == "command") return make_command(config);
  return fail(Code::invalid_argument, "train.unknown_trainer",
              "no trainer '" + std::string(name) + "'; trainers: boosted-trees (auto), baseline, command");
}

}  // namespace millrace::train
