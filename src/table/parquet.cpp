#include <arrow/io/interfaces.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/reader.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/writer.h>
#include <parquet/exception.h>

#include <algorithm>
#include <numeric>

#include "table/arrow_internal.hpp"
#include "table/file_internal.hpp"
#include "table/table.hpp"

namespace millrace::table {

namespace {

// Our file seen by Arrow. ReadAt may be called by several threads; the position belongs to one.
class FileAdapter final : public arrow::io::RandomAccessFile {
 public:
  explicit FileAdapter(std::shared_ptr<const ReadableFile> file) : file_(std::move(file)) {}

  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return closed_; }
  arrow::Result<int64_t> Tell() const override { return position_; }
  arrow::Status Seek(int64_t position) override {
    position_ = position;
    return arrow::Status::OK();
  }
  arrow::Result<int64_t> GetSize() override { return static_cast<int64_t>(file_->size()); }

  arrow::Result<int64_t> ReadAt(int64_t position, int64_t bytes, void* out) override {
    auto read = file_->read(static_cast<std::uint64_t>(position),
                            std::span(static_cast<std::byte*>(out), static_cast<std::size_t>(bytes)));
    if (!read) return arrow::Status::IOError(read.error().message);
    return static_cast<int64_t>(*read);
  }
  arrow::Result<std::shared_ptr<arrow::Buffer>> ReadAt(int64_t position, int64_t bytes) override {
    const int64_t left = std::max<int64_t>(0, static_cast<int64_t>(file_->size()) - position);
    ARROW_ASSIGN_OR_RAISE(auto buffer, arrow::AllocateResizableBuffer(std::min(bytes, left)));
    ARROW_ASSIGN_OR_RAISE(const int64_t read, ReadAt(position, buffer->size(), buffer->mutable_data()));
    ARROW_RETURN_NOT_OK(buffer->Resize(read));
    return std::shared_ptr<arrow::Buffer>(std::move(buffer));
  }
  arrow::Result<int64_t> Read(int64_t bytes, void* out) override {
    ARROW_ASSIGN_OR_RAISE(const int64_t read, ReadAt(position_, bytes, out));
    position_ += read;
    return read;
  }
  arrow::Result<std::shared_ptr<arrow::Buffer>> Read(int64_t bytes) override {
    ARROW_ASSIGN_OR_RAISE(auto buffer, ReadAt(position_, bytes));
    position_ += buffer->size();
    return buffer;
  }

 private:
  std::shared_ptr<const ReadableFile> file_;
  int64_t position_ = 0;
  bool closed_ = false;
};

// Arrow's writer pushed into our file. Keeps our error, so that a full disk stays a full disk.
class SinkAdapter final : public arrow::io::OutputStream {
 public:
  explicit SinkAdapter(WritableFile& to) : to_(to) {}
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return closed_; }
  arrow::Result<int64_t> Tell() const override { return written_; }
  arrow::Status Write(const void* data, int64_t bytes) override {
    if (auto done = to_.append({static_cast<const std::byte*>(data), static_cast<std::size_t>(bytes)}); !done) {
      error = done.error();
      return arrow::Status::IOError(error->message);
    }
    written_ += bytes;
    return arrow::Status::OK();
  }
  std::optional<Error> error;

 private:
  WritableFile& to_;
  int64_t written_ = 0;
  bool closed_ = false;
};

// Gathers batches of any size into pieces of exactly `rows` rows (the last one is smaller), so that the bytes of the
// file depend on the rows and not on how they arrived.
class Regrouper {
 public:
  Regrouper(std::shared_ptr<arrow::Schema> schema, std::int64_t rows) : schema_(std::move(schema)), rows_(rows) {}

  void add(std::shared_ptr<arrow::RecordBatch> batch) {
    held_ += batch->num_rows();
    if (batch->num_rows() > 0) batches_.push_back(std::move(batch));
  }
  bool full() const { return held_ >= rows_; }
  std::int64_t held() const { return held_; }

  arrow::Result<std::shared_ptr<arrow::Table>> take() {
    arrow::RecordBatchVector piece;
    std::int64_t wanted = std::min(rows_, held_);
    std::size_t used = 0;
    for (; wanted > 0; used++) {
      auto& batch = batches_[used];
      const std::int64_t part = std::min(wanted, batch->num_rows());
      piece.push_back(batch->Slice(0, part));
      wanted -= part;
      held_ -= part;
      if (part < batch->num_rows()) {
        batch = batch->Slice(part);
        break;
      }
    }
    batches_.erase(batches_.begin(), batches_.begin() + static_cast<std::ptrdiff_t>(used));
    ARROW_ASSIGN_OR_RAISE(auto table, arrow::Table::FromRecordBatches(schema_, piece));
    return table->CombineChunks();
  }

 private:
  std::shared_ptr<arrow::Schema> schema_;
  std::int64_t rows_;
  std::int64_t held_ = 0;
  std::vector<std::shared_ptr<arrow::RecordBatch>> batches_;
};

Result<std::uint64_t> write_to(const Schema& schema, BatchReader& reader, std::shared_ptr<arrow::io::OutputStream> sink,
                               const std::vector<std::pair<std::string, std::string>>& notes = {}) {
  constexpr std::string_view doing = "writing Parquet";
  const auto to_schema = arrow_schema(schema);
  const std::int64_t group_rows = rows_per_batch(schema.fields.size());
  // Nothing below may depend on the machine, the time or the library's release: equal rows are equal bytes.
  const auto properties = parquet::WriterProperties::Builder()
                              .compression(parquet::Compression::ZSTD)
                              ->compression_level(3)
                              ->created_by("millrace")
                              ->version(parquet::ParquetVersion::PARQUET_2_6)
                              ->max_row_group_length(group_rows)
                              ->build();
  ARROW_TRY(auto writer, doing, Code::internal, "table.parquet",
            parquet::arrow::FileWriter::Open(*to_schema, arrow::default_memory_pool(), std::move(sink), properties,
                                             parquet::ArrowWriterProperties::Builder().build()));
  Regrouper groups(to_schema, group_rows);
  std::uint64_t rows = 0;
  const auto write_group = [&]() -> Result<void> {
    ARROW_TRY(auto table, doing, Code::internal, "table.parquet", groups.take());
    ARROW_OK(doing, Code::unavailable, "table.parquet", writer->WriteTable(*table, group_rows));
    return {};
  };
  while (true) {
    TRY(auto batch, reader.next());
    if (!batch) break;
    if (!(batch->schema() == schema)) {
      return fail(Code::invalid_argument, "table.bad_schema",
                  "writing Parquet: a batch has another schema than the file");
    }
    rows += static_cast<std::uint64_t>(batch->rows());
    groups.add(batch->arrow());
    while (groups.full()) TRY_VOID(write_group());
  }
  if (groups.held() > 0) TRY_VOID(write_group());
  if (!notes.empty()) {
    auto metadata = std::make_shared<arrow::KeyValueMetadata>();
    for (const auto& [name, value] : notes) metadata->Append(name, value);
    ARROW_OK(doing, Code::unavailable, "table.parquet", writer->AddKeyValueMetadata(metadata));
  }
  ARROW_OK(doing, Code::unavailable, "table.parquet", writer->Close());
  return rows;
}

class ArrowReader final : public BatchReader {
 public:
  using Next = std::function<arrow::Result<std::shared_ptr<arrow::RecordBatch>>()>;
  ArrowReader(Schema schema, Next next_batch, std::string_view format)
      : schema_(std::move(schema)), next_(std::move(next_batch)), doing_("reading " + std::string(format)) {}
  const Schema& schema() const override { return schema_; }

  Result<std::optional<Batch>> next() override {
    try {
      ARROW_TRY(auto raw, doing_, Code::data_loss, "table.bad_file", next_());
      if (!raw) return std::optional<Batch>();
      TRY(auto normal, normalise(raw));
      TRY(auto batch, Batch::wrap(std::move(normal)));
      return std::optional(std::move(batch));
    } catch (const parquet::ParquetException& error) {
      return fail(Code::data_loss, "table.bad_file", doing_ + ": " + error.what());
    }
  }

 private:
  Schema schema_;
  Next next_;
  std::string doing_;
};

}  // namespace

Result<std::string> write_parquet(const Schema& schema, BatchReader& reader) {
  ARROW_TRY(auto sink, "writing Parquet", Code::internal, "table.parquet", arrow::io::BufferOutputStream::Create());
  TRY(const auto rows, write_to(schema, reader, sink));
  static_cast<void>(rows);
  ARROW_TRY(auto buffer, "writing Parquet", Code::internal, "table.parquet", sink->Finish());
  return buffer->ToString();
}

Result<std::uint64_t> write_parquet(const Schema& schema, BatchReader& reader, WritableFile& to,
                                    const std::vector<std::pair<std::string, std::string>>& notes) {
  auto sink = std::make_shared<SinkAdapter>(to);
  auto rows = write_to(schema, reader, sink, notes);
  if (!rows && sink->error) return fail(*sink->error);
  return rows;
}

Result<std::unique_ptr<BatchReader>> open_parquet(std::shared_ptr<const ReadableFile> file, std::int64_t batch_rows) {
  return open_parquet(std::move(file), {}, batch_rows);
}

Result<std::unique_ptr<BatchReader>> open_parquet(std::shared_ptr<const ReadableFile> file,
                                                  const std::vector<std::string>& columns, std::int64_t batch_rows) {
  constexpr std::string_view doing = "reading Parquet";
  try {
    parquet::arrow::FileReaderBuilder builder;
    parquet::ReaderProperties properties;
    properties.enable_buffered_stream();  // a page at a time rather than a whole column chunk
    ARROW_OK(doing, Code::invalid_argument, "table.bad_file",
             builder.Open(std::make_shared<FileAdapter>(std::move(file)), properties));
    parquet::ArrowReaderProperties arrow_properties;
    arrow_properties.set_pre_buffer(false);
    builder.properties(arrow_properties);
    ARROW_TRY(std::shared_ptr<parquet::arrow::FileReader> reader, doing, Code::invalid_argument, "table.bad_file",
              builder.Build());
    std::shared_ptr<arrow::Schema> schema;
    ARROW_OK(doing, Code::invalid_argument, "table.bad_file", reader->GetSchema(&schema));
    reader->set_batch_size(std::min(batch_rows, rows_per_batch(static_cast<std::size_t>(schema->num_fields()))));
    std::vector<int> groups(static_cast<std::size_t>(reader->num_row_groups())), leaves;
    std::iota(groups.begin(), groups.end(), 0);
    const auto& file_schema = *reader->parquet_reader()->metadata()->schema();
    for (int leaf = 0; leaf < file_schema.num_columns(); leaf++) {
      const auto& field = file_schema.GetColumnRoot(leaf)->name();
      if (columns.empty() || std::ranges::find(columns, field) != columns.end()) leaves.push_back(leaf);
    }
    ARROW_TRY(std::shared_ptr<arrow::RecordBatchReader> batches, doing, Code::invalid_argument, "table.bad_file",
              reader->GetRecordBatchReader(groups, leaves));
    return std::make_unique<ArrowReader>(
        schema_of(*batches->schema()), [reader, batches] { return batches->Next(); }, "Parquet");
  } catch (const parquet::ParquetException& error) {
    return fail(Code::invalid_argument, "table.bad_file", std::string(doing) + ": " + error.what());
  }
}

Result<std::unique_ptr<BatchReader>> open_arrow_file(std::shared_ptr<const ReadableFile> file) {
  constexpr std::string_view doing = "reading an Arrow file";
  ARROW_TRY(auto reader, doing, Code::invalid_argument, "table.bad_file",
            arrow::ipc::RecordBatchFileReader::Open(std::make_shared<FileAdapter>(std::move(file))));
  const auto schema = schema_of(*reader->schema());
  return std::make_unique<ArrowReader>(
      schema,
      [reader, at = 0]() mutable -> arrow::Result<std::shared_ptr<arrow::RecordBatch>> {
        if (at == reader->num_record_batches()) return nullptr;
        return reader->ReadRecordBatch(at++);
      },
      "an Arrow file");
}

}  // namespace millrace::table
