// The one unit that speaks DuckDB's C++ interface: a file system for `blob:<name>` paths.
#include <duckdb/main/capi/capi_internal.hpp>

#include <duckdb/common/file_system.hpp>

#include "table/duckdb_internal.hpp"

namespace millrace::table {

namespace {

constexpr std::string_view prefix = "blob:";

struct BlobHandle final : duckdb::FileHandle {
  BlobHandle(duckdb::FileSystem& fs, const std::string& name, duckdb::FileOpenFlags how,
             std::shared_ptr<const ReadableFile> f)
      : FileHandle(fs, name, how), file(std::move(f)) {}
  void Close() override {}
  std::shared_ptr<const ReadableFile> file;
  duckdb::idx_t position = 0;
};

// Read only. Files never change, so their time is constant.
class BlobFileSystem final : public duckdb::FileSystem {
 public:
  explicit BlobFileSystem(Engine::OpenFile open_file) : open_file_(std::move(open_file)) {}

  std::string GetName() const override { return "millrace blobs"; }
  bool CanHandleFile(const std::string& path) override { return path.starts_with(prefix); }

  duckdb::unique_ptr<duckdb::FileHandle> OpenFile(const std::string& path, duckdb::FileOpenFlags flags,
                                                  duckdb::optional_ptr<duckdb::FileOpener>) override {
    if (flags.OpenForWriting()) throw duckdb::IOException("blobs are never written through SQL: " + path);
    auto file = open_file_(path.substr(prefix.size()));
    if (!file) throw duckdb::IOException(file.error().message);
    return duckdb::make_uniq<BlobHandle>(*this, path, flags, *std::move(file));
  }

  void Read(duckdb::FileHandle& handle, void* buffer, std::int64_t bytes, duckdb::idx_t location) override {
    if (read_at(handle, buffer, bytes, location) != bytes) {
      throw duckdb::IOException("the file is shorter than it says: " + handle.path);
    }
  }
  std::int64_t Read(duckdb::FileHandle& handle, void* buffer, std::int64_t bytes) override {
    auto& blob = handle.Cast<BlobHandle>();
    const std::int64_t got = read_at(handle, buffer, bytes, blob.position);
    blob.position += static_cast<duckdb::idx_t>(got);
    return got;
  }
  std::int64_t GetFileSize(duckdb::FileHandle& handle) override {
    return static_cast<std::int64_t>(handle.Cast<BlobHandle>().file->size());
  }
  duckdb::timestamp_t GetLastModifiedTime(duckdb::FileHandle&) override { return duckdb::timestamp_t(0); }
  duckdb::FileType GetFileType(duckdb::FileHandle&) override { return duckdb::FileType::FILE_TYPE_REGULAR; }
  void Seek(duckdb::FileHandle& handle, duckdb::idx_t location) override {
    handle.Cast<BlobHandle>().position = location;
  }
  duckdb::idx_t SeekPosition(duckdb::FileHandle& handle) override { return handle.Cast<BlobHandle>().position; }
  void Reset(duckdb::FileHandle& handle) override { Seek(handle, 0); }
  bool CanSeek() override { return true; }
  bool OnDiskFile(duckdb::FileHandle&) override { return true; }
  bool IsPipe(const std::string&, duckdb::optional_ptr<duckdb::FileOpener>) override { return false; }
  bool FileExists(const std::string& path, duckdb::optional_ptr<duckdb::FileOpener>) override {
    return open_file_(path.substr(prefix.size())).has_value();
  }
  bool DirectoryExists(const std::string&, duckdb::optional_ptr<duckdb::FileOpener>) override { return false; }
  duckdb::vector<duckdb::OpenFileInfo> Glob(const std::string& path, duckdb::FileOpener*) override {
    return {duckdb::OpenFileInfo(path)};  // a name is a name: no patterns
  }
  bool IsPathAbsolute(const std::string&) override { return true; }
  // DuckDB allows folders, and a folder ends with the separator: so "blob:" is one.
  std::string PathSeparator(const std::string&) override { return ":"; }
  std::string CanonicalizePath(const std::string& path, duckdb::optional_ptr<duckdb::FileOpener>) override {
    return path;
  }

 private:
  static std::int64_t read_at(duckdb::FileHandle& handle, void* buffer, std::int64_t bytes, duckdb::idx_t location) {
    auto got = handle.Cast<BlobHandle>().file->read(
        location, std::span(static_cast<std::byte*>(buffer), static_cast<std::size_t>(bytes)));
    if (!got) throw duckdb::IOException(got.error().message);
    return static_cast<std::int64_t>(*got);
  }

  Engine::OpenFile open_file_;
};

}  // namespace

Result<void> register_blobs(duckdb_database database, Engine::OpenFile open_file) {
  try {
    // The C interface has no way to add a file system; its handle is this wrapper.
    auto& wrapper = *reinterpret_cast<duckdb::DatabaseWrapper*>(database);
    wrapper.database->instance->GetFileSystem().RegisterSubSystem(
        duckdb::make_uniq<BlobFileSystem>(std::move(open_file)));
    return {};
  } catch (const std::exception& error) {
    return fail(Code::internal, "table.duckdb", std::string("adding the blob file system: ") + error.what());
  }
}

}  // namespace millrace::table
