#include <algorithm>
#include <array>
#include <cmath>

#include "model/onnx_library_internal.hpp"
#include "model/runtime_internal.hpp"

namespace millrace::model {
namespace {

// One row per call: kernels choose their way by the batch's size, and a row's last bits must not depend on its
// neighbours. (Measured elsewhere: 3 microseconds a row for a small network, so there is little to win.)
class OnnxRuntime final : public Runtime {
 public:
  OnnxRuntime(const OnnxLibrary& library, Ort::Session session, std::string input, std::string output,
              const Manifest& manifest)
      : library_(library),
        session_(std::move(session)),
        input_(std::move(input)),
        output_(std::move(output)),
        task_(manifest.task),
        features_(static_cast<std::size_t>(feature_count(manifest.inputs))),
        outputs_(static_cast<std::size_t>(output_count(manifest))) {}

  OutputKind kind() const override {
    return task_ == TaskType::regression ? OutputKind::value : OutputKind::probability;
  }
  const std::string& version() const override { return library_.version(); }
  const std::string& build() const override { return library_.build(); }

  Result<void> predict(std::span<const float> features, std::size_t rows, std::vector<float>& out) const override {
    out.clear();
    out.reserve(rows * outputs_);
    try {
      for (std::size_t row = 0; row < rows; ++row)
        TRY_VOID(predict_row(features.subspan(row * features_, features_), out));
    } catch (const std::exception& error) {
      return fail(Code::internal, "model.engine", "predicting: " + std::string(error.what()));
    }
    return {};
  }

  Result<void> contributions(std::span<const float>, std::size_t, std::vector<float>&) const override {
    return fail(Code::unimplemented, "model.no_contributions",
                "an ONNX model does not say what each input contributed");
  }

 private:
  Result<void> predict_row(std::span<const float> row, std::vector<float>& out) const {
    const std::array<std::int64_t, 2> shape = {1, static_cast<std::int64_t>(features_)};
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    // ONNX Runtime takes inputs as mutable and does not change them.
    Ort::Value value =
        Ort::Value::CreateTensor<float>(memory, const_cast<float*>(row.data()), row.size(), shape.data(), shape.size());
    const char* const inputs[] = {input_.c_str()};
    const char* const outputs[] = {output_.c_str()};
    auto results = const_cast<Ort::Session&>(session_).Run(Ort::RunOptions{nullptr}, inputs, &value, 1, outputs,
                                                           1);  // Run is thread-safe
    const std::size_t count = results[0].GetTensorTypeAndShapeInfo().GetElementCount();
    const float* data = results[0].GetTensorData<float>();
    const bool pair = task_ == TaskType::binary && count == 2;  // {negative, positive}
    if (!pair && count != outputs_) {
      return fail(Code::data_loss, "model.bad_engine_file",
                  "its output '" + output_ + "' has " + std::to_string(count) + " numbers a row, the manifest says " +
                      std::to_string(outputs_));
    }
    for (std::size_t i = pair ? 1 : 0; i < count; ++i) {
      const bool fits = std::isfinite(data[i]) && (task_ == TaskType::regression || (data[i] >= 0 && data[i] <= 1));
      if (!fits) {
        return fail(Code::internal, "model.engine",
                    "the model answers " + std::to_string(data[i]) + " where " +
                        (task_ == TaskType::regression ? "a number" : "a probability") +
                        " is due (a missing input? it can be given a `fill`)");
      }
      out.push_back(data[i]);
    }
    return {};
  }

  const OnnxLibrary& library_;
  Ort::Session session_;
  std::string input_, output_;
  TaskType task_;
  std::size_t features_, outputs_;
};

bool is_float_tensor(const Ort::TypeInfo& info) {
  return info.GetONNXType() == ONNX_TYPE_TENSOR &&
         info.GetTensorTypeAndShapeInfo().GetElementType() == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
}

// The output that holds probabilities or values: the one whose name says so, else the last one of floats.
std::string choose_output(const Ort::Session& session) {
  Ort::AllocatorWithDefaultOptions allocator;
  std::string chosen;
  for (std::size_t i = 0; i < session.GetOutputCount(); ++i) {
    if (!is_float_tensor(session.GetOutputTypeInfo(i))) continue;
    const std::string name = session.GetOutputNameAllocated(i, allocator).get();
    if (name.find("prob") != std::string::npos) return name;
    chosen = name;
  }
  return chosen;
}

}  // namespace

Result<std::unique_ptr<Runtime>> open_onnx(const Manifest& manifest, std::string_view file,
                                           const RuntimeOptions& options) {
  TRY(const OnnxLibrary* library, OnnxLibrary::open(options.libraries.onnxruntime));
  std::unique_ptr<OnnxRuntime> runtime;
  const auto features = static_cast<std::size_t>(feature_count(manifest.inputs));
  try {
    Ort::SessionOptions settings;
    settings.SetIntraOpNumThreads(1);
    settings.SetInterOpNumThreads(1);
    settings.SetLogSeverityLevel(ORT_LOGGING_LEVEL_ERROR);
    Ort::Session session = library->open_session(file, settings);
    if (session.GetInputCount() != 1 || !is_float_tensor(session.GetInputTypeInfo(0))) {
      return bad_engine_file(manifest, "it must have one input, a float tensor of one row per prediction");
    }
    const auto shape = session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape();
    if (shape.size() != 2 || shape[0] > 1 || (shape[1] >= 0 && static_cast<std::size_t>(shape[1]) != features)) {
      return bad_engine_file(
          manifest, "its input must be of any number of rows (or 1) by " + std::to_string(features) + " features");
    }
    Ort::AllocatorWithDefaultOptions allocator;
    std::string input = session.GetInputNameAllocated(0, allocator).get();
    std::string output = choose_output(session);
    if (output.empty())
      return bad_engine_file(manifest, "none of its outputs is a tensor of floats (a ZipMap? export without it)");
    runtime =
        std::make_unique<OnnxRuntime>(*library, std::move(session), std::move(input), std::move(output), manifest);
  } catch (const std::exception& error) {
    return bad_engine_file(manifest, error.what());
  }
  const std::vector<float> zeros(features);
  std::vector<float> out;
  if (auto first = runtime->predict(zeros, 1, out); !first) return bad_engine_file(manifest, first.error().message);
  return runtime;
}

}  // namespace millrace::model
