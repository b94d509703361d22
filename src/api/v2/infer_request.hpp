// The body of an inference request: JSON, or JSON with binary tensors behind it. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/v2/tensor.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"

namespace millrace::api::v2 {

inline constexpr std::string_view kMatrixInput = "input-0";

struct WantedOutput {
  std::string name;
  bool binary = false;
};

struct InferRequest {
  std::string id;  // "" where the client sent none
  std::vector<Tensor> inputs;
  std::vector<WantedOutput> outputs;  // empty: all of the model's
  bool binary_outputs = false;        // how those are sent where none is named
  std::optional<Duration> timeout;    // how long it may wait for its turn: the parameter `timeout`, in microseconds
};

// Before a tensor's elements are read its shape is held against these, so that no request makes us take more memory
// than /predict does for as many rows.
struct InferLimits {
  std::int64_t rows_max = 10'000;
  std::int64_t columns_max = 1;  // of a tensor of rank 2
  std::size_t inputs_max = 1;
  // A model that takes tensors: they are not rows, have up to axes_max axes, and stay as they are (Tensor::bytes). The
  // elements are held against the shape, and are no more than the body has room for.
  bool raw = false;
  std::size_t axes_max = 2;
  // A bare model: its matrix, FP32 [rows, matrix_columns] and called kMatrixInput, stays as it is too. 0: no such
  // model.
  std::int64_t matrix_columns = 0;
  bool packed(const Tensor& tensor) const {
    return raw || (matrix_columns > 0 && tensor.datatype == Datatype::fp32 && tensor.shape.size() == 2 &&
                   tensor.shape[1] == matrix_columns && tensor.name == kMatrixInput);
  }
  static constexpr std::int64_t kElementsMax = std::int64_t{1} << 40;
};

// `json_bytes`: of the Inference-Header-Content-Length header; the rest of the body is binary data. Absent: all of the
// body is JSON. All errors are invalid_argument: `api.bad_json`, `v2.bad_request` (a member is missing, doubled or of
// the wrong kind), `v2.bad_shape`, `v2.bad_datatype`, `v2.bad_data`, `v2.no_rows`, `v2.too_many_rows`,
// `v2.too_many_inputs`, `v2.not_offered` (shared memory, classification). Members and parameters that nobody here knows
// are passed over.
Result<InferRequest> parse_infer(std::string_view body, std::optional<std::size_t> json_bytes,
                                 const InferLimits& limits);

}  // namespace millrace::api::v2
