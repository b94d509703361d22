// The body of an inference request (Open Inference Protocol), JSON alone or with binary tensors behind its last brace, for
// a model with inputs of every type, of numbers alone, one that takes tensors, or a matrix.
#include "api/v2/signature.hpp"
#include "fuzz/models.hpp"

using namespace millrace;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const model::Manifest models[] = {fuzz::model_of_every_type(), fuzz::model_of_numbers(),
                                          fuzz::model_of_tensors(), fuzz::model_of_matrix()};
  auto text = fuzz::as_text(data, size);
  const auto choice = fuzz::take_choice(text);
  const auto& described = models[choice & 16 ? 3 : choice & 8 ? 2 : choice & 1];
  std::optional<std::size_t> json_bytes;
  if (choice & 2) json_bytes = text.rfind('}') + 1;  // npos + 1 is 0
  if (choice & 4) json_bytes = choice;
  const std::string body(text);  // the parser may not read past it: a string ends where it ends
  auto limits = api::v2::limits_of(described);
  limits.rows_max = 50;
  auto ask = api::v2::parse_infer(body, json_bytes, limits);
  if (!fuzz::answered(ask)) return 0;
  if (described.takes_tensors()) {
    if (!fuzz::answered(api::v2::check_outputs(described, ask->outputs))) return 0;
    const auto asked = api::v2::tensors_asked(described, *ask);
    if (fuzz::answered(asked)) fuzz::require_tensors(asked->inputs);
    return 0;
  }
  for (const auto& tensor : ask->inputs) fuzz::require_elements(tensor, limits);
  const auto count = static_cast<std::size_t>(ask->inputs.front().shape[0]);
  (void)api::v2::check_outputs(described, ask->outputs);
  const auto matrix = api::v2::matrix_of(described, *ask);
  auto rows = api::v2::rows_of(described, std::move(ask->inputs));
  fuzz::require_same(matrix, rows);
  if (!fuzz::answered(rows)) return 0;
  fuzz::require(rows->rows.size() == count && count <= 50, "as many rows as the tensors, within the limit");
  fuzz::require(rows->keys.size() == (described.key.empty() ? 0 : count), "a key for each row");
  fuzz::require_rows_of(described, rows->rows);
  return 0;
}
