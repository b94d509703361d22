// What the targets for bodies of predictions share: a model, and what holds for rows that were read for one.
#pragma once

#include "api/v2/signature.hpp"
#include "fuzz/fuzz.hpp"
#include "model/manifest.hpp"

namespace millrace::fuzz {

inline model::Manifest model_of_every_type() {
  using table::Type;
  model::Manifest m;
  m.name = "fuzzed";
  m.target = "left";
  m.classes = {"no", "yes"};
  m.positive = "yes";
  m.inputs = {{.name = "age", .type = Type::int64, .required = true},
              {.name = "income", .type = Type::float64},
              {.name = "member", .type = Type::boolean, .encoding = model::Encoding::boolean},
              {.name = "city", .type = Type::text, .encoding = model::Encoding::category, .categories = {"A", "B"}},
              {.name = "joined", .type = Type::date, .encoding = model::Encoding::date_parts},
              {.name = "seen", .type = Type::timestamp, .encoding = model::Encoding::date_parts}};
  m.key = "id";
  m.ignored = {"note"};
  return m;
}

inline model::Manifest model_of_numbers() {
  auto m = model_of_every_type();
  m.inputs.resize(3);
  return m;
}

// One that takes its matrix as it is too.
inline model::Manifest model_of_matrix() {
  model::Manifest m;
  m.name = "fuzzed";
  m.inputs = {{.name = "f0", .type = table::Type::float64}, {.name = "f1", .type = table::Type::float64}};
  m.task = model::TaskType::regression;
  m.bare_outputs = 1;
  return m;
}

inline model::Manifest model_of_tensors() {
  using model::Datatype;
  model::Manifest m;
  m.name = "fuzzed";
  m.tensors.inputs = {{.name = "age", .datatype = Datatype::fp32, .shape = {-1, 2}},
                      {.name = "city", .datatype = Datatype::bytes, .shape = {-1}},
                      {.name = "member", .datatype = Datatype::boolean, .shape = {-1, 1}},
                      {.name = "n", .datatype = Datatype::int16, .shape = {}},
                      {.name = "half", .datatype = Datatype::fp16, .shape = {1, -1, 2}}};
  m.tensors.outputs = {{.name = "left", .datatype = Datatype::fp32, .shape = {-1}}};
  return m;
}

// What the engine gets is as long as its shape says, every byte of it there to be read.
inline void require_tensors(std::span<const model::TensorView> views) {
  std::size_t sum = 0;
  for (const auto& view : views) {
    const auto count = model::elements_of(view.shape);
    if (view.datatype == model::Datatype::bytes)
      require(view.texts.size() == count, "as many texts as the shape says");
    else
      require(view.bytes.size() == count * model::element_bytes(view.datatype), "as many bytes as the shape says");
    for (const char c : view.bytes) sum += static_cast<unsigned char>(c);
    for (const auto text : view.texts) {
      for (const char c : text) sum += static_cast<unsigned char>(c);
    }
  }
  volatile std::size_t kept = sum;
  (void)kept;
}

// What was read of a tensor is as much as its shape says.
inline void require_elements(const api::v2::Tensor& tensor, const api::v2::InferLimits& limits) {
  std::size_t count = 1;
  for (const auto each : tensor.shape) count *= static_cast<std::size_t>(each);
  const bool whole = limits.packed(tensor) ? tensor.bytes.size() == count * model::element_bytes(tensor.datatype)
                                           : tensor.elements.size() == count;
  require(whole && count > 0, "as many elements as the shape says");
}

// The shorter way gives what the rows are.
inline void require_same(const std::optional<api::v2::Matrix>& matrix, const Result<model::ParsedRows>& rows) {
  if (!matrix) return;
  require(rows && rows->rows.size() == matrix->rows, "rows where there is a matrix");
  for (std::size_t i = 0; i < matrix->features.size(); ++i) {
    const auto& value = rows->rows[i / 2][i % 2];
    const auto feature = matrix->features[i];
    require(table::is_null(value) ? feature != feature : std::get<double>(value) == static_cast<double>(feature),
            "the same value in both");
  }
}

inline void require_rows_of(const model::Manifest& described, const std::vector<table::Row>& rows) {
  for (const auto& row : rows) {
    require(row.size() == described.inputs.size(), "a value for each input");
    for (std::size_t i = 0; i < row.size(); ++i) {
      const auto& value = row[i];
      require(table::is_null(value) || table::from_text(table::to_text(value), described.inputs[i].type),
            "null, or a value of the input's type");
    }
  }
}

}  // namespace millrace::fuzz
