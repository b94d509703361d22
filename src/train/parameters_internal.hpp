// The parameters of boosted-trees: one table that checking, defaults, help and the call to XGBoost are read from.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "train/trainer.hpp"

namespace millrace::train {

struct BoostingParameters {
  std::map<std::string, std::string> resolved;  // all of them, defaults included, in one spelling per value
  std::map<std::string, std::string> engine;    // XGBoost's names and values
  int rounds = 0;
  int early_stopping_rounds = 0;  // 0: never stops early
};

std::vector<ParameterInfo> boosting_parameters();
Result<BoostingParameters> resolve_boosting(const std::map<std::string, std::string>& given, model::TaskType task);
// What "balanced" means for these rows (negative, positive) takes its place; nothing else changes.
void balance(BoostingParameters& parameters, std::span<const std::int64_t> class_rows);

}  // namespace millrace::train
