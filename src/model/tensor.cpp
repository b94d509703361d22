#include "model/tensor.hpp"

#include <algorithm>
#include <array>
#include <format>

#include "base/nearest.hpp"
#include "model/rows_internal.hpp"

namespace millrace::model {

namespace {

struct DatatypeFacts {
  std::string_view name;
  std::size_t bytes;
};
constexpr std::array<DatatypeFacts, 14> kDatatypeFacts = {{{"BOOL", 1},
                                                           {"UINT8", 1},
                                                           {"UINT16", 2},
                                                           {"UINT32", 4},
                                                           {"UINT64", 8},
                                                           {"INT8", 1},
                                                           {"INT16", 2},
                                                           {"INT32", 4},
                                                           {"INT64", 8},
                                                           {"FP16", 2},
                                                           {"FP32", 4},
                                                           {"FP64", 8},
                                                           {"BF16", 2},
                                                           {"BYTES", 0}}};

std::unexpected<Error> bad_tensor(std::string_view reason, std::string message) {
  return fail(Code::invalid_argument, reason, std::move(message));
}

bool shape_fits(const TensorInfo& info, std::span<const std::int64_t> shape) {
  if (info.shape.empty()) return true;
  if (shape.size() != info.shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (info.shape[i] >= 0 && info.shape[i] != shape[i]) return false;
  }
  return true;
}

Result<void> check_tensor(const TensorInfo& info, const TensorView& tensor) {
  if (tensor.datatype != info.datatype) {
    return bad_tensor("model.wrong_datatype",
                      std::format("input '{}' is {}, and {} was sent", info.name, datatype_name(info.datatype),
                                  datatype_name(tensor.datatype)));
  }
  if (!shape_fits(info, tensor.shape)) {
    return bad_tensor("model.wrong_shape",
                      std::format("input '{}' is of shape {}, and {} was sent{}", info.name, shape_text(info.shape),
                                  shape_text(tensor.shape),
                                  std::ranges::find(info.shape, -1) == info.shape.end() ? "" : " (-1: any size)"));
  }
  const auto count = elements_of(tensor.shape);
  const bool texts = info.datatype == Datatype::bytes;
  const auto sent = texts ? tensor.texts.size() : tensor.bytes.size() / element_bytes(info.datatype);
  if (sent != count || (!texts && tensor.bytes.size() % element_bytes(info.datatype) != 0)) {
    return bad_tensor("model.wrong_size", std::format("input '{}': {} elements were sent, its shape {} wants {}",
                                                      info.name, sent, shape_text(tensor.shape), count));
  }
  return {};
}

}  // namespace

std::string_view datatype_name(Datatype type) { return kDatatypeFacts[static_cast<std::size_t>(type)].name; }

std::optional<Datatype> datatype_of(std::string_view name) {
  for (std::size_t i = 0; i < kDatatypeFacts.size(); ++i) {
    if (kDatatypeFacts[i].name == name) return static_cast<Datatype>(i);
  }
  return std::nullopt;
}

std::size_t element_bytes(Datatype type) { return kDatatypeFacts[static_cast<std::size_t>(type)].bytes; }

bool is_float(Datatype type) {
  return type == Datatype::fp16 || type == Datatype::fp32 || type == Datatype::fp64 || type == Datatype::bf16;
}

std::vector<std::size_t> TensorSignature::plain_outputs() const {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!outputs[i].optional) out.push_back(i);
  }
  return out;
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string out = "[";
  for (const auto size : shape) out += (out.size() > 1 ? "," : "") + std::to_string(size);
  return out + "]";
}

std::size_t elements_of(std::span<const std::int64_t> shape) {
  std::size_t count = 1;
  for (const auto size : shape) count *= static_cast<std::size_t>(size);
  return count;
}

Result<std::vector<TensorView>> check_tensors(const TensorSignature& signature, std::span<const TensorView> tensors) {
  const auto& inputs = signature.inputs;
  std::vector<TensorView> out(inputs.size());
  std::vector<bool> seen(inputs.size());
  for (const auto& tensor : tensors) {
    const auto at = std::ranges::find(inputs, tensor.name, &TensorInfo::name);
    if (at == inputs.end()) {
      std::vector<std::string> names;
      for (const auto& input : inputs) names.push_back(input.name);
      const auto near = nearest(tensor.name.substr(0, 200), names);
      return bad_tensor("model.unknown_input",
                        std::format("the model has no input {}{}; its metadata lists them", quoted(tensor.name),
                                    near.empty() ? "" : std::format(" (did you mean '{}'?)", near)));
    }
    const auto place = static_cast<std::size_t>(at - inputs.begin());
    if (seen[place]) return bad_tensor("model.wrong_shape", std::format("the input '{}' is there twice", at->name));
    seen[place] = true;
    TRY_VOID(check_tensor(*at, tensor));
    out[place] = tensor;
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!seen[i]) {
      return bad_tensor("model.missing_input",
                        std::format("the input '{}' ({} {}) is missing", inputs[i].name,
                                    datatype_name(inputs[i].datatype), shape_text(inputs[i].shape)));
    }
  }
  return out;
}

}  // namespace millrace::model
