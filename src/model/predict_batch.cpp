// Apart from loaded.cpp because it needs Arrow through table.hpp.
#include "model/loaded.hpp"
#include "table/table.hpp"

namespace millrace::model {

Result<std::vector<Answer>> LoadedModel::predict(const table::Batch& batch, EncodeStats& stats) const {
  std::vector<float> features;
  TRY_VOID(encoder_.encode_batch(batch, features, stats));
  return predict_features(features, static_cast<std::size_t>(batch.rows()));
}

}  // namespace millrace::model
