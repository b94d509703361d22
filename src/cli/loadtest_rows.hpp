// The rows that a load test sends, and the bodies that are made of them, each once before the start.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/native/wire.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"

namespace millrace::cli {

struct LoadColumn {
  std::string name;
  std::string datatype = "FP64";  // of the Open Inference Protocol
  int width = 1;                  // cells of a row that are one tensor: [rows, width]
};
struct LoadRows {
  std::vector<LoadColumn> columns;
  std::vector<std::vector<std::optional<std::string>>>
      rows;            // cells as text, in the order of the columns; none: missing
  std::string origin;  // "16 example rows of the server", "rows.csv"
};
enum class LoadProtocol { predict, v2, v2_binary };

// The model's own: what the server proves its answers on.
LoadRows example_rows(const api::ModelExamples& examples);
// From `GET /v2/models/NAME` alone: numbers and words drawn to fit. invalid_argument `cli.bad_metadata`.
Result<LoadRows> made_up_rows(std::string_view metadata_json, Rng& rng);
// A file: CSV with a header (its columns that `known` has; they say the types), a JSON list of objects, or an object on
// each line. invalid_argument `cli.bad_rows`.
Result<LoadRows> file_rows(std::string_view text, const std::string& file, bool csv,
                           const std::vector<LoadColumn>& known);

struct LoadBody {
  std::string bytes, content_type;
  std::size_t json_bytes = 0;  // of a binary one: what comes before the tensors
};
// A body for each `rows_each` rows, in turn; as many as there are rows. invalid_argument `cli.bad_rows`.
Result<std::vector<LoadBody>> load_bodies(const LoadRows& rows, LoadProtocol protocol, int rows_each);

}  // namespace millrace::cli
