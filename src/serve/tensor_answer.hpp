// Answers of models that take tensors, row by row, as JSON. Pure.
#pragma once

#include <span>
#include <string>

#include "serve/predictor.hpp"

namespace millrace::serve {

// Row `row` of what Predictor::answer_tensor_rows() gave for `rows` rows: the value, list, or object by the labels of
// its one output; an object by the outputs' names where there are several. invalid_argument `serve.not_by_row`: an
// output is not one per row; `serve.not_text`: a text that is no UTF-8.
Result<void> append_tensor_row(std::string& out, const model::TensorSignature& signature,
                               std::span<const AnsweredTensors> answers, std::size_t row, std::size_t rows);

}  // namespace millrace::serve
