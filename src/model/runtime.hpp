// An engine that holds a trained model and answers rows of features. Any number of threads may call one Runtime;
// answers do not depend on how rows are grouped into calls, nor on the thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "model/manifest.hpp"
#include "model/tensor.hpp"

namespace millrace {
class Log;
}

namespace millrace::model {

// What a Runtime's outputs mean.
enum class OutputKind {
  margin,       // log-odds (binary), one unnormalised log-probability per class (multiclass)
  probability,  // of the positive class (binary), of each class (multiclass)
  value,        // regression: the prediction itself
};

class Runtime {
 public:
  virtual ~Runtime() = default;
  virtual OutputKind kind() const = 0;
  virtual const std::string& version() const = 0;  // of the engine's library
  virtual const std::string& build() const = 0;
  // `features`: rows x feature_count floats, row-major, NaN missing. Replaces `out` by rows x output_count floats.
  // internal `model.engine` when the engine fails.
  virtual Result<void> predict(std::span<const float> features, std::size_t rows, std::vector<float>& out) const = 0;
  // What each feature added to the output: rows x output_count x (feature_count + 1), the last of each is the bias;
  // they sum to the margin (to the value for regression) within float rounding. unimplemented `model.no_contributions`
  // where the engine can't say. Slow (a lock, many times a prediction): for `why`, not for traffic.
  virtual Result<void> contributions(std::span<const float> features, std::size_t rows,
                                     std::vector<float>& out) const = 0;
  virtual bool explains() const { return true; }            // false: contributions() is unimplemented
  virtual std::uint64_t memory_bytes() const { return 0; }  // about; what does not count is small
  virtual bool own_trees() const { return false; }  // the trees are evaluated here, proven bit-equal to their engine
  // A model whose inputs are tensors of its own: predict() refuses, this answers. nullptr: it takes rows of features.
  virtual const TensorModel* tensors() const { return nullptr; }
};

// Where engines are; an empty path is the loader's own search.
struct Libraries {
  std::string xgboost;
  std::string onnxruntime;
};

// Opens those that have a path, for good. unavailable `model.engine_missing`,
// failed_precondition `model.engine_version`, with the path and what is wrong with it.
Result<void> check_libraries(const Libraries& libraries);

class FlatCache;

struct RuntimeOptions {
  Libraries libraries;
  int threads = 1;  // of one call. 1 for online; batches may use more, with equal answers
  // Trees that our own evaluation answers bit-equal to their engine are served by it, tens of times faster. False: by
  // the engine itself.
  bool own_trees = true;
  bool explains = true;  // false: what only contributions() needs is let go (the engine, once its trees are proven)
  FlatCache* cache = nullptr;  // where proven trees are kept and taken from; unused where `explains`
  Log* log = nullptr;          // where it says why an engine's trees are not served by our own evaluation
  std::string name;            // of the model, for that line
};

// Opens the engine that the manifest names (xgboost, constant, onnx) on its file. unimplemented `model.unknown_engine`;
// data_loss `model.bad_engine_file` when the engine refuses the file or its width is not the manifest's.
Result<std::unique_ptr<Runtime>> open_runtime(const Manifest& manifest, std::string_view engine_file,
                                              const RuntimeOptions& options);

// The engine file of a `constant` model: the same outputs for every row. Outputs are margins (values for regression).
std::string constant_engine_file(const std::vector<float>& outputs);

}  // namespace millrace::model
