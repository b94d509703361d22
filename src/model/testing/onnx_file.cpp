// ONNX files by hand: the few fields of onnx.proto that a linear model needs.
#include <bit>

#include "model/testing/models.hpp"

namespace millrace::model::testing {
namespace {

class Message {
 public:
  Message& number(int field, std::uint64_t value) {
    varint(static_cast<std::uint64_t>(field) << 3);
    varint(value);
    return *this;
  }
  Message& bytes(int field, std::string_view value) {
    varint(static_cast<std::uint64_t>(field) << 3 | 2);
    varint(value.size());
    out_.append(value);
    return *this;
  }
  Message& message(int field, const Message& value) { return bytes(field, value.out_); }
  const std::string& text() const { return out_; }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<char>((value & 0x7F) | 0x80));
    out_.push_back(static_cast<char>(value));
  }
  std::string out_;
};

constexpr std::uint64_t kFloat = 1;

Message tensor(const std::string& name, const std::vector<std::int64_t>& shape, const std::vector<float>& values) {
  Message out;
  for (const auto size : shape) out.number(1, static_cast<std::uint64_t>(size));  // dims
  out.number(2, kFloat);                                                          // data_type
  out.bytes(8, name);
  std::string raw;
  for (const float value : values) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    for (int i = 0; i < 4; ++i) raw.push_back(static_cast<char>((bits >> (8 * i)) & 0xFF));
  }
  return out.bytes(9, raw);  // raw_data
}

// ValueInfoProto of a float tensor [N, width].
Message value_info(const std::string& name, int width) {
  const Message shape =
      Message().message(1, Message().bytes(2, "N")).message(1, Message().number(1, static_cast<std::uint64_t>(width)));
  return Message().bytes(1, name).message(2, Message().message(1, Message().number(1, kFloat).message(2, shape)));
}

Message node(const std::string& op, const std::vector<std::string>& inputs, const std::string& output) {
  Message out;
  for (const auto& input : inputs) out.bytes(1, input);
  return out.bytes(2, output).bytes(4, op);
}

}  // namespace

std::string linear_onnx(int features, const std::vector<float>& weights, const std::vector<float>& biases, bool softmax,
                        const std::string& output) {
  const int width = static_cast<int>(biases.size());
  Message graph;
  graph.message(1, node("MatMul", {"x", "w"}, "m"));
  graph.message(1, node("Add", {"m", "b"}, softmax ? "s" : output));
  if (softmax) graph.message(1, node("Softmax", {"s"}, output));
  graph.bytes(2, "linear");
  graph.message(5, tensor("w", {features, width}, weights)).message(5, tensor("b", {width}, biases));
  graph.message(11, value_info("x", features)).message(12, value_info(output, width));
  return Message().number(1, 8).message(7, graph).message(8, Message().bytes(1, "").number(2, 13)).text();
}

}  // namespace millrace::model::testing
