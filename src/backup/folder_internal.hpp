// The backup folder's own files, and copying with verification.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backup/backup.hpp"
#include "blob/blob.hpp"

namespace millrace::backup {

inline constexpr std::uint64_t lines_bytes_max = 1u << 30;

struct BlobLine {
  Digest digest;
  std::uint64_t bytes = 0;
};
std::string render_lines(const std::vector<BlobLine>& lines);
Result<std::vector<BlobLine>> parse_lines(std::string_view text);

std::string render(const Manifest& manifest);
Result<Manifest> parse_manifest(std::string_view text, const std::string& path);

// not_found `backup.no_backups`, failed_precondition `backup.newer_format`.
Result<void> check_folder(const std::string& folder, Env& env);
// The same, but makes the folder where there is none, or an empty one.
Result<void> make_folder(const std::string& folder, Env& env);

// Counts bytes and asks whether to go on.
class Meter {
 public:
  Meter(const Progress& progress, std::string what, std::int64_t all)
      : progress_(progress), told_{std::move(what), 0, all} {}
  Result<void> add(std::uint64_t bytes);

 private:
  const Progress& progress_;
  Told told_;
};

// Copies a blob as it is stored, sealed or not, from one store into another; it was verified on both sides.
Result<void> copy_blob(blob::Store& from, blob::Store& to, const Digest& digest, Meter& meter);

// How much of a file there is to keep. It may be growing: `used` counts within `bytes`, and nothing after it.
struct Extent {
  std::uint64_t bytes = 0;
  std::uint64_t used = 0;  // where the zeros begin that a preallocated file ends with
};
Result<Extent> extent_of(const ReadableFile& file);

// The first `bytes` bytes of a file into a store.
Result<blob::BlobInfo> put_file(const ReadableFile& file, std::uint64_t bytes, blob::Store& to, Meter& meter);

}  // namespace millrace::backup
