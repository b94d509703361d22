// The parameters of boosted-trees: one table that checking, defaults, help and the call to XGBoost are read from.
#pragma once

#include <map>
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

}  // namespace millrace::train
