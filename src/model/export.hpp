// What leaves the product: a model in a form that other programs read.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "model/runtime.hpp"

namespace millrace::model {

//   "ubj", "xgboost-json"  XGBoost's model file: where the artifact holds that format the file as it is, else the
//   engine
//                          converts it. What turns values into features (categories, dates) is not in it.
//   "manifest"             the artifact's manifest.json, which says that: it goes beside such a file
//   "onnx"                 all of it in one graph: an input per column, the outputs of /v2 (docs/guide/operations.md)
// failed_precondition `model.other_engine` when the engine is no XGBoost, `model.no_onnx_form` where no graph of ours
// says what the model does; invalid_argument `model.bad_format`; else read_artifact's and the library's errors.
Result<std::string> export_model(std::string_view artifact, std::string_view format, const Libraries& libraries);

}  // namespace millrace::model
