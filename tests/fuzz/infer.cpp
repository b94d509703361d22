// The body of an inference request (Open Inference Protocol), JSON alone or with binary tensors behind its last brace, for
// a model with inputs of every type, or of numbers alone.
#include "api/v2/signature.hpp"
#include "fuzz/fuzz.hpp"

using namespace millrace;

namespace {

model::Manifest manifest(bool numbers) {
  using table::Type;
  model::Manifest m;
  m.name = "fuzzed";
  m.target = "left";
  m.classes = {"no", "yes"};
  m.positive = "yes";
  m.inputs = {{.name = "a", .type = Type::int64, .required = true},
              {.name = "x", .type = Type::float64},
              {.name = "m", .type = Type::boolean, .encoding = model::Encoding::boolean}};
  if (!numbers) {
    m.inputs.push_back({.name = "c", .type = Type::text, .encoding = model::Encoding::category, .categories = {"A", "B"}});
    m.inputs.push_back({.name = "d", .type = Type::date, .encoding = model::Encoding::date_parts});
    m.inputs.push_back({.name = "t", .type = Type::timestamp, .encoding = model::Encoding::date_parts});
  }
  m.key = "id";
  m.ignored = {"note"};
  return m;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const model::Manifest models[] = {manifest(false), manifest(true)};
  auto text = fuzz::as_text(data, size);
  const auto choice = fuzz::take_choice(text);
  const auto& described = models[choice & 1];
  std::optional<std::size_t> json_bytes;
  if (choice & 2) json_bytes = text.rfind('}') + 1;  // npos + 1 is 0
  if (choice & 4) json_bytes = choice;
  const std::string body(text);  // the parser may not read past it: a string ends where it ends
  auto limits = api::v2::limits_of(described);
  limits.rows_max = 50;
  auto ask = api::v2::parse_infer(body, json_bytes, limits);
  if (!fuzz::answered(ask)) return 0;
  for (const auto& tensor : ask->inputs) {
    std::size_t count = 1;
    for (const auto each : tensor.shape) count *= static_cast<std::size_t>(each);
    fuzz::require(tensor.elements.size() == count && count > 0, "as many elements as the shape says");
  }
  const auto count = static_cast<std::size_t>(ask->inputs.front().shape[0]);
  (void)api::v2::check_outputs(described, ask->outputs);
  auto rows = api::v2::rows_of(described, std::move(ask->inputs));
  if (!fuzz::answered(rows)) return 0;
  fuzz::require(rows->rows.size() == count && count <= 50, "as many rows as the tensors, within the limit");
  fuzz::require(rows->keys.size() == count, "a key for each row");
  for (const auto& row : rows->rows) {
    fuzz::require(row.size() == described.inputs.size(), "a value for each input");
    for (std::size_t i = 0; i < row.size(); ++i) {
      const auto& value = row[i];
      fuzz::require(table::is_null(value) || table::from_text(table::to_text(value), described.inputs[i].type),
                    "null, or a value of the input's type");
    }
  }
  return 0;
}
