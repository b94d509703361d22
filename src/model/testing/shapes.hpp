// Trees of every shape that XGBoost trains, for who reads its files.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "model/manifest.hpp"

namespace millrace::model::testing {

using Parameters = std::map<std::string, std::string>;

struct Shape {
  const char* name;
  TaskType task;
  Parameters parameters;
  int rounds = 20;
  std::size_t rows = 1'500;
  std::size_t features = 9;
  bool categories = false;  // the first three features are XGBoost's own categories
};

// What a test trains with. A name is printed when it fails.
const std::vector<Shape>& shapes();
// The model as UBJSON, over made-up rows with missing, huge and denormal numbers.
Result<std::string> train(const Shape& shape, std::uint64_t seed = 1);
// Of a model over its features: numbers, x0, x1, ...
Manifest manifest_of(const Shape& shape);

}  // namespace millrace::model::testing
