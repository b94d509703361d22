// All rows of a version as one file, `millrace data checkout`, and its checks once more, `millrace data check`. Job
// side; a blob and the result are all that they leave behind.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "base/task.hpp"
#include "data/dataset.hpp"

namespace millrace::blob {
class Store;
}

namespace millrace::data {

struct CheckoutInput {
  std::string format = "parquet";  // or csv: with a header; a null is an empty cell, an empty text is ""
  std::vector<Part> parts;
  std::vector<ColumnField> schema;
  std::vector<std::string> masked;                         // these columns come as text, masked (mask.hpp)
  std::vector<std::pair<std::string, std::string>> notes;  // kept in a Parquet file's metadata
};
struct CheckoutOutput {
  std::string digest;  // of the blob with the file
  std::int64_t rows = 0;
  std::int64_t bytes = 0;
};
// invalid_argument `data.bad_input`; cancelled `data.cancelled`. Rows go through in batches: memory stays flat.
Result<CheckoutOutput> checkout(const Task& task, blob::Store& store, const CheckoutInput& input);

struct CheckInput {
  std::vector<Part> parts;
  std::int64_t known_parts = 0;  // the first ones, which the version before had: their values are not new ones
  std::vector<ColumnField> schema;
  std::vector<Part> replaced_parts;  // of the version that this one replaced: only to tell new values
  CheckConfig checks;
  std::string key;
};
Result<CheckReport> check_rows(const Task& task, blob::Store& store, const CheckInput& input);

Result<CheckoutInput> parse_checkout_input(std::string_view json);
std::string render(const CheckoutInput& input);
Result<CheckoutOutput> parse_checkout_output(std::string_view json);
std::string render(const CheckoutOutput& output);
Result<CheckInput> parse_check_input(std::string_view json);
std::string render(const CheckInput& input);
Result<CheckReport> parse_check_report(std::string_view json);
std::string render(const CheckReport& report);

}  // namespace millrace::data
