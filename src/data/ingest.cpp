#include "data/ingest.hpp"

#include <algorithm>

#include "base/digest.hpp"
#include "base/fault.hpp"
#include "base/fs.hpp"
#include "blob/blob.hpp"
#include "data/blob_file_internal.hpp"
#include "data/check.hpp"
#include "data/infer.hpp"
#include "data/profile.hpp"
#include "table/table.hpp"

namespace millrace::data {

namespace {

Error cancelled() { return {Code::cancelled, "data.cancelled", "the ingest was cancelled"}; }

// The source, with progress by bytes, and a stop when the task is cancelled. A CSV is read three times: digest, types,
// rows.
class WatchedFile final : public ReadableFile {
 public:
  WatchedFile(std::shared_ptr<const ReadableFile> file, const Task& task) : file_(std::move(file)), task_(task) {}
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override {
    if (task_.cancelled && task_.cancelled()) return fail(cancelled());
    auto got = file_->read(offset, out);
    if (!got) return got;
    read_ += *got;
    constexpr std::uint64_t report_bytes = 4 << 20;
    if (read_ / report_bytes != (read_ - *got) / report_bytes && task_.progress) {
      const double all = 3.0 * static_cast<double>(std::max<std::uint64_t>(file_->size(), 1));
      task_.progress({.phase = "read", .done = std::min(1.0, static_cast<double>(read_) / all)});
    }
    return got;
  }
  std::uint64_t size() const override { return file_->size(); }

 private:
  std::shared_ptr<const ReadableFile> file_;
  const Task& task_;
  mutable std::uint64_t read_ = 0;
};

Result<Digest> digest_of(const ReadableFile& file) {
  Sha256 sha;
  std::vector<std::byte> piece(1 << 20);
  for (std::uint64_t at = 0;;) {
    TRY(const std::size_t got, file.read(at, piece));
    if (got == 0) return sha.finish();
    sha.update(std::span(piece).first(got));
    at += got;
  }
}

struct Source {
  std::shared_ptr<const ReadableFile> file;
  Provenance provenance;
};

Result<Source> open_source(const Task& task, blob::Store& store, const IngestInput& input) {
  if (input.path.empty() == input.blob.empty()) {
    return fail(Code::invalid_argument, "data.bad_input", "an ingest needs either a path or a blob");
  }
  Source out;
  std::shared_ptr<const ReadableFile> raw;
  out.provenance.uri = !input.uri.empty() ? input.uri : !input.path.empty() ? input.path : "upload";
  out.provenance.changed = input.changed;
  if (input.path.empty()) {
    TRY(const Digest digest, Digest::parse(input.blob));
    TRY(raw, store.open(digest));
  } else {
    TRY(const FileInfo info, task.env.fs.info(input.path));
    if (input.changed.empty()) out.provenance.changed = format_time(info.modified);
    TRY(raw, task.env.fs.open_read(input.path));
  }
  out.file = std::make_shared<WatchedFile>(std::move(raw), task);
  out.provenance.size = static_cast<std::int64_t>(out.file->size());
  TRY(const Digest digest, digest_of(*out.file));
  out.provenance.digest = digest.hex();
  return out;
}

// After all was read: is the file still the one whose digest was taken?
Result<void> check_source(const Task& task, const IngestInput& input, const Source& source) {
  if (input.path.empty()) return {};
  TRY(const FileInfo info, task.env.fs.info(input.path));
  const bool same_time = !input.changed.empty() || format_time(info.modified) == source.provenance.changed;
  if (same_time && static_cast<std::int64_t>(info.size) == source.provenance.size) return {};
  return fail(Code::aborted, "data.source_changed",
              source.provenance.uri + " was written to while it was read; run the ingest again when it is complete");
}

Result<table::CsvOptions> csv_options(const CsvSettings& settings) {
  table::CsvOptions out;
  const std::string delimiter = settings.delimiter == "tab" || settings.delimiter == "\\t" ? "\t" : settings.delimiter;
  if (delimiter.size() > 1) {
    return fail(Code::invalid_argument, "data.bad_input", "the delimiter '" + delimiter + "' is not one character");
  }
  if (!delimiter.empty()) out.delimiter = delimiter.front();
  if (!settings.encoding.empty() && settings.encoding != "utf-8" && settings.encoding != "latin1") {
    return fail(Code::invalid_argument, "data.bad_input",
                "encoding '" + settings.encoding + "': there are utf-8 and latin1");
  }
  out.latin1 = settings.encoding == "latin1";
  out.header = settings.header;
  out.names = settings.names;
  if (settings.nulls) out.nulls = *settings.nulls;
  return out;
}

std::unexpected<Error> bad_schema(std::string what) {
  return fail(Code::invalid_argument, "data.schema", std::move(what));
}

// Rows that are clearly of another table are refused as a whole.
Result<void> check_kinship(const table::Schema& parent, const table::Schema& fresh, const std::string& key) {
  std::string names;
  for (const table::Field& field : parent.fields) {
    if (fresh.index_of(field.name) >= 0) {
      if (key.empty() || parent.index_of(key) < 0 || fresh.index_of(key) >= 0) return {};
      return bad_schema("the new rows lack the key, column '" + key + "'");
    }
    names += (names.empty() ? "'" : ", '") + field.name + "'";
  }
  return bad_schema("no column of the new rows is one of the dataset's (" + table::excerpt(names, 200) +
                    "); is it the right file?");
}

// The parent's columns, widened for the new rows, then the new ones. What changes is noted. Words where the dataset has
// numbers or dates would change what the column is: the type stays, and in a CSV the line with the word is named when
// it is read.
Result<table::Schema> merge_schemas(const table::Schema& parent, const table::Schema& fresh, bool is_csv,
                                    std::vector<std::string>& notes) {
  table::Schema out = parent;
  for (table::Field& field : out.fields) {
    const int place = fresh.index_of(field.name);
    if (place < 0) {
      notes.push_back("column '" + field.name + "' is not in the new rows: missing there");
      continue;
    }
    const table::Type type = fresh.fields[static_cast<std::size_t>(place)].type;
    const bool words = type == table::Type::text && field.type != table::Type::text;
    if (words && is_csv) continue;
    const auto both = words ? std::nullopt : table::widest(field.type, type);
    if (!both) {
      return bad_schema("column '" + field.name + "' is " + std::string(table::type_name(type)) +
                        " in the new rows and " + std::string(table::type_name(field.type)) +
                        " in the dataset; these do not go together");
    }
    if (*both != field.type) {
      notes.push_back("column '" + field.name + "' was " + std::string(table::type_name(field.type)) + ", is " +
                      std::string(table::type_name(*both)) + " from now on");
    }
    field.type = *both;
  }
  for (const table::Field& field : fresh.fields) {
    if (parent.index_of(field.name) >= 0) continue;
    notes.push_back("column '" + field.name + "' is new: missing in the older rows");
    out.fields.push_back(field);
  }
  return out;
}

// What a person should know about the form of a CSV.
void note_form(const table::CsvFound& found, const table::CsvOptions& options, IngestOutput& out) {
  out.header = found.header;
  if (!options.delimiter && found.delimiter != ',') {
    out.notes.push_back(found.delimiter == '\t' ? "cells are separated by tabs"
                                                : std::string("cells are separated by '") + found.delimiter + "'");
  }
  for (const std::string& name : found.renamed)
    out.notes.push_back("a column is called '" + name + "' now: another one before it has its name");
  if (!found.header && options.names.empty()) {
    out.notes.emplace_back(
        "the first line looks like data, so the columns are called column_1, column_2, ...; if it holds their names, "
        "say header = true, else name them with `names`");
  }
  if (found.header && !found.header_likely) {
    out.notes.emplace_back(
        "the first line was read as column names, though it looks like data; if it is, say header = false");
  }
}

// The rows of the source in the schema of the version. The file is opened with that schema's types, so that a column
// which becomes text keeps its cells as they are written.
Result<std::unique_ptr<table::BatchReader>> open_rows(const std::shared_ptr<const ReadableFile>& file,
                                                      table::CsvOptions options, const table::Schema& parent,
                                                      const std::string& key, table::Schema& schema,
                                                      IngestOutput& out) {
  auto& notes = out.notes;
  options.fallback = parent;
  std::optional<table::CsvFound> found;
  TRY(auto reader, table::open_file(file, options, &found));
  schema = reader->schema();
  if (found) note_form(*found, options, out);
  if (parent.fields.empty() || parent == schema) return reader;
  TRY_VOID(check_kinship(parent, schema, key));
  TRY(schema, merge_schemas(parent, schema, found.has_value(), notes));
  options.types = schema;
  TRY(reader, table::open_file(file, options));
  return table::conform(std::move(reader), schema);
}

// Statistics, checks and a sample of what goes by, then what follows from them.
class Analyst {
 public:
  Analyst(const table::Schema& schema, const AnalyseInput& input)
      : profiler_(schema, {.all_values_of = input.target}),
        checker_(schema, input.checks, input.key),
        sample_(sample_size(schema, input.sample_rows)),
        request_{input.target, input.key, input.task, input.positive, input.inputs, input.exclude} {}

  void add(const table::Batch& batch, bool known) {
    profiler_.add(batch);
    checker_.add(batch, known);
    sample_.add(batch);
  }
  void remember(const table::Batch& batch) { checker_.remember(batch); }

  Result<Analysis> finish() {
    Analysis out;
    out.rows = profiler_.rows();
    out.columns = profiler_.finish();
    out.checks = checker_.finish();
    TRY(out.inference, infer(out.columns, out.rows, sample_.finish(), request_));
    return out;
  }

 private:
  static std::size_t sample_size(const table::Schema& schema, std::int64_t wanted) {
    const auto fit =
        std::int64_t{4'000'000} / static_cast<std::int64_t>(std::max<std::size_t>(schema.fields.size(), 1));
    return static_cast<std::size_t>(std::clamp<std::int64_t>(wanted, 1, std::max<std::int64_t>(fit, 1000)));
  }
  Profiler profiler_;
  Checker checker_;
  RowSample sample_;
  InferRequest request_;
};

Result<void> each_batch(const Task& task, table::BatchReader& reader,
                        const std::function<void(const table::Batch&)>& visit) {
  while (true) {
    if (task.cancelled && task.cancelled()) return fail(cancelled());
    TRY(const auto batch, reader.next());
    if (!batch) return {};
    visit(*batch);
  }
}

// The next part's rows out of the stream: shows each batch to the analyst on its way and stops after rows_max.
class PartRows final : public table::BatchReader {
 public:
  PartRows(const Task& task, table::BatchReader& from, Analyst& analyst, std::int64_t rows_max)
      : task_(task), from_(from), analyst_(analyst), rows_max_(rows_max) {}
  const table::Schema& schema() const override { return from_.schema(); }

  Result<std::optional<table::Batch>> next() override {
    if (left_ == 0) return std::optional<table::Batch>();
    TRY_VOID(look());
    if (!ahead_) return std::optional<table::Batch>();
    const std::int64_t rows = std::min(left_, ahead_->rows());
    std::optional<table::Batch> out = ahead_->slice(0, rows);
    ahead_ = rows < ahead_->rows() ? std::optional(ahead_->slice(rows, ahead_->rows() - rows)) : std::nullopt;
    left_ -= rows;
    return out;
  }

  // True when there is another row; the next part may then be written.
  Result<bool> begin_part() {
    left_ = rows_max_;
    TRY_VOID(look());
    return ahead_.has_value();
  }

 private:
  Result<void> look() {
    while (!ahead_) {
      if (task_.cancelled && task_.cancelled()) return fail(cancelled());
      TRY(auto batch, from_.next());
      if (!batch) return {};
      if (batch->rows() == 0) continue;
      analyst_.add(*batch, false);
      ahead_ = std::move(batch);
    }
    return {};
  }

  const Task& task_;
  table::BatchReader& from_;
  Analyst& analyst_;
  std::int64_t rows_max_;
  std::int64_t left_ = 0;
  std::optional<table::Batch> ahead_;
};

Result<Part> write_part(blob::Store& store, table::BatchReader& rows, Faults* faults) {
  TRY(auto writer, store.create());
  BlobFile file(*writer);
  TRY(const std::uint64_t written, table::write_parquet(rows.schema(), rows, file));
  if (faults) TRY_VOID(faults->reach("data.ingest.before_part"));
  TRY(const blob::BlobInfo info, writer->commit());
  if (faults) TRY_VOID(faults->reach("data.ingest.after_part"));
  return Part{info.digest.hex(), static_cast<std::int64_t>(written), static_cast<std::int64_t>(info.size)};
}

AnalyseInput analyse_input(const IngestInput& input) {
  return {{},           {},
          input.target, input.key,
          input.task,   input.positive,
          input.inputs, input.exclude,
          input.checks, input.sample_rows};
}

bool has_new_values(const CheckConfig& checks) {
  return std::ranges::any_of(checks.columns, [](const ColumnCheck& c) { return c.new_values != "allow"; });
}

// Shows the parent's rows to the analyst: as rows of the version, or only for their values.
Result<void> add_parent(const Task& task, blob::Store& store, const IngestInput& input, const table::Schema& schema,
                        Analyst& analyst) {
  const bool append = input.mode == "append";
  if (!append && !has_new_values(input.checks)) return {};
  auto opened = read_parts(store, fields_of(schema), input.parent_parts);
  if (!opened) return fail(opened.error());
  auto done = each_batch(task, **opened, [&](const table::Batch& batch) {
    if (append) {
      analyst.add(batch, true);
    } else {
      analyst.remember(batch);
    }
  });
  // A replacement need not go with what it replaces.
  if (!done && !append && done.error().reason == "table.bad_schema") return {};
  return done;
}

// One bad cell makes a whole column text, and text is another input, or none.
std::vector<std::string> turned_to_words(const IngestInput& input, const table::Schema& schema) {
  std::vector<std::string> out;
  for (const auto& column : input.expected) {
    const auto before = std::ranges::find(input.parent_schema, column, &ColumnField::name);
    const int place = schema.index_of(column);
    if (before == input.parent_schema.end() || place < 0) continue;
    const bool number =
        before->type == table::type_name(table::Type::int64) || before->type == table::type_name(table::Type::float64);
    if (number && schema.fields[static_cast<std::size_t>(place)].type == table::Type::text) out.push_back(column);
  }
  return out;
}

}  // namespace

Result<Part> store_part(blob::Store& store, table::BatchReader& rows) { return write_part(store, rows, nullptr); }

Result<std::unique_ptr<table::BatchReader>> open_part(blob::Store& store, const Part& part,
                                                      const std::vector<std::string>& columns) {
  TRY(const Digest digest, Digest::parse(part.digest));
  TRY(auto file, store.open(digest));
  return table::open_parquet(std::move(file), columns);
}

Result<std::unique_ptr<table::BatchReader>> read_parts(blob::Store& store, const std::vector<ColumnField>& schema,
                                                       const std::vector<Part>& parts) {
  TRY(auto wanted, schema_of(schema));
  std::vector<table::OpenReader> readers;
  for (const Part& part : parts) {
    TRY(const Digest digest, Digest::parse(part.digest));
    readers.push_back([&store, digest]() -> Result<std::unique_ptr<table::BatchReader>> {
      TRY(auto file, store.open(digest));
      return table::open_parquet(std::move(file));
    });
  }
  return table::concat(std::move(wanted), std::move(readers));
}

Result<IngestOutput> ingest(const Task& task, blob::Store& store, const IngestInput& input) {
  if (input.mode != "append" && input.mode != "replace") {
    return fail(Code::invalid_argument, "data.bad_input", "mode '" + input.mode + "': there are append and replace");
  }
  IngestOutput out;
  out.mode = input.mode;
  TRY(const auto options, csv_options(input.csv));
  TRY(const Source source, open_source(task, store, input));
  out.provenance = source.provenance;
  if (std::ranges::find(input.parent_sources, source.provenance.digest) != input.parent_sources.end()) {
    out.unchanged = true;
    return out;
  }
  const bool append = input.mode == "append";
  TRY(const table::Schema parent, append ? schema_of(input.parent_schema) : Result<table::Schema>(table::Schema{}));
  table::Schema schema;
  TRY(auto reader, open_rows(source.file, options, parent, input.key, schema, out));
  out.schema = fields_of(schema);
  auto asked = analyse_input(input);
  const auto turned = turned_to_words(input, schema);
  for (const auto& column : turned) {
    auto check = std::ranges::find(asked.checks.columns, column, &ColumnCheck::column);
    if (check == asked.checks.columns.end()) check = asked.checks.columns.insert(check, ColumnCheck{.column = column});
    if (check->type.empty()) check->type = "number";
  }
  Analyst analyst(schema, asked);
  TRY_VOID(add_parent(task, store, input, schema, analyst));
  if (append) out.parts = input.parent_parts;

  PartRows rows(task, *reader, analyst, std::max<std::int64_t>(input.part_rows_max, 1));
  while (true) {
    TRY(const bool more, rows.begin_part());
    if (!more) break;
    TRY(auto part, write_part(store, rows, &task.env.faults));
    out.new_parts++;
    out.new_rows += part.rows;
    out.parts.push_back(std::move(part));
    if (task.progress) task.progress({.phase = "write", .step = out.new_rows});
  }
  if (out.new_rows == 0) {
    return fail(Code::invalid_argument, "data.no_rows", source.provenance.uri + " has column names and no rows");
  }
  TRY_VOID(check_source(task, input, source));
  TRY(out.analysis, analyst.finish());
  for (CheckResult& result : out.analysis.checks.results) {
    if (result.rule != "type" || result.level != "error" || !std::ranges::contains(turned, result.column)) continue;
    std::string samples;
    for (const auto& sample : result.samples) samples += (samples.empty() ? ": '" : ", '") + sample + "'";
    result.message = "models learned from '" + result.column + "' as numbers; " + result.message + samples;
  }
  for (const std::string& column : input.expected) {
    if (std::ranges::contains(out.schema, column, &ColumnField::name)) continue;
    out.analysis.checks.results.push_back(
        {.column = column,
         .rule = "exists",
         .level = "error",
         .total = out.analysis.rows,
         .message = "models learned from '" + column + "', and it is not in the data any more"});
  }
  return out;
}

Result<Analysis> analyse(const Task& task, blob::Store& store, const AnalyseInput& input) {
  TRY(const auto schema, schema_of(input.schema));
  Analyst analyst(schema, input);
  TRY(auto reader, read_parts(store, input.schema, input.parts));
  TRY_VOID(each_batch(task, *reader, [&](const table::Batch& batch) { analyst.add(batch, false); }));
  return analyst.finish();
}

}  // namespace millrace::data
