#include <bit>

#include "model/onnx_message_internal.hpp"

namespace millrace::model {
namespace {

// Files that the libraries of several years read.
constexpr std::uint64_t kIrVersion = 8, kOperators = 13, kMlOperators = 3;

enum class OnnxAttributeType : std::uint8_t { real = 1, whole = 2, text = 3, reals = 6, wholes = 7, texts = 8 };

void put_little(std::uint64_t bits, int bytes, std::string& out) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>((bits >> (8 * i)) & 0xFF));
}

OnnxMessage tensor_head(std::string_view name, std::span<const std::int64_t> shape, OnnxType type) {
  OnnxMessage out;
  out.packed(1, shape).number(2, static_cast<std::uint64_t>(type)).bytes(8, name);
  return out;
}

OnnxMessage attribute_head(std::string_view name, OnnxAttributeType type) {
  return OnnxMessage().bytes(1, name).number(20, static_cast<std::uint64_t>(type));
}

OnnxMessage operator_set(std::string_view domain, std::uint64_t version) {
  return OnnxMessage().bytes(1, domain).number(2, version);
}

}  // namespace

void OnnxMessage::varint(std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<char>((value & 0x7F) | 0x80));
  out_.push_back(static_cast<char>(value));
}

OnnxMessage& OnnxMessage::number(int field, std::uint64_t value) {
  varint(static_cast<std::uint64_t>(field) << 3);
  varint(value);
  return *this;
}

OnnxMessage& OnnxMessage::bytes(int field, std::string_view value) {
  varint(static_cast<std::uint64_t>(field) << 3 | 2);
  varint(value.size());
  out_.append(value);
  return *this;
}

OnnxMessage& OnnxMessage::real(int field, float value) {
  varint(static_cast<std::uint64_t>(field) << 3 | 5);
  put_little(std::bit_cast<std::uint32_t>(value), 4, out_);
  return *this;
}

OnnxMessage& OnnxMessage::packed(int field, std::span<const std::int64_t> values) {
  OnnxMessage inner;
  for (const auto value : values) inner.varint(static_cast<std::uint64_t>(value));
  return inner.out_.empty() ? *this : message(field, inner);
}

OnnxMessage& OnnxMessage::packed(int field, std::span<const float> values) {
  std::string inner;
  for (const float value : values) put_little(std::bit_cast<std::uint32_t>(value), 4, inner);
  return inner.empty() ? *this : bytes(field, inner);
}

OnnxMessage onnx_tensor(std::string_view name, std::span<const std::int64_t> shape, std::span<const float> values) {
  std::string raw;
  for (const float value : values) put_little(std::bit_cast<std::uint32_t>(value), 4, raw);
  return tensor_head(name, shape, OnnxType::fp32).bytes(9, raw);
}

OnnxMessage onnx_tensor(std::string_view name, std::span<const std::int64_t> shape, std::span<const double> values) {
  std::string raw;
  for (const double value : values) put_little(std::bit_cast<std::uint64_t>(value), 8, raw);
  return tensor_head(name, shape, OnnxType::fp64).bytes(9, raw);
}

OnnxMessage onnx_tensor(std::string_view name, std::span<const std::int64_t> shape,
                        std::span<const std::int64_t> values) {
  std::string raw;
  for (const auto value : values) put_little(static_cast<std::uint64_t>(value), 8, raw);
  return tensor_head(name, shape, OnnxType::int64).bytes(9, raw);
}

OnnxMessage onnx_tensor(std::string_view name, std::span<const std::int64_t> shape,
                        std::span<const std::string> values) {
  auto out = tensor_head(name, shape, OnnxType::text);
  for (const auto& value : values) out.bytes(6, value);
  return out;
}

OnnxMessage onnx_value(std::string_view name, OnnxType type, std::span<const std::int64_t> shape,
                       std::string_view about) {
  OnnxMessage axes;
  for (const auto size : shape) {
    axes.message(1, size < 0 ? OnnxMessage().bytes(2, "N") : OnnxMessage().number(1, static_cast<std::uint64_t>(size)));
  }
  const auto tensor = OnnxMessage().number(1, static_cast<std::uint64_t>(type)).message(2, axes);
  auto out = OnnxMessage().bytes(1, name).message(2, OnnxMessage().message(1, tensor));
  if (!about.empty()) out.bytes(3, about);
  return out;
}

OnnxMessage onnx_attribute(std::string_view name, std::int64_t value) {
  return attribute_head(name, OnnxAttributeType::whole).number(3, static_cast<std::uint64_t>(value));
}
OnnxMessage onnx_attribute(std::string_view name, float value) {
  return attribute_head(name, OnnxAttributeType::real).real(2, value);
}
OnnxMessage onnx_attribute(std::string_view name, std::string_view value) {
  return attribute_head(name, OnnxAttributeType::text).bytes(4, value);
}
OnnxMessage onnx_attribute(std::string_view name, std::span<const std::int64_t> values) {
  return attribute_head(name, OnnxAttributeType::wholes).packed(8, values);
}
OnnxMessage onnx_attribute(std::string_view name, std::span<const float> values) {
  return attribute_head(name, OnnxAttributeType::reals).packed(7, values);
}
OnnxMessage onnx_attribute(std::string_view name, std::span<const std::string> values) {
  auto out = attribute_head(name, OnnxAttributeType::texts);
  for (const auto& value : values) out.bytes(9, value);
  return out;
}

std::string OnnxGraph::node(std::string_view op, const std::vector<std::string>& inputs, const Attributes& attributes,
                            std::string_view domain, std::string result) {
  if (result.empty()) result = fresh();
  OnnxMessage out;
  for (const auto& input : inputs) out.bytes(1, input);
  out.bytes(2, result).bytes(3, result + "/" + std::string(op)).bytes(4, op);
  for (const auto& attribute : attributes) out.message(5, attribute);
  if (!domain.empty()) out.bytes(7, domain);
  nodes_.push_back(std::move(out));
  return result;
}

std::string OnnxGraph::columns(const std::vector<std::string>& values) {
  if (values.size() == 1) return values[0];
  return node("Concat", values, {onnx_attribute("axis", std::int64_t{1})});
}

std::string OnnxGraph::model(std::string_view name,
                             const std::vector<std::pair<std::string, std::string>>& about) const {
  OnnxMessage graph;
  for (const auto& node : nodes_) graph.message(1, node);
  graph.bytes(2, name);
  for (const auto& initializer : initializers_) graph.message(5, initializer);
  for (const auto& input : inputs_) graph.message(11, input);
  for (const auto& output : outputs_) graph.message(12, output);
  auto out = OnnxMessage().number(1, kIrVersion).bytes(2, "millrace").message(7, graph);
  out.message(8, operator_set("", kOperators)).message(8, operator_set("ai.onnx.ml", kMlOperators));
  for (const auto& [key, value] : about) out.message(14, OnnxMessage().bytes(1, key).bytes(2, value));
  return out.text();
}

}  // namespace millrace::model
