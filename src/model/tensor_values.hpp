// Elements of tensors one by one: packed from numbers, written as JSON. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/tensor.hpp"

namespace millrace::model {

// `x` rounded to the nearest that the datatype holds, ties to even; nullopt beyond its largest.
std::optional<double> round_to(Datatype type, double x);
double from_half(std::uint16_t bits);
double from_bfloat(std::uint16_t bits);

// Appends one element in little-endian. False: the datatype does not hold it (too large, or not whole where that is
// asked for), and nothing is appended. Numbers are rounded to FP datatypes; NaN and infinities are kept by those. BOOL
// takes 0 and 1. Of BYTES always false.
bool pack_number(Datatype type, double x, std::string& out);
bool pack_whole(Datatype type, std::int64_t x, std::string& out);
bool pack_natural(Datatype type, std::uint64_t x, std::string& out);

// Elements `from` to `from + count` as JSON, commas between: numbers as the shortest text that reads back the same,
// null for NaN and infinities. False: a text among them is no UTF-8.
bool append_json_elements(std::string& out, Datatype type, const TensorAnswer::Output& tensor, std::size_t from,
                          std::size_t count);
// The same in brackets as its axes from `axis` on are nested; elements from `from` on.
bool append_json_nested(std::string& out, Datatype type, const TensorAnswer::Output& tensor, std::size_t axis,
                        std::size_t from);
// Whether all numbers are finite; true for what is no FP.
bool all_finite(Datatype type, const TensorAnswer::Output& tensor);

// Tensors with their memory. Views stay right when this is moved.
struct OwnedTensors {
  std::vector<TensorView> views;
  std::shared_ptr<void> memory;
};

}  // namespace millrace::model
