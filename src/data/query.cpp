#include "data/query.hpp"

#include <algorithm>
#include <atomic>
#include <set>

#include "base/digest.hpp"
#include "blob/blob.hpp"
#include "data/mask.hpp"
#include "table/table.hpp"

namespace millrace::data {

namespace {

std::string_view sql_type(table::Type type) {
  switch (type) {
    case table::Type::boolean:
      return "BOOLEAN";
    case table::Type::int64:
      return "BIGINT";
    case table::Type::float64:
      return "DOUBLE";
    case table::Type::text:
      return "VARCHAR";
    case table::Type::date:
      return "DATE";
    case table::Type::timestamp:
      return "TIMESTAMP";
  }
  return "VARCHAR";
}

// The parts as one table of exactly the version's columns: found by name, widened, null where a part lacks one.
Result<std::string> view_sql(const QueryInput& input) {
  TRY(const auto schema, schema_of(input.schema));
  std::string columns, nulls, files;
  std::set<std::string> lower;
  for (const table::Field& field : schema.fields) {
    std::string l = field.name;
    for (char& c : l) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (!lower.insert(l).second) {
      return fail(Code::invalid_argument, "data.bad_input",
                  "SQL does not tell upper from lower case in names, and two columns are called '" + field.name + "'");
    }
    const std::string name = table::sql_name(field.name);
    const std::string as = " AS " + std::string(sql_type(field.type)) + ")";
    const std::string shown =
        std::ranges::find(input.masked, field.name) == input.masked.end()
            ? "CAST(" + name + as
            : "CASE WHEN " + name + " IS NULL THEN NULL ELSE " + table::sql_text(mask_text) + " END";
    columns += (columns.empty() ? "" : ", ") + shown + " AS " + name;
    nulls += (nulls.empty() ? "CAST(NULL" : ", CAST(NULL") + as + " AS " + name;
  }
  if (input.parts.empty()) return "CREATE VIEW data AS SELECT " + nulls + " WHERE false";
  for (const Part& part : input.parts) files += (files.empty() ? "" : ", ") + table::sql_text("blob:" + part.digest);
  // A view names its files, and SQL may read what a view names: where something is masked, `data` is a copy of the rows
  // (in memory, then on disk), and the files are closed to what comes after.
  return std::string(input.masked.empty() ? "CREATE VIEW" : "CREATE TABLE") + " data AS SELECT " + columns +
         " FROM read_parquet([" + files + "], union_by_name = true)";
}

}  // namespace

Result<QueryOutput> query(const Task& task, blob::Store& store, const QueryInput& input) {
  if (input.schema.empty()) return fail(Code::invalid_argument, "data.bad_input", "the version has no columns");
  // The version's own parts and no other blob, whatever name the SQL comes up with.
  std::set<std::string> parts;
  for (const Part& part : input.parts) parts.insert(part.digest);
  std::atomic<bool> closed = false;
  const auto open_blob = [&](const std::string& name) -> Result<std::shared_ptr<const ReadableFile>> {
    if (closed || !parts.contains(name))
      return fail(Code::permission_denied, "data.not_a_part", "a query reads the table `data`, not blobs by name");
    TRY(const Digest digest, Digest::parse(name));
    return store.open(digest);
  };
  TRY(auto engine, table::Engine::open({.memory_bytes = input.memory_bytes,
                                        .threads = input.threads,
                                        .temp_dir = task.scratch_dir,
                                        .local_files = false},
                                       open_blob));
  TRY(const std::string view, view_sql(input));
  TRY(auto made, engine->query(view));
  TRY(const auto nothing, table::collect(*made));
  static_cast<void>(nothing);
  closed = !input.masked.empty();

  auto asked = engine->query(input.sql);
  if (!asked) {
    auto error = std::move(asked).error();
    if (error.message.contains("Table with name")) error.message += "\nthe version's rows are the table data";
    return fail(std::move(error));
  }
  auto reader = *std::move(asked);
  QueryOutput out;
  out.columns = fields_of(reader->schema());
  while (true) {
    if (task.cancelled && task.cancelled()) return fail(Code::cancelled, "data.cancelled", "the query was cancelled");
    TRY(const auto batch, reader->next());
    if (!batch) return out;
    for (std::int64_t row = 0; row < batch->rows(); row++) {
      if (static_cast<std::int64_t>(out.rows.size()) == input.rows_max) {
        out.more = true;
        return out;
      }
      auto& cells = out.rows.emplace_back();
      for (const table::Value& value : batch->row(row)) {
        cells.push_back(table::is_null(value) ? std::nullopt : std::optional(table::to_text(value)));
      }
    }
  }
}

}  // namespace millrace::data
