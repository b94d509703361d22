// ONNX files as they are written: protobuf messages by their fields' numbers (onnx.proto), and a graph that grows node
// by node.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace::model {

class OnnxMessage {
 public:
  OnnxMessage& number(int field, std::uint64_t value);
  OnnxMessage& bytes(int field, std::string_view value);
  OnnxMessage& message(int field, const OnnxMessage& value) { return bytes(field, value.out_); }
  OnnxMessage& real(int field, float value);
  OnnxMessage& packed(int field, std::span<const std::int64_t> values);
  OnnxMessage& packed(int field, std::span<const float> values);
  const std::string& text() const { return out_; }

 private:
  void varint(std::uint64_t value);
  std::string out_;
};

enum class OnnxType : std::uint8_t { fp32 = 1, int64 = 7, text = 8, boolean = 9, fp64 = 11 };

OnnxMessage onnx_tensor(std::string_view name, std::span<const std::int64_t> shape, std::span<const float> values);
OnnxMessage onnx_tensor(std::string_view name, std::span<const std::int64_t> shape, std::span<const double> values);
OnnxMessage onnx_tensor(std::string_view name, std::span<const std::int64_t> shape,
                        std::span<const std::int64_t> values);
OnnxMessage onnx_tensor(std::string_view name, std::span<const std::int64_t> shape,
                        std::span<const std::string> values);
// ValueInfoProto; -1 is the axis of the rows, `N`.
OnnxMessage onnx_value(std::string_view name, OnnxType type, std::span<const std::int64_t> shape,
                       std::string_view about = "");
OnnxMessage onnx_attribute(std::string_view name, std::int64_t value);
OnnxMessage onnx_attribute(std::string_view name, float value);
OnnxMessage onnx_attribute(std::string_view name, std::string_view value);
OnnxMessage onnx_attribute(std::string_view name, std::span<const std::int64_t> values);
OnnxMessage onnx_attribute(std::string_view name, std::span<const float> values);
OnnxMessage onnx_attribute(std::string_view name, std::span<const std::string> values);

// Values are named by what made them; names never meet those of the inputs and outputs, which begin otherwise.
class OnnxGraph {
 public:
  using Attributes = std::vector<OnnxMessage>;
  using Shape = std::vector<std::int64_t>;
  // `prefix`: no input's and no output's name begins with it.
  explicit OnnxGraph(std::string prefix) : prefix_(std::move(prefix)) {}

  void input(const OnnxMessage& value) { inputs_.push_back(value); }
  void output(const OnnxMessage& value) { outputs_.push_back(value); }
  // What it gives: a value named `result`, or with a name of its own.
  std::string node(std::string_view op, const std::vector<std::string>& inputs, const Attributes& attributes = {},
                   std::string_view domain = "", std::string result = "");
  template <class T>
  std::string constant(const Shape& shape, const std::vector<T>& values) {
    auto name = fresh();
    initializers_.push_back(onnx_tensor(name, shape, std::span<const T>(values)));
    return name;
  }
  std::string real(double value) { return constant<double>({}, {value}); }
  std::string single(float value) { return constant<float>({}, {value}); }
  std::string whole(std::int64_t value) { return constant<std::int64_t>({}, {value}); }
  std::string cast(const std::string& value, OnnxType type) {
    return node("Cast", {value}, {onnx_attribute("to", static_cast<std::int64_t>(type))});
  }
  // The values side by side; the value itself where it is the only one.
  std::string columns(const std::vector<std::string>& values);

  // ModelProto. `about`: metadata_props.
  std::string model(std::string_view name, const std::vector<std::pair<std::string, std::string>>& about) const;

 private:
  std::string fresh() { return prefix_ + std::to_string(next_++); }

  std::string prefix_;
  int next_ = 0;
  std::vector<OnnxMessage> nodes_, initializers_, inputs_, outputs_;
};

}  // namespace millrace::model
