// The messages of the Open Inference Protocol over gRPC: a ModelInferRequest with raw or typed contents, for a model with
// inputs of every type, of numbers alone, one that takes tensors, or a matrix; requests that name a model; settings.
#include "api/v2/grpc_request.hpp"
#include "api/v2/grpc_row.hpp"
#include "api/v2/load_request.hpp"
#include "api/v2/signature.hpp"
#include "fuzz/models.hpp"

using namespace millrace;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const model::Manifest models[] = {fuzz::model_of_every_type(), fuzz::model_of_numbers(),
                                          fuzz::model_of_tensors(), fuzz::model_of_matrix()};
  auto text = fuzz::as_text(data, size);
  const auto choice = fuzz::take_choice(text);
  const std::string message(text);  // nobody may read past it
  if (choice & 2) {
    (void)fuzz::answered(api::v2::parse_model_asked(message));
    (void)fuzz::answered(api::v2::parse_index_request(message));
    (void)fuzz::answered(api::v2::parse_grpc_load(message, true));
    (void)fuzz::answered(api::v2::parse_load_files(message));
    if (const auto settings = api::v2::parse_settings(message); fuzz::answered(settings))
      (void)fuzz::answered(api::v2::check_settings(api::v2::log_settings(), settings->asked));
    return 0;
  }
  const auto& described = models[choice & 16 ? 3 : choice & 8 ? 2 : choice & 1];
  auto limits = api::v2::limits_of(described);
  limits.rows_max = 50;
  if (!fuzz::answered(api::v2::parse_model_asked(message))) return 0;  // it is read first
  const auto plain = api::v2::read_grpc_row(message, described);
  auto ask = api::v2::parse_grpc_infer(message, limits);
  fuzz::require(ask || !plain, "refused both ways");
  if (!fuzz::answered(ask)) return 0;
  auto& request = ask->request;
  fuzz::require(!request.inputs.empty() && request.inputs.size() <= limits.inputs_max, "inputs, within the limit");
  if (described.takes_tensors()) {
    if (!fuzz::answered(api::v2::check_outputs(described, request.outputs))) return 0;
    const auto asked = api::v2::tensors_asked(described, request);
    if (fuzz::answered(asked)) fuzz::require_tensors(asked->inputs);
    return 0;
  }
  for (const auto& tensor : request.inputs) fuzz::require_elements(tensor, limits);
  const auto count = static_cast<std::size_t>(request.inputs.front().shape[0]);
  (void)api::v2::check_outputs(described, request.outputs);
  const auto matrix = api::v2::matrix_of(described, request);
  const auto rows = api::v2::rows_of(described, std::move(request.inputs));
  fuzz::require(rows || !plain, "refused both ways");
  if (plain) {
    fuzz::require(plain->id == request.id && request.outputs.empty() && !request.timeout && ask->raw && plain->rows.keys == rows->keys &&
                      plain->rows.rows == rows->rows,
                  "the same both ways");
  }
  fuzz::require_same(matrix, rows);
  if (!fuzz::answered(rows)) return 0;
  fuzz::require(rows->rows.size() == count && count <= 50, "as many rows as the tensors, within the limit");
  fuzz::require(rows->keys.size() == (described.key.empty() ? 0 : count), "a key for each row");
  fuzz::require_rows_of(described, rows->rows);
  return 0;
}
