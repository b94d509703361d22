#include "blob/blob.hpp"

namespace millrace::blob {

Result<BlobInfo> Store::put(std::string_view content) {
  TRY(auto writer, create());
  TRY_VOID(writer->append(content));
  return writer->commit();
}

Result<std::vector<BlobInfo>> Store::list() {
  std::vector<BlobInfo> found;
  TRY_VOID(each([&](const BlobInfo& info) -> Result<void> {
    found.push_back(info);
    return ok();
  }));
  return found;
}

Result<StoredBlob> Store::stat_stored(const Digest& digest) {
  TRY(const auto info, stat(digest));
  return StoredBlob{info, {}};
}
Result<StoredBlob> Store::verify_stored(const Digest& digest) {
  TRY(const auto info, verify(digest));
  return StoredBlob{info, {}};
}
Result<std::shared_ptr<const ReadableFile>> Store::open_stored(const Digest& digest) { return open(digest); }

Result<void> Store::put_stored(const Digest& digest, const ReadableFile& stored,
                               const std::function<Result<void>(std::uint64_t)>& copied) {
  TRY(auto writer, create());
  std::vector<std::byte> piece(piece_bytes_max);
  for (std::uint64_t at = 0; at < stored.size();) {
    TRY(const auto got, stored.read(at, piece));
    if (got == 0) break;
    TRY_VOID(writer->append(std::span<const std::byte>(piece).first(got)));
    TRY_VOID(copied(got));
    at += got;
  }
  TRY_VOID(writer->commit_as(digest));
  return ok();
}

}  // namespace millrace::blob
