// One factory per engine; runtime.cpp lists them.
#pragma once

#include "model/runtime.hpp"

namespace millrace::model {

Result<std::unique_ptr<Runtime>> open_xgboost(const Manifest& manifest, std::string_view file,
                                              const RuntimeOptions& options);
Result<std::unique_ptr<Runtime>> open_onnx(const Manifest& manifest, std::string_view file,
                                           const RuntimeOptions& options);
Result<std::unique_ptr<Runtime>> open_constant(const Manifest& manifest, std::string_view file);

// Out of a booster's configuration (XGBoosterSaveJsonConfig). invalid_argument `json.malformed`.
Result<std::string> xgboost_objective(std::string_view config);

// data_loss `model.bad_engine_file`.
std::unexpected<Error> bad_engine_file(const Manifest& manifest, std::string why);

}  // namespace millrace::model
