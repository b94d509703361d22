#include <algorithm>
#include <cstring>
#include <utility>

#include "blob/seal_internal.hpp"

namespace millrace::blob {
namespace {

// So many are read at once.
constexpr std::uint64_t pieces_at_once = 16;

AeadNonce nonce_of(std::uint64_t piece) {
  AeadNonce out{};
  for (std::size_t i = 0; i < sizeof piece; ++i) out[i] = static_cast<std::uint8_t>(piece >> (8 * i));
  return out;
}

std::span<const std::byte> mark_of(bool last) {
  static constexpr std::byte marks[] = {std::byte{0}, std::byte{1}};
  return std::span(marks).subspan(last ? 1 : 0, 1);
}

std::uint64_t piece_plain_bytes(std::uint64_t piece, std::uint64_t plain_size) {
  return std::min<std::uint64_t>(seal_piece_bytes, plain_size - piece * seal_piece_bytes);
}

std::unexpected<Error> damaged(std::string message) {
  return fail(Code::data_loss, "blob.corrupt", std::move(message));
}

// All sealed bytes in order, some whole pieces each time, against the hash behind them.
template <class Use>
Result<void> pass_sealed(const SealedBytes& bytes, Use&& use) {
  const auto& [file, begin, plain_size, digest] = bytes;
  const auto pieces = seal_pieces(plain_size);
  const auto end = sealed_bytes(plain_size) - seal_end_bytes;
  std::vector<std::byte> buffer(std::min<std::uint64_t>(end, pieces_at_once * sealed_piece_bytes));
  Sha256 hash;
  for (std::uint64_t piece = 0, at = 0; piece < pieces; piece += pieces_at_once) {
    const auto some = std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), end - at));
    TRY(const auto got, file.read(begin + at, some));
    if (got != some.size()) return damaged("it ends inside its sealed bytes");
    hash.update(some);
    TRY_VOID(use(piece, std::span<const std::byte>(some)));
    at += some.size();
  }
  std::array<std::byte, seal_end_bytes> expected{};
  TRY(const auto got, file.read(begin + end, expected));
  hash.update(std::as_bytes(std::span(digest.bytes)));
  const auto found = hash.finish();
  if (got != expected.size() || std::memcmp(found.bytes.data(), expected.data(), expected.size()) != 0)
    return damaged("its sealed bytes are not those that were written");
  return ok();
}

class SealedView final : public ReadableFile {
 public:
  SealedView(std::shared_ptr<const ReadableFile> file, std::uint64_t begin, std::uint64_t size, const AeadKey& key)
      : file_(std::move(file)), begin_(begin), size_(size), key_(key) {}

  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= size_ || out.empty()) return std::size_t{0};
    out = out.first(std::min<std::uint64_t>(out.size(), size_ - offset));
    Aead aead(key_);  // a reader's own: several threads may be here
    const auto last = seal_pieces(size_) - 1;
    std::vector<std::byte> sealed(sealed_piece_bytes), plain;
    std::size_t done = 0;
    for (auto piece = offset / seal_piece_bytes; done < out.size(); ++piece) {
      const auto bytes = piece_plain_bytes(piece, size_);
      const auto stored = std::span(sealed).first(bytes + aead_tag_bytes);
      TRY(const auto got, file_->read(begin_ + piece * sealed_piece_bytes, stored));
      const auto from = offset + done - piece * seal_piece_bytes;
      const auto wanted = std::min<std::uint64_t>(bytes - from, out.size() - done);
      const bool whole = wanted == bytes;
      if (!whole) plain.resize(bytes);
      const auto to = whole ? out.subspan(done, bytes) : std::span(plain);
      if (got != stored.size() || !aead.open(nonce_of(piece), mark_of(piece == last), stored, to))
        return damaged("piece " + std::to_string(piece) + " of a sealed blob was damaged while it was in use");
      if (!whole) std::memcpy(out.data() + done, plain.data() + from, wanted);
      done += wanted;
    }
    return done;
  }
  std::uint64_t size() const override { return size_; }

 private:
  std::shared_ptr<const ReadableFile> file_;
  std::uint64_t begin_, size_;
  AeadKey key_;
};

}  // namespace

std::uint64_t seal_pieces(std::uint64_t plain_size) {
  return plain_size == 0 ? 1 : (plain_size - 1) / seal_piece_bytes + 1;
}
std::uint64_t sealed_bytes(std::uint64_t plain_size) {
  return plain_size + seal_pieces(plain_size) * aead_tag_bytes + seal_end_bytes;
}

void Sealer::seal(std::span<const std::byte> plain, bool last, std::vector<std::byte>& out) {
  const auto before = out.size();
  do {
    const auto some = plain.first(std::min(plain.size(), seal_piece_bytes));
    plain = plain.subspan(some.size());
    const auto at = out.size();
    out.resize(at + some.size() + aead_tag_bytes);
    aead_.seal(nonce_of(piece_++), mark_of(last && plain.empty()), some, std::span(out).subspan(at));
  } while (!plain.empty());
  hash_.update(std::span<const std::byte>(out).subspan(before));
}

void Sealer::end(const Digest& digest, std::vector<std::byte>& out) {
  hash_.update(std::as_bytes(std::span(digest.bytes)));
  for (const auto byte : hash_.finish().bytes) out.push_back(static_cast<std::byte>(byte));
}

Result<void> read_sealed(const SealedBytes& sealed, const AeadKey& key,
                         const std::function<void(std::span<const std::byte>)>& take) {
  Aead aead(key);
  const auto plain_size = sealed.plain_size;
  const auto last = seal_pieces(plain_size) - 1;
  std::vector<std::byte> plain(seal_piece_bytes);
  return pass_sealed(sealed, [&](std::uint64_t piece, std::span<const std::byte> some) -> Result<void> {
    for (; !some.empty(); ++piece) {
      const auto bytes = piece_plain_bytes(piece, plain_size);
      const auto to = std::span(plain).first(bytes);
      if (!aead.open(nonce_of(piece), mark_of(piece == last), some.first(bytes + aead_tag_bytes), to))
        return damaged("its sealed piece " + std::to_string(piece) + " can't be opened with its key");
      take(to);
      some = some.subspan(bytes + aead_tag_bytes);
    }
    return ok();
  });
}

Result<void> check_sealed(const SealedBytes& sealed) {
  return pass_sealed(sealed, [](std::uint64_t, std::span<const std::byte>) { return ok(); });
}

std::shared_ptr<const ReadableFile> sealed_view(std::shared_ptr<const ReadableFile> file, std::uint64_t begin,
                                                std::uint64_t plain_size, const AeadKey& key) {
  return std::make_shared<SealedView>(std::move(file), begin, plain_size, key);
}

}  // namespace millrace::blob
