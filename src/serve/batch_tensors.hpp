// Requests of tensors put together along their first axis, and the answer taken apart. Pure.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/tensor.hpp"

namespace millrace::serve {

// What requests that may be computed together have in common: every input and output wanted has rows as its first axis,
// of any number, all else is the same, and no element is a text or a half-precision number. nullopt: it stays alone.
std::optional<std::string> batch_kind(const model::TensorSignature& signature,
                                      std::span<const model::TensorView> inputs, std::span<const std::size_t> outputs);

// Inputs of one batch_kind(), one after the other, in memory of their own.
struct BatchedTensors {
  std::vector<model::TensorView> views;
  std::vector<std::string> bytes;
  std::vector<std::vector<std::int64_t>> shapes;
};
BatchedTensors put_together(std::span<const std::span<const model::TensorView>> requests);

// The answers of requests that have so many rows each, sharing the memory of `answer`. nullopt: an output does not have
// a row for each.
std::optional<std::vector<model::TensorAnswer>> take_apart(const model::TensorAnswer& answer,
                                                           std::span<const std::size_t> rows);

// Whether the values are those that were computed alone, up to what the order of a sum may change: 1e-4 of them or
// of 1.
bool about_equal(const model::TensorSignature& signature, std::span<const std::size_t> outputs,
                 const model::TensorAnswer& together, const model::TensorAnswer& alone);
bool about_equal(double together, double alone);

}  // namespace millrace::serve
