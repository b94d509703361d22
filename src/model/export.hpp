// What leaves the product: the engine's own file out of an artifact, in a format that the engine's other users read.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "model/runtime.hpp"

namespace millrace::model {

// XGBoost's model file: "ubj" or "xgboost-json". Where the artifact holds that format it is the file as it is, else the
// engine converts it. What turns values into features (categories, dates) is not in it: see the artifact's manifest.
// failed_precondition `model.other_engine` when the engine is no XGBoost; invalid_argument `model.bad_format`; else
// read_artifact's and the library's errors.
Result<std::string> export_engine_file(std::string_view artifact, std::string_view format, const Libraries& libraries);

}  // namespace millrace::model
