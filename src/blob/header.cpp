#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "blob/header_internal.hpp"
#include "blob/seal_internal.hpp"

namespace millrace::blob {
namespace {

constexpr std::array<std::uint8_t, 8> magic = {0x89, 'M', 'R', 'B', 'L', 'O', 'B', '\n'};
constexpr std::size_t at_format = 8, at_codec = 12, at_key = 16, at_size = 32, at_reserved = 40, at_crc = 60;

template <class T>
void put(HeaderBytes& out, std::size_t at, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) out[at + i] = static_cast<std::byte>(value >> (8 * i));
}

template <class T>
T get(std::span<const std::byte> in, std::size_t at) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(in[at + i]) << (8 * i);
  return value;
}

std::uint32_t checksum(std::span<const std::byte> bytes) {
  return static_cast<std::uint32_t>(::crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), at_crc));
}

std::unexpected<Error> corrupt(std::string message) {
  return fail(Code::data_loss, "blob.corrupt", std::move(message));
}

}  // namespace

HeaderBytes encode(const Header& header) {
  HeaderBytes out{};
  std::memcpy(out.data(), magic.data(), magic.size());
  put(out, at_format, header.format);
  put(out, at_codec, header.codec);
  std::memcpy(out.data() + at_key, header.key.bytes.data(), header.key.bytes.size());
  put(out, at_size, header.plain_size);
  put(out, at_crc, checksum(out));
  return out;
}

Result<Header> decode(std::span<const std::byte> bytes) {
  if (bytes.size() < header_bytes) return corrupt("the file ends inside its 64 byte header");
  if (std::memcmp(bytes.data(), magic.data(), magic.size()) != 0)
    return corrupt("it does not begin with a blob's header");
  if (get<std::uint32_t>(bytes, at_crc) != checksum(bytes)) return corrupt("the header's checksum does not match");
  Header header;
  header.format = get<std::uint32_t>(bytes, at_format);
  header.codec = get<std::uint32_t>(bytes, at_codec);
  std::memcpy(header.key.bytes.data(), bytes.data() + at_key, header.key.bytes.size());
  header.plain_size = get<std::uint64_t>(bytes, at_size);
  if (header.plain_size == size_unfinished) return corrupt("the header is that of an unfinished upload");
  return header;
}

Result<void> check_known(const Header& header, const Digest& digest) {
  if (header.format > format_newest) {
    return fail(Code::failed_precondition, "blob.format",
                "blob " + digest.hex() + " has format " + std::to_string(header.format) +
                    ", this Millrace reads up to " + std::to_string(format_newest) +
                    "; use the newer version that wrote it");
  }
  if (header.codec > codec_sealed || (header.codec == codec_sealed) != (header.key != Id{})) {
    return fail(Code::failed_precondition, "blob.format",
                "blob " + digest.hex() + " is stored with codec " + std::to_string(header.codec) +
                    (header.key == Id{} ? "" : " and a key") +
                    ", which this Millrace does not know; use the newer version that wrote it");
  }
  return ok();
}

std::uint64_t stored_bytes(const Header& header) {
  return header_bytes + (header.codec == codec_sealed ? sealed_bytes(header.plain_size) : header.plain_size);
}

Result<void> check_readable(const Header& header, const Digest& digest, KeyRing* keys) {
  TRY_VOID(check_known(header, digest));
  if (header.codec == codec_plain) return ok();
  TRY(const auto state, keys ? keys->state(header.key) : Result<KeyState>(KeyState::absent));
  std::string why = "blob " + digest.hex() + " is sealed with key " + header.key.text();
  switch (state) {
    case KeyState::held:
      return ok();
    case KeyState::absent:
      why += ", which is not among this folder's keys; the newest backup has them: millrace doctor";
      break;
    case KeyState::locked:
      why += ", and no master key is named that opens it: `seal` in the profile of the project file";
      break;
    case KeyState::foreign:
      why += ", which another master key opens than the one that is named here";
      break;
    case KeyState::destroyed:
      why += ", which was destroyed by an erasure: its content is gone on purpose";
      break;
  }
  return fail(Code::failed_precondition, "blob.sealed", std::move(why));
}

}  // namespace millrace::blob
