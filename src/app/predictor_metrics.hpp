// What a predictor of many models shows to Prometheus.
#pragma once

#include <string>
#include <vector>

#include "serve/predictor.hpp"

namespace millrace::app {

// At most so many models have series of their own: the first ones by name. The rest is counted together, as `_others`,
// which no model can be called.
inline constexpr std::size_t kModelLabelsMax = 200;

std::string model_metrics(const std::vector<serve::Predictor::ModelState>& states,
                          const serve::Predictor::Memory& memory, std::size_t labels_max = kModelLabelsMax);

}  // namespace millrace::app
