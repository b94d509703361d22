// LightGBM's text model as other programs write it: a model with one input `input-0`, FP64 [-1, features], and the
// output `predict`, FP64 [-1, outputs], which is what LightGBM's predict() answers, to the bit; `raw_score`, its
// margins, for who asks by name. Evaluated here, without LightGBM.
#pragma once

#include <memory>

#include "base/result.hpp"
#include "model/bare.hpp"

namespace millrace::model {

// Whether a file begins as such a model does.
bool looks_like_lightgbm(std::string_view bytes);

// The file's text, not kept. Proven before it is handed out: the whole file reads as what it is, and rows that are the
// same every time get finite answers; with `golden` its rows (as load_bare()) or tensors (as load_bare_onnx()) get its
// answers. data_loss `model.bad_engine_file`; unimplemented `model.no_flat_trees`; failed_precondition
// `model.not_finite`, `model.golden_mismatch`; invalid_argument `model.bad_golden`.
Result<std::shared_ptr<const LoadedModel>> load_bare_lightgbm(const BareFile& file, const RuntimeOptions& options);

}  // namespace millrace::model
