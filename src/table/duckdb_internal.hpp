// DuckDB's C handles with owners, and the way between its vectors and our batches.
#pragma once

#include <duckdb.h>

#include <memory>
#include <string>
#include <vector>

#include "table/arrow_internal.hpp"
#include "table/table.hpp"

namespace millrace::table {

Result<void> register_blobs(duckdb_database database, Engine::OpenFile open_file);

// Owns a C handle whose destroy function takes its address.
template <class Handle, auto destroy>
class Owned {
 public:
  Owned() = default;
  ~Owned() { reset(); }
  Owned(Owned&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Owned& operator=(Owned&& other) noexcept {
    reset();
    handle_ = std::exchange(other.handle_, {});
    return *this;
  }
  Handle get() const { return handle_; }
  Handle* out() {
    reset();
    return &handle_;
  }
  void reset() {
    if (handle_) destroy(&handle_);
    handle_ = {};
  }

 private:
  Handle handle_{};
};

using OwnedDatabase = Owned<duckdb_database, duckdb_close>;
using OwnedConnection = Owned<duckdb_connection, duckdb_disconnect>;
using OwnedConfig = Owned<duckdb_config, duckdb_destroy_config>;
using OwnedStatement = Owned<duckdb_prepared_statement, duckdb_destroy_prepare>;
using OwnedPending = Owned<duckdb_pending_result, duckdb_destroy_pending>;
using OwnedChunk = Owned<duckdb_data_chunk, duckdb_destroy_data_chunk>;
using OwnedType = Owned<duckdb_logical_type, duckdb_destroy_logical_type>;

// How a DuckDB column is brought to one of the six types.
struct DuckColumn {
  duckdb_type id = DUCKDB_TYPE_INVALID;
  duckdb_type stored = DUCKDB_TYPE_INVALID;  // of decimals and enums
  double scale = 1;                          // of decimals: the power of ten to divide by
  std::vector<std::string> words;            // of enums
  Type type = Type::text;

  static DuckColumn of(duckdb_logical_type type);
};
// False for what must be cast to text in SQL first (lists, intervals, times of day, ...).
bool reads_directly(duckdb_type id);

// Appends the rows of a vector of that column.
arrow::Status append_vector(const DuckColumn& column, duckdb_vector vector, idx_t rows, ColumnBuilder& to);
// Fills an empty vector of the column's type (duck_type) from rows [offset, offset + rows) of a batch's column.
void fill_vector(const Column& from, std::int64_t offset, idx_t rows, duckdb_vector to);

std::string_view duck_type_name(Type type);
OwnedType duck_type(Type type);

}  // namespace millrace::table
