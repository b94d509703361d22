// What this module's files share about Arrow: errors, the six types, growing columns.
#pragma once

#include <arrow/api.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "table/table.hpp"
#include "table/value.hpp"

namespace millrace::table {

// OutOfMemory and CapacityError are resource_exhausted `table.memory`, cancelled stays, the rest is `code` with
// `reason`.
Error arrow_error(const arrow::Status& status, std::string_view doing, Code code, std::string_view reason);

std::shared_ptr<arrow::DataType> arrow_type(Type type);
// The type that a foreign Arrow column becomes (table.hpp): decimals and unsigned 64 bits float64, unknown ones text.
Type type_of(const arrow::DataType& type);
std::shared_ptr<arrow::Schema> arrow_schema(const Schema& schema);
Schema schema_of(const arrow::Schema& schema);

// The same rows with each column brought to its six-type form. No copy where it already is.
Result<std::shared_ptr<arrow::RecordBatch>> normalise(const std::shared_ptr<arrow::RecordBatch>& batch);

// One column growing value by value. The append of another type than the column's is undefined.
class ColumnBuilder {
 public:
  explicit ColumnBuilder(Type type);
  Type type() const { return type_; }
  arrow::Status null();
  arrow::Status boolean(bool value);
  arrow::Status int64(std::int64_t value);
  arrow::Status float64(double value);
  arrow::Status text(std::string_view value);
  arrow::Status date(Date value);
  arrow::Status timestamp(Timestamp value);
  arrow::Status reserve(std::int64_t rows) { return builder_->Reserve(rows); }
  arrow::Result<std::shared_ptr<arrow::Array>> finish() { return builder_->Finish(); }

 private:
  Type type_;
  std::unique_ptr<arrow::ArrayBuilder> builder_;
};

std::vector<ColumnBuilder> column_builders(const Schema& schema);
// The columns so far as one batch of `rows` rows; the builders start anew.
Result<Batch> finish_batch(const std::shared_ptr<arrow::Schema>& schema, std::vector<ColumnBuilder>& columns,
                           std::int64_t rows);

// How many rows of this schema make a batch or a row group: bounds memory for wide tables. Depends on nothing else.
std::int64_t rows_per_batch(std::size_t columns);
inline constexpr std::size_t batch_text_bytes = 64 << 20;  // a batch ends at as much, rows or not

}  // namespace millrace::table

// TRY for arrow::Status / arrow::Result: leaves with arrow_error(..., code, reason).
#define ARROW_OK(doing, code, reason, ...)                                  \
  if (arrow::Status arrow_ok_status = (__VA_ARGS__); !arrow_ok_status.ok()) \
  return ::millrace::fail(::millrace::table::arrow_error(arrow_ok_status, doing, code, reason))
#define ARROW_TRY(declaration, doing, code, reason, ...) \
  ARROW_TRY_(MILLRACE_CONCAT(arrow_try_, __COUNTER__), declaration, doing, code, reason, __VA_ARGS__)
#define ARROW_TRY_(name, declaration, doing, code, reason, ...)                                                \
  auto name = (__VA_ARGS__);                                                                                   \
  if (!name.ok()) return ::millrace::fail(::millrace::table::arrow_error(name.status(), doing, code, reason)); \
  declaration = std::move(name).ValueUnsafe()
