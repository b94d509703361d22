// A tensor of the Open Inference Protocol: names and sizes of its datatypes, its elements, read from JSON and from
// binary data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "table/value.hpp"

namespace millrace::api::v2 {

enum class Datatype {
  boolean,
  uint8,
  uint16,
  uint32,
  uint64,
  int8,
  int16,
  int32,
  int64,
  fp16,
  fp32,
  fp64,
  bf16,
  bytes
};
std::string_view datatype_name(Datatype type);  // "BOOL", "FP64", ...
std::optional<Datatype> datatype_of(std::string_view name);
std::size_t element_bytes(Datatype type);  // 0: BYTES, whose elements have their own length

// Elements in row-major order: bool for BOOL; int64 for whole numbers, double for those that int64 does not hold;
// double for FP*; text for BYTES; null is missing (a NaN, or what the request declares as missing).
struct Tensor {
  std::string name;
  Datatype datatype = Datatype::fp64;
  std::vector<std::int64_t> shape;
  std::vector<table::Value> elements;
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

// `x` rounded to the nearest that the datatype holds, ties to even; nullopt beyond its largest.
std::optional<double> round_to(Datatype type, double x);
double from_half(std::uint16_t bits);

}  // namespace millrace::api::v2
