// An ONNX file as other programs write it: a model with the file's own inputs and outputs, by their names
// (Manifest::tensors; onnx_tensors_internal.hpp says how maps and sequences become tensors).
#pragma once

#include <memory>

#include "base/result.hpp"
#include "model/bare.hpp"

namespace millrace::model {

// The file's text, not kept. Proven before it is handed out: ONNX Runtime takes it, and made-up inputs, the same every
// time, get finite answers of the shapes that the file declares. With `golden` its tensors prove the model instead:
//
//   {"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}],
//    "outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[0.5]}],"tolerance":0}
//
// as a request and its answer in the Open Inference Protocol, outputs that matter alone; or {"cases":[..]}, several of
// these. null is NaN. Equal as numbers of their datatype, or at most `tolerance` apart.
//
// data_loss `model.bad_engine_file`; unimplemented `model.odd_tensors`; failed_precondition `model.not_proven` (no
// made-up input does: a golden file is needed), `model.not_finite`, `model.odd_output`, `model.golden_mismatch`;
// invalid_argument `model.bad_golden`; unavailable `model.engine_missing`.
Result<std::shared_ptr<const LoadedModel>> load_bare_onnx(const BareFile& file, const RuntimeOptions& options);

}  // namespace millrace::model
