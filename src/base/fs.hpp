// The file system, passed in, so that a test can own it (testing/sim_fs.hpp forgets what was not synced).
// Paths are absolute or relative to the process, '/' separated. Every call may fail with: not_found `fs.not_found`,
// permission_denied `fs.denied`, resource_exhausted `fs.disk_full`, already_exists `fs.exists`, unavailable `fs.io`,
// and rarer failed_precondition `fs.is_dir`, `fs.not_empty`, resource_exhausted `fs.too_many_open`; the message names
// the path and the operation. Thread-safe; one File object belongs to one thread at a time unless said.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace millrace {

// Random access reads. Any number of threads may read at once.
class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  // Fills up to out.size() bytes from `offset`; fewer only at the end of the file.
  virtual Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const = 0;
  virtual std::uint64_t size() const = 0;  // now: a file being written grows
};

// Writes go to the end, unbuffered: they survive the death of the process. They are durable after sync() only; the
// file's name after Fs::sync_dir of its folder only. A failed append leaves size() as it was; after a failed sync()
// every later call fails too, because what reached the disk is not known any more.
class WritableFile {
 public:
  virtual ~WritableFile() = default;  // closes; a failure to close is lost, so sync() first
  virtual Result<void> append(std::span<const std::byte> data) = 0;
  virtual Result<void> sync() = 0;
  virtual std::uint64_t size() const = 0;
};

// A file of fixed size mapped for writing: stores reach the kernel at once, so they survive the death of the process;
// they survive the machine's only after sync(). Used by the prediction log.
class MappedFile {
 public:
  virtual ~MappedFile() = default;
  virtual std::span<std::byte> bytes() = 0;
  virtual Result<void> sync(std::uint64_t offset, std::uint64_t length) = 0;
  // Makes every page present, where the system can, so that the first store into each costs its writer nothing.
  virtual void fault_in() {}
};

// An exclusive lock on a file, held until destroyed or until the process dies.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

enum class WriteMode { create_new, truncate, append };

struct FileInfo {
  std::string name;  // last component
  bool is_dir = false;
  std::uint64_t size = 0;
  TimePoint modified{};
};

class Fs {
 public:
  virtual ~Fs() = default;
  virtual Result<std::unique_ptr<ReadableFile>> open_read(const std::string& path) = 0;
  virtual Result<std::unique_ptr<WritableFile>> open_write(const std::string& path, WriteMode mode) = 0;
  // Creates the file with `size` bytes (> 0, all zero) reserved on disk and that size durable (the name is not, before
  // sync_dir), or opens it when it exists with that size. failed_precondition `fs.size_differs` when with another.
  virtual Result<std::unique_ptr<MappedFile>> open_mapped(const std::string& path, std::uint64_t size) = 0;
  // failed_precondition `fs.locked` when somebody else holds it; `holder` is written into the file for them to
  // read; a full disk leaves that out, and the lock is held all the same.
  virtual Result<std::unique_ptr<FileLock>> lock(const std::string& path, const std::string& holder) = 0;
  virtual Result<FileInfo> info(const std::string& path) = 0;
  virtual Result<std::vector<FileInfo>> list(const std::string& dir) = 0;  // sorted by name
  virtual Result<void> make_dirs(const std::string& dir) = 0;  // with parents, their names durable; fine if there
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;  // atomic, replaces
  virtual Result<void> remove(const std::string& path) = 0;                         // a file or an empty folder
  virtual Result<void> remove_all(const std::string& path) = 0;                     // fine if nothing is there
  virtual Result<void> sync_dir(const std::string& dir) = 0;
  virtual Result<std::uint64_t> free_bytes(const std::string& path) = 0;
};

// The operating system's.
class RealFs final : public Fs {
 public:
  Result<std::unique_ptr<ReadableFile>> open_read(const std::string& path) override;
  Result<std::unique_ptr<WritableFile>> open_write(const std::string& path, WriteMode mode) override;
  Result<std::unique_ptr<MappedFile>> open_mapped(const std::string& path, std::uint64_t size) override;
  Result<std::unique_ptr<FileLock>> lock(const std::string& path, const std::string& holder) override;
  Result<FileInfo> info(const std::string& path) override;
  Result<std::vector<FileInfo>> list(const std::string& dir) override;
  Result<void> make_dirs(const std::string& dir) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> remove_all(const std::string& path) override;
  Result<void> sync_dir(const std::string& dir) override;
  Result<std::uint64_t> free_bytes(const std::string& path) override;
};

// Helpers over any Fs.
// resource_exhausted `fs.too_large` past size_max.
Result<std::string> read_file(Fs& fs, const std::string& path, std::uint64_t size_max = 64u << 20);
// Durable and atomic: `path`.tmp, sync, rename, folder synced. Readers see the old content or the new. One writer per
// path at a time.
Result<void> write_file(Fs& fs, const std::string& path, std::string_view content);
bool exists(Fs& fs, const std::string& path);
std::string join_path(std::string_view dir, std::string_view name);
std::string parent_path(std::string_view path);  // "." for a bare name

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace millrace
