#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/fs.hpp"

namespace millrace {
namespace {

std::unexpected<Error> fail_errno(int error, std::string_view doing, std::string_view path) {
  const auto why = std::error_code(error, std::generic_category()).message();
  auto message = fmt::format("cannot {} {}: {}", doing, path, why);
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return fail(Code::not_found, "fs.not_found", std::move(message));
    case EACCES:
    case EPERM:
    case EROFS:
      return fail(Code::permission_denied, "fs.denied", std::move(message));
    case ENOSPC:
    case EDQUOT:
      return fail(Code::resource_exhausted, "fs.disk_full", std::move(message));
    case EMFILE:
    case ENFILE:
      return fail(Code::resource_exhausted, "fs.too_many_open", std::move(message));
    case EEXIST:
      return fail(Code::already_exists, "fs.exists", std::move(message));
    case ENOTEMPTY:
      return fail(Code::failed_precondition, "fs.not_empty", std::move(message));
    case EISDIR:
      return fail(Code::failed_precondition, "fs.is_dir", std::move(message));
    default:
      return fail(Code::unavailable, "fs.io", std::move(message));
  }
}

template <class Call>
auto retry(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

Result<Fd> open_fd(const std::string& path, int flags, std::string_view doing) {
  const int fd = retry([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0644); });
  if (fd < 0) return fail_errno(errno, doing, path);
  return Fd(fd);
}

Result<struct stat> stat_fd(const Fd& fd, const std::string& path) {
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) return fail_errno(errno, "inspect", path);
  if (S_ISDIR(st.st_mode)) return fail_errno(EISDIR, "open", path);
  return st;
}

class RealReadable final : public ReadableFile {
 public:
  RealReadable(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override {
    std::size_t have = 0;
    while (have < out.size()) {
      const auto got = retry(
          [&] { return ::pread(fd_.get(), out.data() + have, out.size() - have, static_cast<off_t>(offset + have)); });
      if (got < 0) return fail_errno(errno, "read", path_);
      if (got == 0) break;
      have += static_cast<std::size_t>(got);
    }
    return have;
  }

  std::uint64_t size() const override {
    struct stat st{};
    return ::fstat(fd_.get(), &st) == 0 ? static_cast<std::uint64_t>(st.st_size) : 0;
  }

 private:
  Fd fd_;
  std::string path_;
};

class RealWritable final : public WritableFile {
 public:
  RealWritable(Fd fd, std::string path, std::uint64_t size) : fd_(std::move(fd)), path_(std::move(path)), size_(size) {}

  Result<void> append(std::span<const std::byte> data) override {
    if (broken_) return fail_errno(EIO, "write (an earlier sync failed)", path_);
    std::size_t done = 0;
    while (done < data.size()) {
      const auto put = retry([&] { return ::write(fd_.get(), data.data() + done, data.size() - done); });
      if (put < 0) {
        const int error = errno;
        // All or nothing as far as we can: what got in of this piece is cut off again.
        if (done > 0 && ::ftruncate(fd_.get(), static_cast<off_t>(size_)) != 0) size_ += done;
        ::lseek(fd_.get(), static_cast<off_t>(size_), SEEK_SET);
        return fail_errno(error, "write", path_);
      }
      done += static_cast<std::size_t>(put);
    }
    size_ += done;
    return {};
  }

  Result<void> sync() override {
    // After a failed fsync the kernel forgets which pages were dirty, and a second call would lie: stay broken.
    if (broken_) return fail_errno(EIO, "sync (an earlier sync failed)", path_);
    if (retry([&] { return ::fsync(fd_.get()); }) == 0) return {};
    broken_ = true;
    return fail_errno(errno, "sync", path_);
  }

  std::uint64_t size() const override { return size_; }

 private:
  Fd fd_;
  std::string path_;
  std::uint64_t size_;
  bool broken_ = false;
};

class RealMapped final : public MappedFile {
 public:
  RealMapped(Fd fd, std::string path, std::span<std::byte> bytes)
      : fd_(std::move(fd)), path_(std::move(path)), bytes_(bytes) {}
  ~RealMapped() override { ::munmap(bytes_.data(), bytes_.size()); }

  std::span<std::byte> bytes() override { return bytes_; }

  Result<void> sync(std::uint64_t offset, std::uint64_t length) override {
    if (offset > bytes_.size() || length > bytes_.size() - offset)
      return fail_errno(EINVAL, "sync past the end of", path_);
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    const auto begin = offset / page * page;
    if (broken_) return fail_errno(EIO, "sync (an earlier sync failed)", path_);
    if (::msync(bytes_.data() + begin, offset + length - begin, MS_SYNC) == 0) return {};
    broken_ = true;
    return fail_errno(errno, "sync", path_);
  }

  void fault_in() override { (void)::madvise(bytes_.data(), bytes_.size(), MADV_POPULATE_WRITE); }

 private:
  Fd fd_;
  std::string path_;
  std::span<std::byte> bytes_;
  bool broken_ = false;
};

class RealLock final : public FileLock {
 public:
  explicit RealLock(Fd fd) : fd_(std::move(fd)) {}
  ~RealLock() override {
    // An empty file is one that nobody holds; the file itself stays, so that all lock the same one.
    if (::ftruncate(fd_.get(), 0) != 0) return;
  }

 private:
  Fd fd_;
};

// Reserves the blocks first and sets the size last: a crash between leaves an empty file, never a shorter one.
int reserve(int fd, std::uint64_t size) {
  const auto length = static_cast<off_t>(size);
  if (::fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, length) != 0) {
    if (errno != EOPNOTSUPP) return errno;
    if (const int error = ::posix_fallocate(fd, 0, length)) return error;
  }
  if (::ftruncate(fd, length) != 0 || ::fsync(fd) != 0) return errno;
  return 0;
}

TimePoint to_time(const timespec& ts) {
  return TimePoint(std::chrono::seconds(ts.tv_sec)) + Duration(ts.tv_nsec / 1'000);
}

FileInfo to_info(std::string name, const struct stat& st) {
  const bool is_dir = S_ISDIR(st.st_mode);
  return {std::move(name), is_dir, is_dir ? 0 : static_cast<std::uint64_t>(st.st_size), to_time(st.st_mtim)};
}

std::string last_component(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return std::string(path.substr(path.rfind('/') + 1));
}

}  // namespace

Result<std::unique_ptr<ReadableFile>> RealFs::open_read(const std::string& path) {
  TRY(auto fd, open_fd(path, O_RDONLY, "open"));
  TRY_VOID(stat_fd(fd, path));
  return std::make_unique<RealReadable>(std::move(fd), path);
}

Result<std::unique_ptr<WritableFile>> RealFs::open_write(const std::string& path, WriteMode mode) {
  int flags = O_WRONLY | O_CREAT;
  if (mode == WriteMode::create_new) flags |= O_EXCL;
  if (mode == WriteMode::truncate) flags |= O_TRUNC;
  if (mode == WriteMode::append) flags |= O_APPEND;
  TRY(auto fd, open_fd(path, flags, mode == WriteMode::create_new ? "create" : "open for writing"));
  TRY(const auto st, stat_fd(fd, path));
  return std::make_unique<RealWritable>(std::move(fd), path, static_cast<std::uint64_t>(st.st_size));
}

Result<std::unique_ptr<MappedFile>> RealFs::open_mapped(const std::string& path, std::uint64_t size) {
  if (size == 0) return fail_errno(EINVAL, "map zero bytes of", path);
  TRY(auto fd, open_fd(path, O_RDWR | O_CREAT, "open for mapping"));
  TRY(const auto st, stat_fd(fd, path));
  if (st.st_size == 0) {
    if (const int error = reserve(fd.get(), size)) {
      ::unlink(path.c_str());
      return fail_errno(error, fmt::format("reserve {} for", format_size(static_cast<long long>(size))), path);
    }
  } else if (static_cast<std::uint64_t>(st.st_size) != size) {
    return fail(Code::failed_precondition, "fs.size_differs",
                fmt::format("{} has {} bytes, not {}; it was made with another setting", path, st.st_size, size));
  }
  void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (at == MAP_FAILED) return fail_errno(errno, "map", path);
  // It is written, not read: a first store would wait for megabytes of empty pages to be "read ahead" (26 ms for 8 MB).
  (void)::madvise(at, size, MADV_RANDOM);
  return std::make_unique<RealMapped>(std::move(fd), path, std::span(static_cast<std::byte*>(at), size));
}

Result<std::unique_ptr<FileLock>> RealFs::lock(const std::string& path, const std::string& holder) {
  TRY(auto fd, open_fd(path, O_RDWR | O_CREAT, "open the lock"));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail_errno(errno, "lock", path);
    std::string other(256, '\0');
    other.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::pread(fd.get(), other.data(), other.size(), 0))));
    return fail(Code::failed_precondition, "fs.locked",
                fmt::format("{} is in use by {}", path, other.empty() ? "another process" : other));
  }
  // The name is for people; the lock is the kernel's. Whoever makes room on a full disk needs a lock too.
  if (::ftruncate(fd.get(), 0) != 0 || ::pwrite(fd.get(), holder.data(), holder.size(), 0) < 0) {
    if (errno != ENOSPC && errno != EDQUOT) return fail_errno(errno, "write", path);
  }
  return std::make_unique<RealLock>(std::move(fd));
}

Result<FileInfo> RealFs::info(const std::string& path) {
  struct stat st{};
  if (::stat(path.c_str(), &st) != 0) return fail_errno(errno, "inspect", path);
  return to_info(last_component(path), st);
}

Result<std::vector<FileInfo>> RealFs::list(const std::string& dir) {
  const std::unique_ptr<DIR, decltype([](DIR* d) { ::closedir(d); })> handle(::opendir(dir.c_str()));
  if (!handle) return fail_errno(errno, "list", dir);
  std::vector<FileInfo> out;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(handle.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat st{};
    if (::fstatat(::dirfd(handle.get()), entry->d_name, &st, 0) != 0) {
      if (errno == ENOENT) continue;  // removed meanwhile, or a link to nowhere
      return fail_errno(errno, "inspect", join_path(dir, name));
    }
    out.push_back(to_info(std::string(name), st));
  }
  if (errno != 0) return fail_errno(errno, "list", dir);
  std::ranges::sort(out, {}, &FileInfo::name);
  return out;
}

Result<void> RealFs::make_dirs(const std::string& dir) {
  if (::mkdir(dir.c_str(), 0755) == 0) return sync_dir(parent_path(dir));
  if (errno == ENOENT && parent_path(dir) != dir) {
    TRY_VOID(make_dirs(parent_path(dir)));
    if (::mkdir(dir.c_str(), 0755) == 0) return sync_dir(parent_path(dir));
  }
  const int error = errno;  // ENOENT below a folder that is there: no file system takes folders there (/proc)
  struct stat st{};
  if (error == EEXIST && ::stat(dir.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) return {};
  return fail_errno(error, "make the folder", dir);
}

Result<void> RealFs::rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return {};
  const int error = errno;  // before format() can change it
  return fail_errno(error, fmt::format("rename {} to", from), to);
}

Result<void> RealFs::remove(const std::string& path) {
  if (::remove(path.c_str()) == 0) return {};
  return fail_errno(errno, "remove", path);
}

Result<void> RealFs::remove_all(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error && error.value() != ENOTDIR) return fail_errno(error.value(), "remove", path);
  return {};  // below a file there is nothing either
}

Result<void> RealFs::sync_dir(const std::string& dir) {
  TRY(const auto fd, open_fd(dir, O_RDONLY | O_DIRECTORY, "open the folder"));
  if (retry([&] { return ::fsync(fd.get()); }) == 0) return {};
  return fail_errno(errno, "sync the folder", dir);
}

Result<std::uint64_t> RealFs::free_bytes(const std::string& path) {
  struct statvfs st{};
  if (::statvfs(path.c_str(), &st) != 0) return fail_errno(errno, "inspect the disk of", path);
  return static_cast<std::uint64_t>(st.f_bavail) * st.f_frsize;
}

}  // namespace millrace
