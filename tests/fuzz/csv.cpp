// A CSV file of somebody, as ingest reads it: dialect, types, rows into batches; plain or gzip, UTF-8 or Latin-1.
#include "fuzz/fuzz.hpp"
#include "table/csv_internal.hpp"
#include "table/file_internal.hpp"
#include "table/table.hpp"

using namespace millrace;

// Arrow's own readers, which are not ours to mend: a job that dies of such a file says so (train/worker.hpp).
namespace millrace::table {
Result<std::unique_ptr<BatchReader>> open_parquet(std::shared_ptr<const ReadableFile>, std::int64_t) {
  return fail(Code::unimplemented, "fuzz.left_out", "Parquet");
}
Result<std::unique_ptr<BatchReader>> open_arrow_file(std::shared_ptr<const ReadableFile>) {
  return fail(Code::unimplemented, "fuzz.left_out", "Arrow IPC");
}
}  // namespace millrace::table

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = fuzz::as_text(data, size);
  const auto choice = fuzz::take_choice(text);
  table::CsvOptions options;
  options.latin1 = (choice & 1) != 0;
  if ((choice & 2) != 0) options.delimiter = ';';
  if ((choice & 4) != 0) options.header = (choice & 8) != 0;
  if ((choice & 16) != 0) options.types.fields = {{"a", table::Type::int64}, {"b", table::Type::timestamp}};
  std::optional<table::CsvFound> found;
  auto reader = table::open_file(std::make_shared<fuzz::BytesFile>(text), options, &found);
  if (!fuzz::answered(reader)) return 0;
  fuzz::require(found.has_value(), "what was found out about a CSV is told");
  const auto columns = (*reader)->schema().fields.size();
  auto batches = table::collect(**reader);
  if (!fuzz::answered(batches)) return 0;
  for (const auto& batch : *batches) {
    for (std::int64_t row = 0; row < std::min<std::int64_t>(batch.rows(), 50); ++row)
      fuzz::require(batch.row(row).size() == columns, "every row has every column");
  }
  return 0;
}
