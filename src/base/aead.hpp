// AES-256-GCM (NIST SP 800-38D), through OpenSSL: what was sealed is opened with the same key, nonce and additional
// data or not at all.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace millrace {

inline constexpr std::size_t aead_key_bytes = 32, aead_nonce_bytes = 12, aead_tag_bytes = 16;

// Wiped when it goes. Never printed: it has no text.
struct AeadKey {
  std::array<std::uint8_t, aead_key_bytes> bytes{};
  AeadKey() = default;
  AeadKey(const AeadKey&) = default;
  AeadKey& operator=(const AeadKey&) = default;
  ~AeadKey();
};

using AeadNonce = std::array<std::uint8_t, aead_nonce_bytes>;

// A nonce must not be used twice with one key. Belongs to one thread at a time.
class Aead {
 public:
  explicit Aead(const AeadKey& key);
  ~Aead();
  Aead(Aead&&) noexcept;
  Aead& operator=(Aead&&) noexcept;

  // `out` has room for the plain bytes and, behind them, the tag.
  void seal(const AeadNonce& nonce, std::span<const std::byte> additional, std::span<const std::byte> plain,
            std::span<std::byte> out);
  // False: it was not sealed so. `out` has room for the sealed bytes without their tag; it holds nothing of worth then.
  [[nodiscard]] bool open(const AeadNonce& nonce, std::span<const std::byte> additional,
                          std::span<const std::byte> sealed, std::span<std::byte> out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace
