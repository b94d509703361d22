// The 64 bytes in front of every stored blob. docs/formats/blob.md describes them for somebody who has only the bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/ids.hpp"
#include "base/result.hpp"
#include "blob/blob.hpp"

namespace millrace::blob {

inline constexpr std::size_t header_bytes = 64;
inline constexpr std::uint32_t format_newest = 1;
inline constexpr std::uint32_t codec_plain = 0;
inline constexpr std::uint32_t codec_sealed = 1;                     // seal_internal.hpp
inline constexpr std::uint64_t size_unfinished = ~std::uint64_t{0};  // only ever in a temporary file

struct Header {
  std::uint32_t format = format_newest;
  std::uint32_t codec = codec_plain;
  Id key;  // zero: not sealed; with codec_sealed, and only with it, it is not
  std::uint64_t plain_size = 0;
  bool operator==(const Header&) const = default;
};

using HeaderBytes = std::array<std::byte, header_bytes>;

HeaderBytes encode(const Header& header);
// data_loss `blob.corrupt` when these are not the bytes of a header; `format` and `codec` are not judged here.
Result<Header> decode(std::span<const std::byte> bytes);
// Does this build know such a blob? failed_precondition `blob.format`.
Result<void> check_known(const Header& header, const Digest& digest);
// How many bytes its file has.
std::uint64_t stored_bytes(const Header& header);
// And can it be read with these keys? failed_precondition `blob.format`, `blob.sealed`.
Result<void> check_readable(const Header& header, const Digest& digest, KeyRing* keys);

}  // namespace millrace::blob
