// Tensors as an engine takes and gives them, for models whose inputs are not one row of numbers. The names of datatypes
// are those of the Open Inference Protocol, so that what a client sends is what the engine gets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace millrace::model {

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
bool is_float(Datatype type);              // FP16, FP32, FP64, BF16

// What a model says of an input or an output.
struct TensorInfo {
  std::string name;
  Datatype datatype = Datatype::fp64;
  std::vector<std::int64_t> shape;  // -1: any size; {}: one value without an axis, or the model does not say
  bool optional =
      false;  // an input that may be left out; an output that is answered only where it is asked for by name
  std::vector<std::string> labels;  // what the places of the last axis are called; empty: nothing
  std::vector<std::string> axes;    // by axis, equal names are equal sizes; "" or absent: no name
  bool operator==(const TensorInfo&) const = default;
};
struct TensorSignature {
  std::vector<TensorInfo> inputs, outputs;         // optional outputs are the last ones
  std::vector<std::size_t> plain_outputs() const;  // places of those that are not optional
  bool operator==(const TensorSignature&) const = default;
};
std::string shape_text(std::span<const std::int64_t> shape);  // "[2,-1]"

// A tensor in somebody else's memory: elements in row-major order, little-endian.
struct TensorView {
  std::string_view name;
  Datatype datatype = Datatype::fp64;
  std::span<const std::int64_t> shape;
  std::string_view bytes;                   // of all but BYTES; any alignment
  std::span<const std::string_view> texts;  // of BYTES
};
std::size_t elements_of(std::span<const std::int64_t> shape);  // 1 for {}; the sizes are known to be in bounds

// Outputs in the order that was asked for, in memory that lives as long as `memory`.
struct TensorAnswer {
  struct Output {
    std::vector<std::int64_t> shape;
    std::string_view bytes;
    std::vector<std::string_view> texts;
  };
  std::vector<Output> outputs;
  std::shared_ptr<const void> memory;
};

// An engine that takes tensors. Any number of threads may call one.
class TensorModel {
 public:
  virtual ~TensorModel() = default;
  virtual const TensorSignature& signature() const = 0;
  // `inputs`: one for each of the signature's, in its order, and of its datatype and shape (check_tensors()).
  // `outputs`: places in the signature's. invalid_argument `model.engine_refused` where the engine can't compute these
  // inputs, resource_exhausted `model.engine_memory`.
  virtual Result<TensorAnswer> run(std::span<const TensorView> inputs, std::span<const std::size_t> outputs) const = 0;
};

// The tensors in the signature's order. invalid_argument `model.unknown_input` (with the nearest name),
// `model.missing_input`, `model.wrong_datatype`, `model.wrong_shape`, `model.wrong_size` (bytes or texts are not as
// many as the shape says). Pure.
Result<std::vector<TensorView>> check_tensors(const TensorSignature& signature, std::span<const TensorView> tensors);

}  // namespace millrace::model
