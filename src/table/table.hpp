// Columnar batches (Arrow), Parquet files, SQL over files (DuckDB). Job processes link this; the server does not.
// Arrow headers stay in .cpp files: outsiders look at columns through Column.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/env.hpp"
#include "base/fs.hpp"
#include "base/result.hpp"
#include "table/value.hpp"

namespace millrace::table {

// A view of one column of a batch; lives as long as the batch. `*_at` wants the column's own type and a non-null row.
class Column {
 public:
  Type type() const;
  std::int64_t size() const;
  bool is_null(std::int64_t row) const;
  bool boolean_at(std::int64_t row) const;
  std::int64_t int64_at(std::int64_t row) const;
  double float64_at(std::int64_t row) const;
  std::string_view text_at(std::int64_t row) const;
  Date date_at(std::int64_t row) const;
  Timestamp timestamp_at(std::int64_t row) const;
  Value value_at(std::int64_t row) const;

 private:
  friend class Batch;
  Column(Type type, const arrow::Array* array) : type_(type), array_(array) {}
  Type type_;
  const arrow::Array* array_;
};

// Rows of one schema. Immutable, cheap to copy, any thread may read.
class Batch {
 public:
  Batch() = default;
  // The Arrow types must be the six of Type (bool, int64, float64, utf8, date32, timestamp[us]).
  static Result<Batch> wrap(std::shared_ptr<arrow::RecordBatch> arrow);
  // Column-wise conversion of rows; a Value of another type than the schema's is invalid_argument `table.bad_value`.
  static Result<Batch> from_rows(const Schema& schema, const std::vector<Row>& rows);

  const Schema& schema() const;
  std::int64_t rows() const;
  Column column(int index) const;
  Row row(std::int64_t row) const;
  Batch slice(std::int64_t offset, std::int64_t length) const;
  Batch take(const std::vector<std::int64_t>& rows) const;  // in the given order
  const std::shared_ptr<arrow::RecordBatch>& arrow() const;

 private:
  struct Inner;
  std::shared_ptr<const Inner> inner_;
};

// A column that somebody computed: a value for each row of a batch, none missing.
struct NewColumn {
  std::string name;
  std::variant<std::vector<double>, std::vector<std::string>> values;
};
// These columns behind the batch's own. invalid_argument `table.bad_value`: not as many values as rows.
Result<Batch> with_columns(const Batch& batch, const std::vector<NewColumn>& columns);

// A stream of batches of one schema. One thread at a time.
class BatchReader {
 public:
  virtual ~BatchReader() = default;
  virtual const Schema& schema() const = 0;
  virtual Result<std::optional<Batch>> next() = 0;  // nullopt at the end
};

std::unique_ptr<BatchReader> read_batches(Schema schema, std::vector<Batch> batches);
Result<std::vector<Batch>> collect(BatchReader& reader);

// Which type holds the values of both: int64 and float64 give float64, date and timestamp give timestamp, text holds
// all. Nothing else mixes.
std::optional<Type> widest(Type a, Type b);
// The same rows with exactly the columns of `schema`: found by name, null where `reader` lacks one, widened where
// widest() allows it; others are left out. invalid_argument `table.bad_schema` for a type that cannot be read so.
Result<std::unique_ptr<BatchReader>> conform(std::unique_ptr<BatchReader> reader, const Schema& schema);
// One after the other, each opened when its turn comes and conformed to `schema`: the parts of a dataset version.
using OpenReader = std::function<Result<std::unique_ptr<BatchReader>>()>;
std::unique_ptr<BatchReader> concat(Schema schema, std::vector<OpenReader> parts);

// Parquet, through Arrow. The same rows in the same batches give the same bytes (zstd, fixed row groups, no dates or
// versions of the writer that change between runs). `notes` become the file's key-value metadata.
Result<std::string> write_parquet(const Schema& schema, BatchReader& reader);  // into memory
Result<std::uint64_t> write_parquet(const Schema& schema, BatchReader& reader,
                                    WritableFile& to,  // rows written; not synced
                                    const std::vector<std::pair<std::string, std::string>>& notes = {});
Result<std::unique_ptr<BatchReader>> open_parquet(std::shared_ptr<const ReadableFile> file,
                                                  std::int64_t batch_rows = 65536);
// Only those of these columns that the file has, in the file's order; the others are not read. Empty: all.
Result<std::unique_ptr<BatchReader>> open_parquet(std::shared_ptr<const ReadableFile> file,
                                                  const std::vector<std::string>& columns,
                                                  std::int64_t batch_rows = 65536);

struct CsvOptions {
  std::optional<char> delimiter;   // absent: sniffed (one of , ; tab |)
  std::optional<bool> header;      // absent: sniffed
  std::vector<std::string> names;  // used when there is no header
  std::vector<std::string> nulls = {"", "NA", "N/A", "NaN", "nan", "null", "NULL", "?"};
  bool latin1 = false;  // bytes are ISO 8859-1; otherwise UTF-8
  Schema types;         // columns of these names get these types instead of inferred ones
  Schema fallback;      // types for columns that hold no value at all; those not named here become text
};

// What was found out about the form of a CSV.
struct CsvFound {
  char delimiter = ',';
  bool header = true;                // the first line was read as names
  bool header_likely = true;         // what the first lines look like, whatever the options say
  std::vector<std::string> renamed;  // "a_2": columns whose name was taken already
};

// A CSV, Parquet or Arrow IPC file, each plain or gzip, told apart by its first bytes; rows in file order. Needs no
// engine. `file` is read twice when it is a CSV: once for the types, once for the rows.
// CSV: types are inferred over the whole file: boolean (true/false), int64 (not "007", not beyond 64 bits: those stay
// text), float64, date and timestamp (ISO 8601), else text. Blanks around cells are trimmed, blank lines left out, a
// byte order mark skipped. Missing names become column_<n>, doubles get _2, _3.
// invalid_argument: `table.bad_csv` naming the line (ragged row, open quote, a zero byte, a value that is
// not of a given type), `table.not_utf8`, `table.empty_file`, `table.bad_file` (another format); data_loss
// `table.bad_gzip`. `found` is filled for a CSV, and emptied for the other formats.
Result<std::unique_ptr<BatchReader>> open_file(std::shared_ptr<const ReadableFile> file, const CsvOptions& options = {},
                                               std::optional<CsvFound>* found = nullptr);

// One DuckDB in this process, in memory, with bounds. Thread-safe: every query gets a connection of its own.
class Engine {
 public:
  struct Config {
    std::int64_t memory_bytes = 1LL << 30;
    int threads = 1;
    std::string temp_dir;     // spills here; empty: never spills
    bool local_files = true;  // false: SQL may open `blob:` names only, and no setting can be changed by it
  };
  // How `blob:<name>` paths inside SQL are opened (read_parquet('blob:<digest>')).
  using OpenFile = std::function<Result<std::shared_ptr<const ReadableFile>>(const std::string& name)>;

  static Result<std::unique_ptr<Engine>> open(const Config& config, OpenFile open_file = {});
  virtual ~Engine() = default;

  // Any statement; `params` fill ?1, ?2, ... Result columns come back as the six types (see Type).
  // The rows come while the query runs; the reader may outlive the engine, and one thread at a time uses it.
  // invalid_argument `table.bad_sql` with DuckDB's message; resource_exhausted `table.memory`; unavailable `table.io`.
  virtual Result<std::unique_ptr<BatchReader>> query(const std::string& sql, const Row& params = {}) = 0;
  // Makes rows visible as a table of that name until dropped or replaced. Copied in through DuckDB's appender.
  virtual Result<void> add_table(const std::string& name, BatchReader& rows) = 0;
  // Stops a running query of any thread: it answers cancelled `table.cancelled`.
  virtual void interrupt() = 0;

  // open_file for a path of this machine or `blob:<name>`.
  virtual Result<std::unique_ptr<BatchReader>> read_file(const std::string& path, const CsvOptions& options) = 0;
};

// 'it''s' with quotes; "a""b" with double quotes.
std::string sql_text(std::string_view text);
std::string sql_name(std::string_view name);

}  // namespace millrace::table
