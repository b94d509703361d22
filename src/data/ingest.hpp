// Reads a source into immutable Parquet parts and finds out what is in them. Pure computation for a job: blobs and the
// result are all that it leaves behind; the server records the result as a dataset version (records.hpp).
//
// Running it twice is harmless: equal rows are equal blobs. Fault points: data.ingest.before_part,
// data.ingest.after_part.
#pragma once

#include <cstdint>
#include <memory>
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
namespace millrace::table {
class BatchReader;
}

namespace millrace::data {

struct CsvSettings {
  std::string delimiter;                          // one character, "tab"; empty: found out
  std::optional<bool> header;                     // absent: found out
  std::vector<std::string> names;                 // for a file without header
  std::optional<std::vector<std::string>> nulls;  // absent: table::CsvOptions' own
  std::string encoding;                           // "utf-8" or "latin1"; empty: utf-8
  bool operator==(const CsvSettings&) const = default;
};

struct IngestInput {
  std::string path;     // of a file on this machine; or:
  std::string blob;     // digest of an uploaded blob
  std::string uri;      // as the user named it, for the provenance; empty: the path
  std::string changed;  // modification time or ETag; empty: that of the file
  CsvSettings csv;
  // What to find out about the rows.
  std::string target, key, task, positive;
  std::vector<std::string> inputs, exclude;
  CheckConfig checks;
  // Columns that the version before gave to models: one that is gone fails the checks (rule exists), and
  // one of numbers that holds words now (rule type).
  std::vector<std::string> expected;
  // The version to build on, empty for the first one. append: its parts stay, the new rows come after them;
  // replace: the source is the whole table, its parts serve only to tell new values.
  std::string mode = "append";
  std::vector<Part> parent_parts;
  std::vector<ColumnField> parent_schema;
  std::vector<std::string> parent_sources;  // digests of the sources whose rows it has
  std::int64_t part_rows_max = 262'144;
  std::int64_t sample_rows = 10'000;
};

struct IngestOutput {
  bool unchanged = false;       // the source's bytes are among parent_sources: nothing was read, nothing else is filled
  std::string mode = "append";  // as it was asked for
  std::vector<Part> parts;      // all parts of the new version, the parent's first
  std::int64_t new_parts = 0;
  std::int64_t new_rows = 0;
  std::vector<ColumnField> schema;
  Analysis analysis;
  Provenance provenance;
  std::optional<bool> header;      // of a CSV: whether its first line was read as names
  std::vector<std::string> notes;  // about the source; the inference has its own
};

// invalid_argument: `data.bad_input` (settings that make no sense), `data.no_rows`, `data.schema` (a column whose type
// does not go with the parent's), what table::open_file and infer say; aborted `data.source_changed` (it was written to
// while it was read); cancelled `data.cancelled`; blob and file errors as they are.
Result<IngestOutput> ingest(const Task& task, blob::Store& store, const IngestInput& input);

// Finds out again what is known of stored parts: for another target, key or other checks. Nothing is stored.
struct AnalyseInput {
  std::vector<Part> parts;
  std::vector<ColumnField> schema;
  std::string target, key, task, positive;
  std::vector<std::string> inputs, exclude;
  CheckConfig checks;
  std::int64_t sample_rows = 10'000;
};
Result<Analysis> analyse(const Task& task, blob::Store& store, const AnalyseInput& input);

// All rows of `rows` as one part. Equal rows are equal blobs.
Result<Part> store_part(blob::Store& store, table::BatchReader& rows);

// The rows of a version, in order, in exactly this schema (table::conform).
Result<std::unique_ptr<table::BatchReader>> read_parts(blob::Store& store, const std::vector<ColumnField>& schema,
                                                       const std::vector<Part>& parts);
// One part as it is stored, with its own types. With `columns` those of them that it has, in the file's order.
Result<std::unique_ptr<table::BatchReader>> open_part(blob::Store& store, const Part& part,
                                                      const std::vector<std::string>& columns = {});

// JSON, for the job's spec and result files. invalid_argument `json.malformed`.
Result<IngestInput> parse_ingest_input(std::string_view json);
std::string render(const IngestInput& input);
Result<IngestOutput> parse_ingest_output(std::string_view json);
std::string render(const IngestOutput& output);
Result<AnalyseInput> parse_analyse_input(std::string_view json);
std::string render(const AnalyseInput& input);
Result<Analysis> parse_analysis(std::string_view json);
std::string render(const Analysis& analysis);

}  // namespace millrace::data
