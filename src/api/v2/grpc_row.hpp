// The short way for the request that clients send most: one row, raw contents, nothing asked for specially. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model/manifest.hpp"
#include "model/rows.hpp"

namespace millrace::api::v2 {

struct GrpcRow {
  std::string id;  // "" where the client sent none
  model::ParsedRows rows;
};

// What parse_grpc_infer() and rows_of() would read of a ModelInferRequest, without making tensors on the way. Nothing
// where one of them would refuse it, and also where it is only less plain: parameters, outputs by name, typed contents,
// several rows, a tensor that is not one of the model's columns, a datatype or a column that takes more than a copy.
std::optional<GrpcRow> read_grpc_row(std::string_view message, const model::Manifest& manifest);

}  // namespace millrace::api::v2
