// A whole model as one ONNX graph: from column values to decision and score. The parts, in their order.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "model/manifest.hpp"
#include "model/onnx_message_internal.hpp"
#include "model/trees_internal.hpp"

namespace millrace::model {

// failed_precondition `model.no_onnx_form`.
std::unexpected<Error> no_onnx_form(std::string why);

// The text that stands for a missing value of a text input: "", or where that is a category, one that is none.
std::string onnx_missing_text(const Input& input);

// Adds the graph's inputs and what Encoder does with them: float features, [N, feature_count].
Result<std::string> onnx_features(const std::vector<Input>& inputs, OnnxGraph& graph);

// Margins, float [N, outputs]: the trees are added to the base in their order.
Result<std::string> onnx_margins(const Forest& forest, const std::string& features, OnnxGraph& graph);

// The whole file of what a manifest and its engine's file say. `engine_ubj`: of XGBoost as UBJSON.
Result<std::string> onnx_model(const Manifest& manifest, std::string_view engine_file);

}  // namespace millrace::model
