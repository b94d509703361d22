#include "serve/tensor_answer.hpp"

#include <format>

#include "base/text.hpp"
#include "model/tensor_values.hpp"

namespace millrace::serve {

namespace {

// One row's part of an output: a value, a list, or by the labels' names.
bool put_part(std::string& out, const model::TensorInfo& info, const model::TensorAnswer::Output& output,
              std::size_t row) {
  const auto each = model::elements_of(std::span(output.shape).subspan(1));
  if (output.shape.size() == 2 && !info.labels.empty() && info.labels.size() == each) {
    out += '{';
    for (std::size_t i = 0; i < each; ++i) {
      if (i) out += ',';
      append_json_text(out, info.labels[i]);
      out += ':';
      if (!model::append_json_elements(out, info.datatype, output, row * each + i, 1)) return false;
    }
    out += '}';
    return true;
  }
  if (each == 1) return model::append_json_elements(out, info.datatype, output, row, 1);
  return model::append_json_nested(out, info.datatype, output, 1, row * each);
}

// All outputs of one row; one alone stands for itself.
Result<void> put_row(std::string& out, const model::TensorSignature& signature, const model::TensorAnswer& answer,
                     std::size_t row, std::size_t rows) {
  const bool one = answer.outputs.size() == 1;
  if (!one) out += '{';
  for (std::size_t i = 0; i < answer.outputs.size(); ++i) {
    const auto& info = signature.outputs[i];
    const auto& output = answer.outputs[i];
    if (output.shape.empty() || static_cast<std::size_t>(output.shape[0]) != rows) {
      return fail(Code::invalid_argument, "serve.not_by_row",
                  std::format("its output '{}' is of shape {} for {} rows: this model is asked over /v2", info.name,
                              model::shape_text(output.shape), rows));
    }
    if (!one) {
      if (i) out += ',';
      append_json_text(out, info.name);
      out += ':';
    }
    if (!put_part(out, info, output, row)) {
      return fail(Code::invalid_argument, "serve.not_text",
                  std::format("its output '{}' is no UTF-8 text: ask for it over /v2 as binary data", info.name));
    }
  }
  if (!one) out += '}';
  return {};
}

}  // namespace

Result<void> append_tensor_row(std::string& out, const model::TensorSignature& signature,
                               std::span<const AnsweredTensors> answers, std::size_t row, std::size_t rows) {
  if (answers.size() == rows) return put_row(out, signature, answers[row].answer, 0, 1);
  return put_row(out, signature, answers[0].answer, row, rows);
}

}  // namespace millrace::serve
