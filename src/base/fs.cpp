#include "base/fs.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace millrace {
namespace {

// Appends what `file` holds to `out`. The size is only a guess: files under /proc say 0, growing ones too little.
Result<void> read_all(const ReadableFile& file, const std::string& path, std::uint64_t size_max, std::string& out) {
  out.resize(std::min(file.size(), size_max) + 1);
  std::uint64_t have = 0;
  for (;;) {
    TRY(const auto got, file.read(have, std::as_writable_bytes(std::span(out).subspan(have))));
    have += got;
    if (have < out.size()) break;
    if (have > size_max) {
      return fail(Code::resource_exhausted, "fs.too_large",
                  fmt::format("{} has more than the {} bytes that may be read at once", path, size_max));
    }
    out.resize(std::min(2 * have, size_max + 1));
  }
  out.resize(have);
  return {};
}

Result<void> write_synced(Fs& fs, const std::string& path, std::string_view content) {
  TRY(const auto file, fs.open_write(path, WriteMode::truncate));
  TRY_VOID(file->append(as_bytes(content)));
  return file->sync();
}

}  // namespace

Result<std::string> read_file(Fs& fs, const std::string& path, std::uint64_t size_max) {
  TRY(const auto file, fs.open_read(path));
  std::string out;
  TRY_VOID(read_all(*file, path, size_max, out));
  return out;
}

Result<void> write_file(Fs& fs, const std::string& path, std::string_view content) {
  const auto temporary = path + ".tmp";
  auto done = write_synced(fs, temporary, content);
  if (done) done = fs.rename(temporary, path);
  if (!done) {
    (void)fs.remove(temporary);  // the first error is the one to tell
    return done;
  }
  return fs.sync_dir(parent_path(path));
}

bool exists(Fs& fs, const std::string& path) { return fs.info(path).has_value(); }

std::string join_path(std::string_view dir, std::string_view name) {
  if (dir.empty() || name.starts_with('/')) return std::string(name);
  std::string out(dir);
  if (!out.ends_with('/')) out += '/';
  return out += name;
}

std::string parent_path(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  const auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  if (slash == 0) return "/";
  return std::string(path.substr(0, slash));
}

}  // namespace millrace
