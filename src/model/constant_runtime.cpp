#include <cmath>

#include "base/json.hpp"
#include "model/runtime_internal.hpp"

namespace millrace::model {
namespace {

struct StoredConstant {
  int format = 1;
  std::vector<float> outputs;
};

class ConstantRuntime final : public Runtime {
 public:
  ConstantRuntime(OutputKind kind, int features, std::vector<float> outputs)
      : kind_(kind), features_(features), outputs_(std::move(outputs)) {}
  OutputKind kind() const override { return kind_; }
  const std::string& version() const override { return version_; }
  const std::string& build() const override { return build_; }

  Result<void> predict(std::span<const float>, std::size_t rows, std::vector<float>& out) const override {
    out.clear();
    out.reserve(rows * outputs_.size());
    for (std::size_t i = 0; i < rows; ++i) out.insert(out.end(), outputs_.begin(), outputs_.end());
    return {};
  }
  Result<void> contributions(std::span<const float>, std::size_t rows, std::vector<float>& out) const override {
    out.clear();
    for (std::size_t i = 0; i < rows; ++i) {
      for (const float output : outputs_) {
        out.insert(out.end(), static_cast<std::size_t>(features_), 0.0f);
        out.push_back(output);
      }
    }
    return {};
  }

 private:
  OutputKind kind_;
  int features_;
  std::vector<float> outputs_;
  std::string version_ = "1";
  std::string build_;
};

}  // namespace

std::string constant_engine_file(const std::vector<float>& outputs) {
  return json::render(StoredConstant{.outputs = outputs});
}

Result<std::unique_ptr<Runtime>> open_constant(const Manifest& manifest, std::string_view file) {
  auto stored = json::parse<StoredConstant>(file, manifest.engine.file);
  if (!stored) return bad_engine_file(manifest, stored.error().message);
  if (stored->format != 1 || stored->outputs.size() != static_cast<std::size_t>(output_count(manifest))) {
    return bad_engine_file(manifest, "it has the wrong number of outputs");
  }
  for (const float output : stored->outputs) {
    if (!std::isfinite(output)) return bad_engine_file(manifest, "an output is no finite number");
  }
  const auto kind = manifest.task == TaskType::regression ? OutputKind::value : OutputKind::margin;
  return std::make_unique<ConstantRuntime>(kind, feature_count(manifest.inputs), std::move(stored->outputs));
}

}  // namespace millrace::model
