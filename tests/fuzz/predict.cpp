// The body of a prediction request, JSON (first byte even) or CSV, for a model with inputs of every type.
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
  auto text = fuzz::as_text(data, size);
  const bool csv = (fuzz::take_choice(text) & 1) != 0;
  const std::string body(text);  // the parser may not read past it: a string ends where it ends
  const model::ParseLimits limits{.bytes_max = 4096, .rows_max = 50};
  model::Problem problem;
  auto rows = csv ? parser.parse_csv(body, limits, &problem) : parser.parse_json(body, limits, &problem);
  if (!fuzz::answered(rows)) {
    fuzz::require(!problem.expected.empty(), "what was expected is told");
    return 0;
  }
  fuzz::require(!rows->rows.empty() && rows->rows.size() <= limits.rows_max, "as many rows as allowed, and not none");
  fuzz::require(rows->keys.size() == rows->rows.size(), "a key for each row");
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
