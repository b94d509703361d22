// MLflow's scoring protocol (https://mlflow.org/docs/latest/deployment/deploy-model-locally): what a client posts to
// /invocations, as rows, and the answer. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "model/rows.hpp"
#include "serve/predictor.hpp"

namespace millrace::api::mlflow {

// One of the four forms, as the JSON list of rows that model::RowParser reads:
//   {"dataframe_split": {"columns": [..], "data": [[..],..]}}    "index" may be there
//   {"dataframe_records": [{column: value,..},..]}
//   {"instances": [{column: value},..] or [[..],..]}             values in the order of the model's inputs
//   {"inputs": {column: [..],..} or a list as "instances"}
// NaN stands for a missing number, a list of one value for that value. "params" has to be empty: no model here takes
// any. invalid_argument `api.bad_json` (with the byte), `mlflow.bad_form`; resource_exhausted `model.too_many_rows`,
// `model.too_large`.
Result<std::string> rows_of(std::string_view body, const model::Manifest& manifest,
                            const model::ParseLimits& limits = {});

// {"predictions": [..], "ids": [..], "model": "churn:3"}: the decisions, or the values of a regression; besides what
// MLflow answers, the prediction ids that labels name, and "logged": false where a row's line could not be kept, and
// "fallback": true where something else answered than the version asked.
std::string render_answer(const model::Manifest& manifest, const serve::Answered& answered,
                          std::string_view name_and_version);

// {"error_code": .., "message": ..}
std::string render_error(const Error& error);

}  // namespace millrace::api::mlflow
