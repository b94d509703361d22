// One factory per engine; runtime.cpp lists them.
#pragma once

#include "model/runtime.hpp"

namespace millrace::model {

Result<std::unique_ptr<Runtime>> open_xgboost(const Manifest& manifest, std::string_view file,
                                              const RuntimeOptions& options);
Result<std::unique_ptr<Runtime>> open_onnx(const Manifest& manifest, std::string_view file,
                                           const RuntimeOptions& options);
Result<std::unique_ptr<Runtime>> open_constant(const Manifest& manifest, std::string_view file);

// XGBoost's own file as it is, UBJSON: its prediction (not its margin) under any objective. Completes the manifest:
// `bare_outputs` and the engine's version and build. The inputs are there already.
Result<std::unique_ptr<Runtime>> open_bare_xgboost(Manifest& manifest, std::string_view ubj,
                                                   const RuntimeOptions& options);
// A model file in JSON as one in UBJSON.
Result<std::string> xgboost_json_to_ubj(std::string_view json, const RuntimeOptions& options);

// Out of a booster's configuration (XGBoosterSaveJsonConfig). invalid_argument `json.malformed`.
Result<std::string> xgboost_objective(std::string_view config);

// data_loss `model.bad_engine_file`.
std::unexpected<Error> bad_engine_file(const Manifest& manifest, std::string why);

}  // namespace millrace::model
