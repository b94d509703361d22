// ONNX files by hand: linear models.
#include "model/onnx_message_internal.hpp"
#include "model/testing/models.hpp"

namespace millrace::model::testing {

std::string linear_onnx(int features, const std::vector<float>& weights, const std::vector<float>& biases, bool softmax,
                        const std::string& output) {
  const auto width = static_cast<std::int64_t>(biases.size());
  const std::int64_t in[] = {-1, features}, out[] = {-1, width};
  OnnxGraph graph("_");
  graph.input(onnx_value("x", OnnxType::fp32, in));
  const auto product = graph.node("MatMul", {"x", graph.constant<float>({features, width}, weights)});
  const auto sum = graph.node("Add", {product, graph.constant<float>({width}, biases)}, {}, "", softmax ? "" : output);
  if (softmax) graph.node("Softmax", {sum}, {}, "", output);
  graph.output(onnx_value(output, OnnxType::fp32, out));
  return graph.model("linear", {});
}

}  // namespace millrace::model::testing
