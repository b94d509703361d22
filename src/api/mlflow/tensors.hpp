// MLflow's forms for models that take tensors. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/v2/tensor.hpp"
#include "model/manifest.hpp"
#include "serve/predictor.hpp"

namespace millrace::api::mlflow {

// {"inputs": ..}: a list in as many levels as the tensor has axes, or {name: list,..};
// {"instances": ..}: such a list, or [{name: value,..},..], which are stacked.
// Datatypes are the model's; shapes are as the lists are nested, with a last axis of 1 where the model has one more.
// nullopt: the body has rows (dataframe_split, dataframe_records, CSV), see rows_of(). invalid_argument
// `mlflow.bad_form`, `api.bad_json`, `v2.bad_data`, `model.unknown_input` (with the nearest name).
Result<std::optional<std::vector<v2::Tensor>>> tensors_of(std::string_view body,
                                                          const model::TensorSignature& signature);

// {"predictions": .., "id": .., "model": ..}: the model's one output, nested as its axes are, or {name: output,..}.
// invalid_argument `v2.not_text`.
Result<std::string> render_tensors(const model::TensorSignature& signature, const serve::AnsweredTensors& answered,
                                   std::string_view name_and_version);
// {"predictions": [..], "ids": [..], "model": ..}, of rows.
Result<std::string> render_tensor_rows(const model::TensorSignature& signature,
                                       std::span<const serve::AnsweredTensors> answers, std::size_t rows,
                                       std::string_view name_and_version);

}  // namespace millrace::api::mlflow
