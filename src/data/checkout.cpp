#include "data/checkout.hpp"

#include <algorithm>
#include <functional>
#include <memory>

#include "blob/blob.hpp"
#include "data/blob_file_internal.hpp"
#include "data/check.hpp"
#include "data/ingest.hpp"
#include "data/mask.hpp"
#include "table/table.hpp"

namespace millrace::data {

namespace {

Error checkout_cancelled() { return {Code::cancelled, "data.cancelled", "it was cancelled"}; }

// The rows with the masked columns as text, and a look at the task between batches.
class Masked final : public table::BatchReader {
 public:
  Masked(const Task& task, std::unique_ptr<table::BatchReader> from, const ColumnNames& names, std::int64_t total)
      : task_(task), from_(std::move(from)), schema_(from_->schema()), total_(std::max<std::int64_t>(total, 1)) {
    for (std::size_t i = 0; i < schema_.fields.size(); ++i) {
      if (!names.contains(schema_.fields[i].name)) continue;
      schema_.fields[i].type = table::Type::text;
      masked_.push_back(i);
    }
  }
  const table::Schema& schema() const override { return schema_; }
  std::int64_t rows() const { return rows_; }

  Result<std::optional<table::Batch>> next() override {
    if (task_.cancelled && task_.cancelled()) return fail(checkout_cancelled());
    TRY(auto batch, from_->next());
    if (!batch) return std::optional<table::Batch>();
    rows_ += batch->rows();
    if (task_.progress)
      task_.progress(
          {.phase = "write", .done = static_cast<double>(rows_) / static_cast<double>(total_), .step = rows_});
    if (masked_.empty()) return batch;
    std::vector<table::Row> rows;
    rows.reserve(static_cast<std::size_t>(batch->rows()));
    for (std::int64_t i = 0; i < batch->rows(); ++i) {
      auto& row = rows.emplace_back(batch->row(i));
      for (std::size_t place : masked_) {
        if (!table::is_null(row[place])) row[place] = std::string(mask_text);
      }
    }
    TRY(auto out, table::Batch::from_rows(schema_, rows));
    return std::optional(std::move(out));
  }

 private:
  const Task& task_;
  std::unique_ptr<table::BatchReader> from_;
  table::Schema schema_;
  std::vector<std::size_t> masked_;
  std::int64_t total_;
  std::int64_t rows_ = 0;
};

std::string csv_cell(const std::string& text) {
  const bool plain = !text.empty() && text.find_first_of(",\"\r\n") == std::string::npos && text.front() != ' ' &&
                     text.back() != ' ' && text.front() != '\t' && text.back() != '\t';
  if (plain) return text;
  std::string out = "\"";
  for (char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

Result<void> write_csv(table::BatchReader& rows, blob::Writer& to) {
  std::string text;
  for (const table::Field& field : rows.schema().fields) text += (text.empty() ? "" : ",") + csv_cell(field.name);
  text += "\n";
  while (true) {
    TRY(const auto batch, rows.next());
    if (!batch) break;
    for (std::int64_t i = 0; i < batch->rows(); ++i) {
      bool first = true;
      for (const table::Value& value : batch->row(i)) {
        if (!first) text += ",";
        first = false;
        if (!table::is_null(value)) text += csv_cell(table::to_text(value));
      }
      text += "\n";
      if (text.size() >= blob::piece_bytes_max) {
        TRY_VOID(to.append(text));
        text.clear();
      }
    }
  }
  return to.append(text);
}

Result<void> each_batch(const Task& task, blob::Store& store, const std::vector<ColumnField>& schema,
                        const std::vector<Part>& parts, const std::function<void(const table::Batch&)>& visit) {
  TRY(auto reader, read_parts(store, schema, parts));
  while (true) {
    if (task.cancelled && task.cancelled()) return fail(checkout_cancelled());
    TRY(const auto batch, reader->next());
    if (!batch) return {};
    visit(*batch);
  }
}

}  // namespace

Result<CheckoutOutput> checkout(const Task& task, blob::Store& store, const CheckoutInput& input) {
  if (input.format != "csv" && input.format != "parquet") {
    return fail(Code::invalid_argument, "data.bad_input",
                "a checkout is 'csv' or 'parquet', not '" + input.format + "'");
  }
  std::int64_t total = 0;
  for (const Part& part : input.parts) total += part.rows;
  TRY(auto reader, read_parts(store, input.schema, input.parts));
  Masked rows(task, std::move(reader), ColumnNames(input.masked.begin(), input.masked.end()), total);
  TRY(auto writer, store.create());
  if (input.format == "csv") {
    TRY_VOID(write_csv(rows, *writer));
  } else {
    BlobFile file(*writer);
    TRY(const std::uint64_t written, table::write_parquet(rows.schema(), rows, file, input.notes));
    static_cast<void>(written);
  }
  TRY(const blob::BlobInfo info, writer->commit());
  return CheckoutOutput{info.digest.hex(), rows.rows(), static_cast<std::int64_t>(info.size)};
}

Result<CheckReport> check_rows(const Task& task, blob::Store& store, const CheckInput& input) {
  TRY(const auto schema, schema_of(input.schema));
  Checker checker(schema, input.checks, input.key);
  auto replaced = each_batch(task, store, input.schema, input.replaced_parts,
                             [&](const table::Batch& batch) { checker.remember(batch); });
  // A replacement need not go with what it replaced.
  if (!replaced && replaced.error().reason != "table.bad_schema") return fail(replaced.error());
  const auto known = input.parts.begin() + std::clamp<std::ptrdiff_t>(input.known_parts, 0, std::ssize(input.parts));
  TRY_VOID(each_batch(task, store, input.schema, {input.parts.begin(), known},
                      [&](const table::Batch& batch) { checker.add(batch, true); }));
  TRY_VOID(each_batch(task, store, input.schema, {known, input.parts.end()},
                      [&](const table::Batch& batch) { checker.add(batch, false); }));
  return checker.finish();
}

}  // namespace millrace::data
