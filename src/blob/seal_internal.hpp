// Codec 1: the plain bytes sealed in pieces, so that any offset can be read. Behind the blob's header:
//   piece 0, piece 1, ...   64 KiB of plain bytes each, the last one less, sealed with AES-256-GCM: the bytes, then the
//                           tag of 16. An empty blob is one empty piece.
//   32 bytes                SHA-256 of the sealed pieces and the blob's digest, so that whoever has no key can tell
//                           damage, or a blob under another's name
// A blob's key seals nothing else, so the number of the piece is nonce enough. The additional data says whether a piece
// is the last, so that a blob that was cut short is not a shorter one.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/aead.hpp"
#include "base/digest.hpp"
#include "base/fs.hpp"
#include "base/result.hpp"

namespace millrace::blob {

inline constexpr std::size_t seal_piece_bytes = 64u << 10;
inline constexpr std::size_t sealed_piece_bytes = seal_piece_bytes + aead_tag_bytes;
inline constexpr std::size_t seal_end_bytes = 32;

// Of so many plain bytes.
std::uint64_t seal_pieces(std::uint64_t plain_size);
std::uint64_t sealed_bytes(std::uint64_t plain_size);  // with the hash behind them

// Seals a stream.
class Sealer {
 public:
  explicit Sealer(const AeadKey& key) : aead_(key) {}
  // Whole pieces, but for the last call: adds their sealed bytes to `out`.
  void seal(std::span<const std::byte> plain, bool last, std::vector<std::byte>& out);
  // After the last: adds the hash.
  void end(const Digest& digest, std::vector<std::byte>& out);

 private:
  Aead aead_;
  Sha256 hash_;
  std::uint64_t piece_ = 0;
};

// Those of a file from `begin` on.
struct SealedBytes {
  const ReadableFile& file;
  std::uint64_t begin = 0;
  std::uint64_t plain_size = 0;
  const Digest& digest;
};
// Reads them in order, gives the plain ones to `take` in pieces, and checks all: data_loss `blob.corrupt`, whose
// message says where. Whether the plain ones have that digest is the caller's to look at.
Result<void> read_sealed(const SealedBytes& bytes, const AeadKey& key,
                         const std::function<void(std::span<const std::byte>)>& take);
// The same without a key: only the hash.
Result<void> check_sealed(const SealedBytes& bytes);

// The plain bytes, at any offset.
std::shared_ptr<const ReadableFile> sealed_view(std::shared_ptr<const ReadableFile> file, std::uint64_t begin,
                                                std::uint64_t plain_size, const AeadKey& key);

}  // namespace millrace::blob
