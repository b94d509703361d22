// The rows that prove a bare model, where somebody put them beside it.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace millrace::model {

struct GoldenFile {
  std::vector<std::vector<std::optional<double>>> inputs;
  std::vector<std::vector<double>> outputs;
  double tolerance = 0;
};

// invalid_argument `model.bad_golden`: not JSON of that shape, no rows, or not as many outputs as inputs.
Result<GoldenFile> parse_golden(std::string_view text);

}  // namespace millrace::model
