// SHA-256 (FIPS 180-4), through OpenSSL.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace millrace {

struct Digest {
  std::array<std::uint8_t, 32> bytes{};
  auto operator<=>(const Digest&) const = default;
  std::string hex() const;                            // 64 characters, lower case
  std::uint64_t head() const;                         // the first 8 bytes, big endian
  static Result<Digest> parse(std::string_view hex);  // invalid_argument `base.bad_digest`
};

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void update(std::span<const std::byte> data);
  void update(std::string_view text) { update(std::as_bytes(std::span(text.data(), text.size()))); }
  Digest finish();  // and starts anew

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Digest sha256(std::string_view text);
Digest sha256(std::span<const std::byte> data);

}  // namespace millrace
