// Bodies of /invocations (MLflow's scoring protocol), as rows of a model with inputs of every type, and as tensors.
#include "api/mlflow/scoring.hpp"
#include "api/mlflow/tensors.hpp"
#include "api/v2/signature.hpp"
#include "fuzz/models.hpp"
#include "model/rows.hpp"

using namespace millrace;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto described = fuzz::model_of_every_type();
  static const model::RowParser parser(described);
  const model::ParseLimits limits{.bytes_max = 16384, .rows_max = 50};
  static const auto of_tensors = fuzz::model_of_tensors();
  const std::string body(fuzz::as_text(data, size));
  if (auto tensors = api::mlflow::tensors_of(body, of_tensors.tensors); fuzz::answered(tensors) && *tensors) {
    const api::v2::InferRequest ask{.inputs = **std::move(tensors)};
    if (const auto asked = api::v2::tensors_asked(of_tensors, ask); fuzz::answered(asked))
      fuzz::require_tensors(asked->inputs);
  }
  const auto text = api::mlflow::rows_of(body, described, limits);
  if (!fuzz::answered(text)) return 0;
  fuzz::require(text->size() <= limits.bytes_max + 2, "as many bytes as allowed");
  const auto rows = parser.parse_json(*text, limits);
  if (!fuzz::answered(rows)) return 0;
  fuzz::require(rows->rows.size() <= limits.rows_max, "as many rows as allowed");
  fuzz::require_rows_of(described, rows->rows);
  return 0;
}
