// The bytes of a keys file, without a disk. docs/formats/blob.md describes them for somebody who has only the bytes.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>

#include "base/aead.hpp"
#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "blob/keys.hpp"

namespace millrace::blob {

inline constexpr std::size_t key_slot_bytes = 128;  // the header and each record
inline constexpr std::uint32_t keys_format_newest = 1;
inline constexpr std::size_t cause_bytes_max = 80;

// A blob's key, readable only with the master key.
struct WrappedKey {
  TimePoint made;
  MasterMark master{};  // which one wrapped it
  AeadNonce nonce{};
  std::array<std::uint8_t, aead_key_bytes + aead_tag_bytes> wrapped{};
  bool operator==(const WrappedKey&) const = default;
};
// The record of an erasure: the key is nowhere any more.
struct DestroyedKey {
  TimePoint at;
  std::string cause;  // at most cause_bytes_max bytes are kept
  bool operator==(const DestroyedKey&) const = default;
};
using KeyRecord = std::variant<WrappedKey, DestroyedKey>;

struct KeyTable {
  std::uint64_t stamp = 0;  // another number after each rewriting, so that readers notice one
  std::map<Id, KeyRecord> records;
};

struct KeysRead {
  KeyTable table;
  bool header = false;        // it has one that is whole
  std::uint64_t damaged = 0;  // records before the last whole one that can't be read
  bool torn = false;          // behind the last whole record there is something: an interrupted append, or damage
};

std::string encode_keys_header(std::uint64_t stamp);
std::string encode_key(const Id& id, const KeyRecord& record);
std::string encode_keys(const KeyTable& table);

// Takes all that is whole. failed_precondition `blob.keys_format`: a newer program's.
Result<KeysRead> decode_keys(std::string_view bytes);
// Records alone, behind a header that is known.
void decode_key_records(std::string_view bytes, KeysRead& into);

// Adds what `other` knows: destroyed stays destroyed and becomes so; of two wrappings of one key the other's counts;
// nothing is taken away. False: nothing changed.
bool merge_keys(KeyTable& into, const KeyTable& other);

WrappedKey wrap_key(const AeadKey& key, const Id& id, const MasterKey& master, const AeadNonce& nonce, TimePoint made);
// False: another master key wrapped it, or its bytes are not those.
bool unwrap_key(const WrappedKey& wrapped, const Id& id, const MasterKey& master, AeadKey& out);

// 64 hexadecimal digits, and white space around them. invalid_argument `blob.bad_master_key`.
Result<MasterKey> parse_master_key(std::string_view text, const std::string& path);

}  // namespace millrace::blob
