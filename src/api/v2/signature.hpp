// How a model's columns and answers are tensors. Pure.
//
// Inputs: one tensor per column, named as the column, of shape [rows] or [rows, 1]: FP64 for numbers, INT64 for whole
// numbers, BOOL, BYTES for texts, categories, dates and times (ISO 8601). Any FP or INT datatype is taken for a number.
// A column that is not sent is missing, where the model allows that. A model whose columns are all numbers also takes
// one tensor `input-0` of shape [rows, columns] instead, columns in the order of the metadata. The key column is one
// more input (BYTES or whole numbers) that may be there.
//
// A bare model (Manifest::bare_outputs) has the one input `input-0`, FP32 [rows, features], in its metadata, and takes
// its features by name besides; its one output is `predict`, FP32 [rows, outputs].
//
// Outputs: `prediction` (BYTES: the class; FP64 for regression), and for classes `probability` (of that class) and
// `probabilities` of shape [rows, classes], FP64. `prediction_id` (BYTES) only where asked for by name.
//
// A model that takes tensors (Manifest::tensors) has its own inputs and outputs, as they are.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/v2/infer_request.hpp"
#include "model/loaded.hpp"

namespace millrace::api::v2 {

inline constexpr std::string_view kBareOutput = "predict";
inline constexpr std::array<std::size_t, 1> kBareOutputs = {0};  // its place among outputs_of()

using model::TensorInfo;  // of the models above, -1 in a shape is as many as there are rows
std::vector<TensorInfo> inputs_of(const model::Manifest& manifest);
std::vector<TensorInfo> outputs_of(const model::Manifest& manifest);  // those answered when none is named
inline constexpr std::string_view kIdOutput = "prediction_id";
bool takes_matrix(const model::Manifest& manifest);
InferLimits limits_of(const model::Manifest& manifest);

// The rows as /predict would have read them. invalid_argument `v2.unknown_input` (with the nearest name),
// `v2.wrong_datatype`, `v2.bad_shape` (also: not as many rows as another input), `v2.bad_data`, `v2.missing_input`.
Result<model::ParsedRows> rows_of(const model::Manifest& manifest, std::vector<Tensor> inputs);

// A bare model's request that is its matrix and nothing else: what rows_of() would read, without making rows of it.
struct Matrix {
  std::vector<float> features;  // [rows, the model's inputs], NaN missing
  std::size_t rows = 0;
};
std::optional<Matrix> matrix_of(const model::Manifest& manifest, const InferRequest& request);

// The same for a model that takes tensors: views into the request, in the model's order, and which outputs are asked
// for. Errors of model::check_tensors(). The outputs are known to be right: check_outputs().
struct TensorsAsked {
  std::vector<model::TensorView> inputs;
  std::vector<std::size_t> outputs;
};
Result<TensorsAsked> tensors_asked(const model::Manifest& manifest, const InferRequest& request);

// invalid_argument `v2.unknown_output`, also where one is named twice.
Result<void> check_outputs(const model::Manifest& manifest, std::span<const WantedOutput> wanted);

}  // namespace millrace::api::v2
