// The body of a prediction request, JSON (first byte even) or CSV, for a model with inputs of every type.
#include "fuzz/models.hpp"
#include "model/rows.hpp"

using namespace millrace;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto described = fuzz::model_of_every_type();
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
  fuzz::require_rows_of(described, rows->rows);
  return 0;
}
