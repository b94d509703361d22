// A tensor of the Open Inference Protocol: names and sizes of its datatypes, its elements, read from JSON and from
// binary data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "model/tensor_values.hpp"
#include "table/value.hpp"

namespace millrace::api::v2 {

using model::Datatype;
using model::datatype_name;
using model::datatype_of;
using model::element_bytes;

// Elements in row-major order: bool for BOOL; int64 for whole numbers, double for those that int64 does not hold;
// double for FP*; text for BYTES; null is missing (a NaN, or what the request declares as missing).
//
// Of a model that takes tensors, and the matrix of a bare one (InferLimits::packed()), they stay as the engine wants
// them, without values of ours: `bytes`, or `texts` of BYTES, which are views into the request's body or into `memory`.
struct Tensor {
  std::string name;
  Datatype datatype = Datatype::fp64;
  std::vector<std::int64_t> shape;
  std::vector<table::Value> elements;
  std::string_view bytes;
  std::vector<std::string_view> texts;
  std::shared_ptr<const void> memory;
};

// How a request says that a value is missing, beside NaN in FP*.
struct MissingRule {
  bool null = false;                // null in JSON; else it is refused
  std::optional<std::string> text;  // this text in BYTES
};

// Both fill `tensor.elements` by datatype and shape, which are checked (not negative, the product in bounds). All
// errors are invalid_argument `v2.bad_data` or `api.bad_json`, with the tensor's name; nothing is read outside.
//
// JSON: flat, or nested as the shape is. Numbers are rounded to the datatype; what it can't hold is refused.
Result<void> read_json(std::string_view data, const MissingRule& missing, Tensor& tensor);
// Binary: little-endian; of BYTES each element is its length in 4 bytes, then itself, UTF-8. `data` is used up whole.
Result<void> read_binary(std::string_view data, const MissingRule& missing, Tensor& tensor);

// The same for `bytes` and `texts`. A missing number is NaN in FP*, anything else that is missing is refused; infinite
// numbers are taken, and texts of any bytes. Binary `data` is not copied and outlives the tensor.
Result<void> pack_json(std::string_view data, const MissingRule& missing, Tensor& tensor);
Result<void> view_binary(std::string_view data, Tensor& tensor);

}  // namespace millrace::api::v2
