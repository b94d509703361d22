// Small things that tests of tables need.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/fs.hpp"
#include "table/table.hpp"

namespace millrace::table::testing {

std::shared_ptr<const ReadableFile> memory_file(std::string bytes);
// A file of shared/data; null when $MILLRACE_SHARED is not set (skip the test then).
std::shared_ptr<const ReadableFile> shared_data(const std::string& name);
// Every row, as values. Aborts on an error, with its message.
std::vector<Row> all_rows(BatchReader& reader);
std::vector<Row> all_rows(Result<std::unique_ptr<BatchReader>> reader);
// As all_rows, printed: cells by '|', rows by line; null is "-".
std::string print_rows(const std::vector<Row>& rows);
std::string print_schema(const Schema& schema);  // "a int64, b text"

}  // namespace millrace::table::testing
