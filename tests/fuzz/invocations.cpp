// Bodies of /invocations (MLflow's scoring protocol), as rows of a model with inputs of every type.
#include "api/mlflow/scoring.hpp"
#include "fuzz/fuzz.hpp"
#include "model/rows.hpp"

using namespace millrace;

namespace {

model::Manifest manifest() {
  using table::Type;
  model::Manifest m;
  m.name = "fuzzed";
  m.target = "left";
  m.classes = {"no", "yes"};
  m.positive = "yes";
  m.inputs = {{.name = "age", .type = Type::int64, .required = true},
              {.name = "income", .type = Type::float64},
              {.name = "member", .type = Type::boolean, .encoding = model::Encoding::boolean},
              {.name = "city", .type = Type::text, .encoding = model::Encoding::category, .categories = {"A", "B"}},
              {.name = "joined", .type = Type::date, .encoding = model::Encoding::date_parts},
              {.name = "seen", .type = Type::timestamp, .encoding = model::Encoding::date_parts}};
  m.key = "id";
  m.ignored = {"note"};
  return m;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto described = manifest();
  static const model::RowParser parser(described);
  const model::ParseLimits limits{.bytes_max = 16384, .rows_max = 50};
  const std::string body(fuzz::as_text(data, size));
  const auto text = api::mlflow::rows_of(body, described, limits);
  if (!fuzz::answered(text)) return 0;
  fuzz::require(text->size() <= limits.bytes_max + 2, "as many bytes as allowed");
  const auto rows = parser.parse_json(*text, limits);
  if (fuzz::answered(rows)) fuzz::require(rows->rows.size() <= limits.rows_max, "as many rows as allowed");
  return 0;
}
