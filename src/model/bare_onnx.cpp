#include "model/bare_onnx.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <format>
#include <limits>

#include "base/digest.hpp"
#include "model/onnx_proof_internal.hpp"
#include "model/onnx_tensors_internal.hpp"
#include "model/tensor_rows.hpp"

namespace millrace::model {
namespace {

std::vector<std::size_t> all_outputs(const TensorSignature& signature) {
  std::vector<std::size_t> out(signature.outputs.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = i;
  return out;
}

bool shape_declared(const TensorInfo& info, std::span<const std::int64_t> shape) {
  if (info.shape.empty()) return true;
  if (info.shape.size() != shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (info.shape[i] >= 0 && info.shape[i] != shape[i]) return false;
  }
  return true;
}

Result<TensorAnswer> learn_and_run(OnnxTensors& model, std::span<const TensorView> inputs) {
  TRY_VOID(model.learn(inputs));
  return model.run(inputs, all_outputs(model.signature()));
}

Result<void> check_made_up(const TensorSignature& signature, const TensorAnswer& answer) {
  for (std::size_t i = 0; i < answer.outputs.size(); ++i) {
    const auto& info = signature.outputs[i];
    const auto& output = answer.outputs[i];
    // How many tensors a sequence has, and of which shapes, nothing declares.
    const bool sequence =
        std::ranges::find(signature.outputs, info.name + ".shapes", &TensorInfo::name) != signature.outputs.end();
    if (!sequence && !shape_declared(info, output.shape)) {
      return fail(Code::failed_precondition, "model.odd_output",
                  std::format("its output '{}' is declared as {}, and made-up inputs got {}; a golden file beside it "
                              "can prove it nevertheless",
                              info.name, shape_text(info.shape), shape_text(output.shape)));
    }
    if (!all_finite(info.datatype, output)) {
      return fail(Code::failed_precondition, "model.not_finite",
                  std::format("its output '{}' has numbers that are not finite for made-up inputs; a golden file "
                              "beside it can prove it nevertheless",
                              info.name));
    }
  }
  return {};
}

// One row and three, all zeros and small numbers. Axes of unknown meaning get the first of some sizes that the model
// computes.
Result<void> prove_made_up(OnnxTensors& model) {
  constexpr std::array<std::int64_t, 9> kSizes = {1, 2, 3, 8, 16, 64, 128, 224, 512};
  const auto inputs = model.signature().inputs;
  const auto any_size = [&](bool first) {
    return std::ranges::any_of(inputs, [&](const TensorInfo& input) {
      for (std::size_t i = 0; i < input.shape.size(); ++i) {
        if (input.shape[i] < 0 && (i == 0) == first) return true;
      }
      return false;
    });
  };
  const bool sizes = any_size(false), rows = any_size(true);
  std::string refused;
  for (const auto size : kSizes) {
    if (size > 1 && !sizes) break;
    const auto zeros = made_up_inputs(model.signature(), {.rows = 1, .size = size, .pattern = 0});
    auto answer = learn_and_run(model, zeros.views);
    if (!answer) {
      if (answer.error().code != Code::invalid_argument) return fail(std::move(answer).error());
      if (refused.empty()) refused = answer.error().message;
      continue;
    }
    TRY_VOID(check_made_up(model.signature(), *answer));
    for (const std::int64_t count : {1, 3}) {
      if (count > 1 && !rows) break;
      const auto numbers = made_up_inputs(model.signature(), {.rows = count, .size = size, .pattern = 1});
      auto more = model.run(numbers.views, all_outputs(model.signature()));
      if (!more) {
        return fail(Code::failed_precondition, "model.not_proven",
                    std::format("it computes one row of zeros, but not {} of small numbers: {}; put a golden file "
                                "beside it",
                                count, more.error().message));
      }
      TRY_VOID(check_made_up(model.signature(), *more));
    }
    return {};
  }
  return fail(Code::failed_precondition, "model.not_proven",
              "none of the made-up inputs does for it; put a golden file beside it: " + refused);
}

}  // namespace

Result<std::shared_ptr<const LoadedModel>> load_bare_onnx(const BareFile& file, const RuntimeOptions& options) {
  TRY(auto runtime, open_onnx_tensors(file.bytes, options));
  TRY_VOID(file.golden.empty() ? prove_made_up(*runtime)
                               : prove_by_golden(*runtime, file.golden, [&](std::span<const TensorView> inputs) {
                                   return runtime->learn(inputs);
                                 }));
  Manifest manifest;
  manifest.name = file.name;
  manifest.task = TaskType::regression;
  manifest.target = runtime->signature().outputs.front().name;
  manifest.target_type = table::Type::float64;
  manifest.engine = {.name = "onnx",
                     .version = runtime->version(),
                     .build = runtime->build(),
                     .file = "model.onnx",
                     .digest = sha256(file.bytes).hex(),
                     .bytes = static_cast<std::uint64_t>(file.bytes.size())};
  manifest.tensors = runtime->signature();
  manifest.inputs = row_inputs(manifest.tensors);
  return std::make_shared<const LoadedModel>(std::move(manifest), std::move(runtime), file.bytes.size());
}

}  // namespace millrace::model
