#include "table/csv_internal.hpp"

#include <algorithm>

#include "table/arrow_internal.hpp"
#include "table/bytes_internal.hpp"
#include "table/file_internal.hpp"
#include "table/parse_internal.hpp"

namespace millrace::table {

namespace {

constexpr std::size_t record_bytes_max = 16 << 20;
constexpr std::size_t sample_bytes = 256 << 10;

std::unexpected<Error> bad_csv(std::int64_t line, const std::string& what) {
  return fail(Code::invalid_argument, "table.bad_csv", "line " + std::to_string(line) + ": " + what);
}

// Records of a file one by one, blank lines left out, each checked to be UTF-8.
class CsvStream {
 public:
  // Reads the start of the file; sample() shows it before any record was taken.
  static Result<CsvStream> open(const std::shared_ptr<const ReadableFile>& file, bool latin1) {
    CsvStream out;
    out.latin1_ = latin1;
    TRY(out.source_, open_bytes(file));
    // Enough to look at; of very wide tables at least two lines.
    const auto enough = [&] {
      return out.buffer_.size() >= record_bytes_max ||
             (out.buffer_.size() >= sample_bytes && std::ranges::count(out.buffer_, '\n') >= 2);
    };
    while (!out.at_end_ && !enough()) TRY_VOID(out.read_more());
    if (out.buffer_.starts_with("\xff\xfe") || out.buffer_.starts_with("\xfe\xff")) {
      return bad_csv(1, "the file is UTF-16; save it as UTF-8 (iconv -f utf-16 -t utf-8)");
    }
    if (out.buffer_.starts_with("\xef\xbb\xbf")) out.at_ = 3;
    return out;
  }

  std::string_view sample() const { return std::string_view(buffer_).substr(at_); }
  bool at_end() const { return at_end_; }
  void set_delimiter(char delimiter) { delimiter_ = delimiter; }

  // False at the end of the file. The cells live until the next call; line() is where the record began.
  Result<bool> next(CsvRecord& record) {
    while (true) {
      const std::string_view text = std::string_view(buffer_).substr(at_);
      if (text.empty() && at_end_) return false;
      line_ = next_line_;
      switch (text.empty() ? CsvParse::need_more : parse_csv_record(text, at_end_, delimiter_, record)) {
        case CsvParse::record:
          break;
        case CsvParse::need_more:
          if (text.size() > record_bytes_max) {
            return bad_csv(line_, "one row is longer than 16 MiB; is a quote never closed, or is this not a CSV file?");
          }
          TRY_VOID(read_more());
          continue;
        case CsvParse::open_quote:
          return bad_csv(line_, "a quote opened in this row is never closed");
        case CsvParse::after_quote:
          return bad_csv(line_ + record.lines, "text after the closing quote of cell " +
                                                   std::to_string(record.cells.size()) + ": '" +
                                                   excerpt(text.substr(record.consumed, 20), 20) +
                                                   "'; a quote inside quotes is written twice");
      }
      TRY_VOID(check_encoding(text.substr(0, record.consumed)));
      at_ += record.consumed;
      next_line_ += record.lines;
      if (!record.blank) return true;
    }
  }
  std::int64_t line() const { return line_; }

 private:
  Result<void> read_more() {
    buffer_.erase(0, at_);
    at_ = 0;
    const std::size_t before = buffer_.size();
    TRY(const bool more, source_->read(buffer_));
    at_end_ = !more;
    if (latin1_) widen_latin1(buffer_, before);
    return {};
  }

  static void widen_latin1(std::string& text, std::size_t from) {
    std::string wide;
    for (std::size_t i = from; i < text.size(); i++) {
      const auto byte = static_cast<unsigned char>(text[i]);
      if (byte >= 0x80) wide += static_cast<char>(0xc0 | (byte >> 6));
      wide += static_cast<char>(byte >= 0x80 ? 0x80 | (byte & 0x3f) : byte);
    }
    text.replace(from, std::string::npos, wide);
  }

  // Whatever the encoding of its letters is: text has line ends and tabs, and no other control characters.
  static bool is_text(std::string_view raw) {
    return std::ranges::none_of(raw, [](char c) { return c >= 0 && c < ' ' && c != '\n' && c != '\r' && c != '\t'; });
  }

  Result<void> check_encoding(std::string_view raw) const {
    const std::size_t bad = find_bad_utf8(raw);
    if (bad == raw.size()) return {};
    const auto line = line_ + std::count(raw.begin(), raw.begin() + static_cast<std::ptrdiff_t>(bad), '\n');
    if (raw[bad] == '\0') return bad_csv(line, "a zero byte; this is not a text file");
    constexpr std::string_view digits = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(raw[bad]);
    if (!is_text(raw)) return bad_csv(line, "control characters; this is not a text file");
    return fail(Code::invalid_argument, "table.not_utf8",
                "line " + std::to_string(line) + ": byte 0x" + digits[byte >> 4] + digits[byte & 15] +
                    " is not UTF-8; if the file is Latin-1, say encoding = \"latin1\" for the source, or convert it "
                    "(iconv -f latin1 -t utf-8)");
  }

  std::unique_ptr<ByteSource> source_;
  std::string buffer_;
  std::size_t at_ = 0;
  bool at_end_ = false;
  bool latin1_ = false;
  char delimiter_ = ',';
  std::int64_t line_ = 1;
  std::int64_t next_line_ = 1;
};

struct CsvPlan {
  CsvFound dialect;
  CsvOptions options;
  Schema schema;
};

Result<void> check_width(const CsvRecord& record, std::size_t columns, std::int64_t line) {
  if (record.cells.size() == columns) return {};
  return bad_csv(line, "the row has " + std::to_string(record.cells.size()) + " columns where " +
                           std::to_string(columns) + " are expected");
}

// Pass one: names, widths, encoding, and the types over the whole file.
Result<CsvPlan> plan_csv(const std::shared_ptr<const ReadableFile>& file, const CsvOptions& options) {
  TRY(auto stream, CsvStream::open(file, options.latin1));
  CsvPlan plan{sniff_csv(stream.sample(), stream.at_end(), options), options, {}};
  stream.set_delimiter(plan.dialect.delimiter);
  CsvRecord record;
  TRY(bool more, stream.next(record));
  if (!more) return fail(Code::invalid_argument, "table.empty_file", "the file is empty: no header and no rows");
  std::vector<std::string> names;
  if (plan.dialect.header) {
    names.assign(record.cells.begin(), record.cells.end());
    TRY(more, stream.next(record));
  } else if (options.names.empty()) {
    names.resize(record.cells.size());
  } else {
    names = options.names;
    if (names.size() != record.cells.size()) {
      return bad_csv(stream.line(), std::to_string(names.size()) + " column names were given, the rows have " +
                                        std::to_string(record.cells.size()) + " columns");
    }
  }
  const std::vector<std::string> given = names;
  names = unique_names(std::move(names));
  for (std::size_t c = 0; c < names.size(); c++) {
    if (!given[c].empty() && given[c] != names[c]) plan.dialect.renamed.push_back(names[c]);
  }
  std::vector<TypeGuess> guesses(names.size());
  while (more) {
    TRY_VOID(check_width(record, names.size(), stream.line()));
    for (std::size_t c = 0; c < names.size(); c++) {
      if (!is_null_marker(record.cells[c], options)) guesses[c].see(record.cells[c]);
    }
    TRY(more, stream.next(record));
  }
  for (std::size_t c = 0; c < names.size(); c++) {
    const int forced = options.types.index_of(names[c]);
    const int fallback = guesses[c].any() ? -1 : options.fallback.index_of(names[c]);
    const Type type = forced >= 0     ? options.types.fields[static_cast<std::size_t>(forced)].type
                      : fallback >= 0 ? options.fallback.fields[static_cast<std::size_t>(fallback)].type
                                      : guesses[c].type();
    plan.schema.fields.push_back({std::move(names[c]), type});
  }
  return plan;
}

// Pass two: the rows.
class CsvReader final : public BatchReader {
 public:
  CsvReader(CsvPlan plan, CsvStream stream)
      : plan_(std::move(plan)), stream_(std::move(stream)), arrow_schema_(arrow_schema(plan_.schema)) {
    stream_.set_delimiter(plan_.dialect.delimiter);
  }
  const Schema& schema() const override { return plan_.schema; }

  Result<std::optional<Batch>> next() override {
    if (!started_ && plan_.dialect.header) {
      TRY(const bool any, stream_.next(record_));
      static_cast<void>(any);
    }
    started_ = true;
    auto columns = column_builders(plan_.schema);
    const std::int64_t rows_max = rows_per_batch(columns.size());
    std::int64_t rows = 0;
    std::size_t bytes = 0;
    while (rows < rows_max && bytes < batch_text_bytes) {
      TRY(const bool more, stream_.next(record_));
      if (!more) break;
      TRY_VOID(check_width(record_, columns.size(), stream_.line()));
      for (std::size_t c = 0; c < columns.size(); c++) TRY_VOID(append(columns[c], c));
      bytes += record_.consumed;
      rows++;
    }
    if (rows == 0) return std::optional<Batch>();
    TRY(auto batch, finish_batch(arrow_schema_, columns, rows));
    return std::optional(std::move(batch));
  }

 private:
  Result<void> append(ColumnBuilder& column, std::size_t index) {
    const std::string_view cell = record_.cells[index];
    arrow::Status status;
    std::int64_t whole = 0;
    if (is_null_marker(cell, plan_.options)) {
      status = column.null();
    } else if (column.type() == Type::text) {
      status = column.text(cell);
    } else if (column.type() == Type::int64 && parse_integer(cell, whole) == IntegerParse::ok) {
      status = column.int64(whole);
    } else {
      auto value = from_text(cell, column.type());
      if (!value) {
        return bad_csv(stream_.line(), "column '" + plan_.schema.fields[index].name + "': " + value.error().message);
      }
      switch (column.type()) {
        case Type::boolean:
          status = column.boolean(std::get<bool>(*value));
          break;
        case Type::int64:
          status = column.int64(std::get<std::int64_t>(*value));
          break;
        case Type::float64:
          status = column.float64(std::get<double>(*value));
          break;
        case Type::date:
          status = column.date(std::get<Date>(*value));
          break;
        case Type::timestamp:
          status = column.timestamp(std::get<Timestamp>(*value));
          break;
        case Type::text:
          break;
      }
    }
    ARROW_OK("reading CSV", Code::internal, "table.arrow", status);
    return {};
  }

  CsvPlan plan_;
  CsvStream stream_;
  std::shared_ptr<arrow::Schema> arrow_schema_;
  CsvRecord record_;
  bool started_ = false;
};

// A file that lives in memory.
class MemoryFile final : public ReadableFile {
 public:
  explicit MemoryFile(std::string bytes) : bytes_(std::move(bytes)) {}
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= bytes_.size()) return std::size_t{0};
    const std::size_t length = std::min<std::size_t>(out.size(), bytes_.size() - offset);
    std::copy_n(std::as_bytes(std::span(bytes_)).begin() + static_cast<std::ptrdiff_t>(offset), length, out.begin());
    return length;
  }
  std::uint64_t size() const override { return bytes_.size(); }

 private:
  std::string bytes_;
};

struct Container {
  std::string_view magic;
  std::string_view what;
};
constexpr Container not_tables[] = {
    {"PK\x03\x04", "a zip or spreadsheet (xlsx) file; unpack it, or save the sheet as CSV"},
    {"\x28\xb5\x2f\xfd", "packed with zstd; unpack it first (zstd -d)"},
    {"BZh", "packed with bzip2; unpack it first (bunzip2)"},
    {"\xfd"
     "7zXZ",
     "packed with xz; unpack it first (unxz)"},
    {"SQLite format 3", "an SQLite database; export the table as CSV"},
    {"%PDF", "a PDF"},
    {"[{", "JSON; write its rows as CSV or Parquet"},
    {"{\"", "JSON; write its rows as CSV or Parquet"},
};

}  // namespace

Result<std::unique_ptr<BatchReader>> open_file(std::shared_ptr<const ReadableFile> file, const CsvOptions& options,
                                               std::optional<CsvFound>* found) {
  if (found) found->reset();
  std::string head;
  TRY(auto source, open_bytes(file));
  TRY(const bool any, source->read(head));
  static_cast<void>(any);
  const bool parquet = head.starts_with("PAR1"), arrow_file = head.starts_with("ARROW1");
  if (parquet || arrow_file) {
    std::byte first{};
    TRY(const std::size_t got, file->read(0, std::span(&first, 1)));
    if (got == 1 && first == std::byte{0x1f}) {
      // These formats are read from the end, which gzip cannot do.
      TRY(auto whole, open_bytes(file));
      TRY(auto bytes, read_all(*whole, std::size_t{512} << 20));
      file = std::make_shared<MemoryFile>(std::move(bytes));
    }
    return parquet ? open_parquet(std::move(file)) : open_arrow_file(std::move(file));
  }
  for (const Container& container : not_tables) {
    if (head.starts_with(container.magic)) {
      return fail(Code::invalid_argument, "table.bad_file", "the file is " + std::string(container.what));
    }
  }
  TRY(auto plan, plan_csv(file, options));
  if (found) *found = plan.dialect;
  TRY(auto stream, CsvStream::open(file, options.latin1));
  return std::make_unique<CsvReader>(std::move(plan), std::move(stream));
}

}  // namespace millrace::table
