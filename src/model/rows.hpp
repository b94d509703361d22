// Request rows: JSON or CSV text to values in the order of the model's inputs. The hot path of a prediction.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"
#include "model/manifest.hpp"

namespace millrace::model {

struct ParsedRows {
  std::vector<table::Row> rows;   // in the order of Manifest::inputs; null where missing
  std::vector<std::string> keys;  // by row, "" where the row names none; empty when the model has no key column
  bool single = false;            // one row as it is, not in a list or a table
};

// Where and what a request got wrong, for an answer with fields of its own. The error's message says the same as
// "<path>: expected <expected>, got <got>".
struct Problem {
  std::string path;  // "age", "rows[3].age"; empty when the text as a whole is meant
  std::string expected;
  std::string got;
};

struct ParseLimits {
  std::size_t bytes_max = 16u << 20;
  std::size_t rows_max = 10'000;
};

// Immutable; any thread may parse.
class RowParser {
 public:
  explicit RowParser(const Manifest& manifest);
  RowParser(const RowParser&) = delete;  // the map points into names_
  RowParser& operator=(const RowParser&) = delete;

  // Rows of a bare model (Manifest::bare_outputs) may be arrays of its features in their order too, null missing:
  // [[1,2],[3,4]] is two rows, [1,2] is one.
  // {"a":1,...} is one row; [{...},...], {"rows":[...]}, {"inputs":[...]} and {"instances":[...]} are many. Names are
  // exact, in any order. null is missing. Whole numbers may be written 5.0; numbers in quotes are text and refused.
  // All errors are invalid_argument but too_large: `model.bad_json` (with the byte), `model.unknown_column` (with the
  // nearest name), `model.duplicate_column`, `model.wrong_type` (NaN and Infinity too), `model.out_of_range`,
  // `model.missing_input`, `model.no_rows`; resource_exhausted `model.too_many_rows`, `model.too_large`. `problem` is
  // filled on failure.
  Result<ParsedRows> parse_json(std::string_view text, const ParseLimits& limits = {},
                                Problem* problem = nullptr) const;

  // RFC 4180 with a header line that names the columns. Unquoted "", NA, N/A, NaN, nan, null, NULL and ? are missing,
  // as when a file is read. Errors as above, and `model.bad_csv`; "rows[0]" is the line after the header.
  Result<ParsedRows> parse_csv(std::string_view text, const ParseLimits& limits = {}, Problem* problem = nullptr) const;

 private:
  friend class JsonReader;
  friend class CsvReader;
  int find(std::string_view name) const;  // field number, -1
  std::string nearest_name(std::string_view name) const;

  // Fields: the inputs, then the key column, then the ignored ones.
  std::vector<std::string> names_;
  std::vector<table::Type> types_;  // of the inputs
  std::vector<bool> required_;
  std::size_t inputs_ = 0;
  bool arrays_ = false;  // rows may be arrays
  int key_ = -1;         // its field, an input's when it is one
  std::unordered_map<std::string_view, int> by_name_;
};

}  // namespace millrace::model
