#include "table/testing/make.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace millrace::table::testing {

namespace {

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

[[noreturn]] void give_up(const Error& error) {
  std::fprintf(stderr, "%s: %s\n", error.reason.c_str(), error.message.c_str());
  std::abort();
}

}  // namespace

std::shared_ptr<const ReadableFile> memory_file(std::string bytes) {
  return std::make_shared<MemoryFile>(std::move(bytes));
}

std::shared_ptr<const ReadableFile> shared_data(const std::string& name) {
  const char* shared = std::getenv("MILLRACE_SHARED");
  if (!shared || !*shared) return nullptr;
  RealFs fs;
  auto file = fs.open_read(std::string(shared) + "/data/" + name);
  if (!file) give_up(file.error());
  return std::move(*file);
}

std::vector<Row> all_rows(BatchReader& reader) {
  std::vector<Row> out;
  while (true) {
    auto batch = reader.next();
    if (!batch) give_up(batch.error());
    if (!*batch) return out;
    for (std::int64_t r = 0; r < (*batch)->rows(); r++) out.push_back((*batch)->row(r));
  }
}

std::vector<Row> all_rows(Result<std::unique_ptr<BatchReader>> reader) {
  if (!reader) give_up(reader.error());
  return all_rows(**reader);
}

std::string print_rows(const std::vector<Row>& rows) {
  std::string out;
  for (const Row& row : rows) {
    for (std::size_t c = 0; c < row.size(); c++) out += (c ? "|" : "") + (is_null(row[c]) ? "-" : to_text(row[c]));
    out += "\n";
  }
  return out;
}

std::string print_schema(const Schema& schema) {
  std::string out;
  for (const Field& field : schema.fields) {
    out += (out.empty() ? "" : ", ") + field.name + " " + std::string(type_name(field.type));
  }
  return out;
}

}  // namespace millrace::table::testing
