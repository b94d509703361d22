// What an ONNX file is proven with.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "model/tensor_values.hpp"

namespace millrace::model {

// Made-up inputs, the same every time: first axes of any size have `rows`, other axes of any size `size`; axes of one
// name are of one size, also where one of them is first. Numbers are small, whole ones 0 and 1; `pattern` 0: all are 0
// (texts empty). Pure.
struct MadeUp {
  std::int64_t rows = 1, size = 1;
  int pattern = 0;
};
OwnedTensors made_up_inputs(const TensorSignature& signature, const MadeUp& how);

// A golden file's cases.
struct GoldenTensors {
  OwnedTensors inputs;
  OwnedTensors outputs;
  double tolerance = 0;
};
// invalid_argument `model.bad_golden`.
Result<std::vector<GoldenTensors>> parse_golden_tensors(std::string_view text);

// Each case's inputs get its outputs. `before`, where there is one, is called with a case's inputs first.
// invalid_argument `model.bad_golden`; failed_precondition `model.golden_mismatch`.
Result<void> prove_by_golden(const TensorModel& model, std::string_view text,
                             const std::function<Result<void>(std::span<const TensorView>)>& before);

}  // namespace millrace::model
