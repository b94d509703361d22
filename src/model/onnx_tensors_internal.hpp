// Any ONNX model, by its own names: tensors in, tensors out. What is no tensor becomes one:
//   a map, or a sequence of maps (a classifier's ZipMap): its values, [keys] or [items, keys], in the order of the
//   keys,
//     which are the output's labels
//   a sequence of tensors: stacked, [items, ...], where all have one shape, else their elements one after the other,
//     [-1]; and NAME.shapes, INT64 [items, axes], -1 where a tensor has fewer axes than another
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "model/runtime.hpp"
#include "model/tensor.hpp"

namespace millrace::model {

class OnnxTensors : public Runtime, public TensorModel {
 public:
  // Learns the keys of maps, which no file says in advance: runs the model, once before it is shared. Errors as run();
  // failed_precondition `model.odd_output` where a map has none.
  virtual Result<void> learn(std::span<const TensorView> inputs) = 0;
};

// data_loss `model.bad_engine_file`: no ONNX model, or one that this library can't run. unimplemented
// `model.odd_tensors`: inputs or outputs of a kind that is no tensor and does not become one.
Result<std::unique_ptr<OnnxTensors>> open_onnx_tensors(std::string_view file, const RuntimeOptions& options);

// As OnnxLibrary::open(), for who should not include the library's headers.
Result<void> check_onnx_library(const std::string& path);

}  // namespace millrace::model
