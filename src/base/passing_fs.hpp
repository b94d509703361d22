// A file system that passes everything on to another: for those that change a few calls.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/fs.hpp"

namespace millrace {

// As thread-safe as `to`, which must outlive it.
class PassingFs : public Fs {
 public:
  explicit PassingFs(Fs& to) : to_(to) {}

  Result<std::unique_ptr<ReadableFile>> open_read(const std::string& path) override { return to_.open_read(path); }
  Result<std::unique_ptr<WritableFile>> open_write(const std::string& path, WriteMode mode) override {
    return to_.open_write(path, mode);
  }
  Result<std::unique_ptr<MappedFile>> open_mapped(const std::string& path, std::uint64_t size) override {
    return to_.open_mapped(path, size);
  }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path, const std::string& holder) override {
    return to_.lock(path, holder);
  }
  Result<FileInfo> info(const std::string& path) override { return to_.info(path); }
  Result<std::vector<FileInfo>> list(const std::string& dir) override { return to_.list(dir); }
  Result<void> make_dirs(const std::string& dir) override { return to_.make_dirs(dir); }
  Result<void> rename(const std::string& from, const std::string& to) override { return to_.rename(from, to); }
  Result<void> remove(const std::string& path) override { return to_.remove(path); }
  Result<void> remove_all(const std::string& path) override { return to_.remove_all(path); }
  Result<void> sync_dir(const std::string& dir) override { return to_.sync_dir(dir); }
  Result<std::uint64_t> free_bytes(const std::string& path) override { return to_.free_bytes(path); }

 protected:
  Fs& to_;
};

}  // namespace millrace
