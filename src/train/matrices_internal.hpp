// The encoded rows as XGBoost's matrices.
#pragma once

#include <vector>

#include "model/encoder.hpp"
#include "model/xgboost_library.hpp"
#include "train/prepare_internal.hpp"

namespace millrace::train {

struct Matrices {
  model::Matrix train;
  model::Matrix validation;  // empty handle when there are no validation rows
};

// One pass over the data, encoding into blocks of floats, from which XGBoost fills quantile matrices (a byte or two per
// value); the blocks are gone when this returns. The result does not depend on how the data is cut into parts.
Result<Matrices> build_matrices(const TrainInput& input, const Prepared& prepared, const model::Encoder& encoder,
                                int max_bin, const model::XgboostPtr& library, TrainingData& data, Task& task);

}  // namespace millrace::train
