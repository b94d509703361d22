// Rows of values as a tensor model's inputs, where its inputs are columns: either one input of shape [rows, columns],
// whose columns are called f0, f1, ..., or inputs of shape [rows] or [rows, 1] alone, each a column with its own name.
// A model made for one row ([1, columns], [1], [1, 1]) takes rows one after the other. Pure.
#pragma once

#include <vector>

#include "base/result.hpp"
#include "model/manifest.hpp"
#include "model/tensor_values.hpp"

namespace millrace::model {

// The columns; empty: such a model takes no rows.
std::vector<Input> row_inputs(const TensorSignature& signature);
bool one_row_at_a_time(const TensorSignature& signature);

// `rows`: as RowParser reads them for row_inputs(). A missing number is NaN in FP; elsewhere invalid_argument
// `model.missing_input`. `model.out_of_range`: a number that the input's datatype does not hold.
Result<OwnedTensors> tensors_of_rows(const TensorSignature& signature, std::span<const table::Row> rows);

}  // namespace millrace::model
