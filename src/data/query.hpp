// SQL over the rows of a version, `millrace data query`. Job side.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/task.hpp"
#include "data/dataset.hpp"

namespace millrace::blob {
class Store;
}

namespace millrace::data {

struct QueryInput {
  std::string sql;  // the version's rows are the table `data`; it can reach nothing else of this machine
  std::int64_t rows_max = 100;
  std::vector<Part> parts;
  std::vector<ColumnField> schema;
  std::vector<std::string> masked;  // these columns are text there, and masked (mask.hpp), whatever the SQL does
  std::int64_t memory_bytes = 512LL << 20;
  int threads = 1;
};

struct QueryOutput {
  std::vector<ColumnField> columns;
  std::vector<std::vector<std::optional<std::string>>> rows;  // as table::to_text; null is absent
  bool more = false;                                          // the answer has further rows, left out
};

// invalid_argument `data.bad_input`; what table::Engine::query says: `table.bad_sql`, `table.memory`.
Result<QueryOutput> query(const Task& task, blob::Store& store, const QueryInput& input);

Result<QueryInput> parse_query_input(std::string_view json);
std::string render(const QueryInput& input);
Result<QueryOutput> parse_query_output(std::string_view json);
std::string render(const QueryOutput& output);

}  // namespace millrace::data
