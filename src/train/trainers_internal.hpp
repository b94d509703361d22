// One factory per trainer; trainer.cpp lists them.
#pragma once

#include <memory>

#include "train/trainer.hpp"

namespace millrace::train {

std::unique_ptr<Trainer> make_boosted_trees(const TrainerConfig& config);
std::unique_ptr<Trainer> make_baseline(const TrainerConfig& config);
std::unique_ptr<Trainer> make_command(const TrainerConfig& config);

// Golden rows are drawn with this; fixed, so that the seed of a training does not change what is compared.
constexpr std::uint64_t kGoldenSeed = 20;

}  // namespace millrace::train
