#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "base/digest.hpp"
#include "blob/key_table_internal.hpp"

namespace millrace::blob {
namespace {

constexpr std::string_view keys_magic = "\x89MRKEYS\n";
constexpr std::uint32_t kind_wrapped = 1, kind_destroyed = 2;
constexpr std::size_t slot_at_format = 8, slot_at_stamp = 16;                   // of the header
constexpr std::size_t slot_at_id = 8, slot_at_moment = 24, slot_at_cause = 32;  // of each record
constexpr std::size_t slot_at_master = 32, slot_at_nonce = 40, slot_at_wrapped = 52, slot_at_crc = 124;
static_assert(slot_at_cause + cause_bytes_max <= slot_at_crc);
static_assert(slot_at_wrapped + aead_key_bytes + aead_tag_bytes <= slot_at_crc);

template <class T>
void put_number(std::string& slot, std::size_t at, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) slot[at + i] = static_cast<char>(value >> (8 * i));
}
template <class T>
T get_number(std::string_view slot, std::size_t at) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i)
    value |= static_cast<T>(static_cast<std::uint8_t>(slot[at + i])) << (8 * i);
  return value;
}
template <class Bytes>
void put_bytes(std::string& slot, std::size_t at, const Bytes& bytes) {
  std::memcpy(slot.data() + at, bytes.data(), bytes.size());
}
template <class Bytes>
void get_bytes(std::string_view slot, std::size_t at, Bytes& bytes) {
  std::memcpy(bytes.data(), slot.data() + at, bytes.size());
}

std::uint32_t slot_checksum(std::string_view slot) {
  return static_cast<std::uint32_t>(::crc32(0, reinterpret_cast<const Bytef*>(slot.data()), slot_at_crc));
}
std::string with_checksum(std::string slot) {
  put_number(slot, slot_at_crc, slot_checksum(slot));
  return slot;
}
bool is_whole(std::string_view slot) { return get_number<std::uint32_t>(slot, slot_at_crc) == slot_checksum(slot); }

std::int64_t to_us(TimePoint moment) { return moment.time_since_epoch().count(); }
TimePoint moment_of(std::string_view slot) {
  return TimePoint(Duration(static_cast<std::int64_t>(get_number<std::uint64_t>(slot, slot_at_moment))));
}

// False: not a record that is whole.
bool decode_record(std::string_view slot, KeyTable& table) {
  if (!is_whole(slot)) return false;
  Id id;
  get_bytes(slot, slot_at_id, id.bytes);
  switch (get_number<std::uint32_t>(slot, 0)) {
    case kind_wrapped: {
      WrappedKey out{.made = moment_of(slot)};
      get_bytes(slot, slot_at_master, out.master);
      get_bytes(slot, slot_at_nonce, out.nonce);
      get_bytes(slot, slot_at_wrapped, out.wrapped);
      table.records.try_emplace(id, out);  // destroyed stays so
      return true;
    }
    case kind_destroyed: {
      const auto text = slot.substr(slot_at_cause, cause_bytes_max);
      table.records.insert_or_assign(id, DestroyedKey{moment_of(slot), std::string(text.substr(0, text.find('\0')))});
      return true;
    }
    default:
      return false;
  }
}

}  // namespace

std::string encode_keys_header(std::uint64_t stamp) {
  std::string slot(key_slot_bytes, '\0');
  put_bytes(slot, 0, keys_magic);
  put_number(slot, slot_at_format, keys_format_newest);
  put_number(slot, slot_at_stamp, stamp);
  return with_checksum(std::move(slot));
}

std::string encode_key(const Id& id, const KeyRecord& record) {
  std::string slot(key_slot_bytes, '\0');
  put_bytes(slot, slot_at_id, id.bytes);
  if (const auto* wrapped = std::get_if<WrappedKey>(&record)) {
    put_number(slot, 0, kind_wrapped);
    put_number(slot, slot_at_moment, static_cast<std::uint64_t>(to_us(wrapped->made)));
    put_bytes(slot, slot_at_master, wrapped->master);
    put_bytes(slot, slot_at_nonce, wrapped->nonce);
    put_bytes(slot, slot_at_wrapped, wrapped->wrapped);
  } else {
    const auto& destroyed = std::get<DestroyedKey>(record);
    put_number(slot, 0, kind_destroyed);
    put_number(slot, slot_at_moment, static_cast<std::uint64_t>(to_us(destroyed.at)));
    put_bytes(slot, slot_at_cause, std::string_view(destroyed.cause).substr(0, cause_bytes_max));
  }
  return with_checksum(std::move(slot));
}

std::string encode_keys(const KeyTable& table) {
  std::string out = encode_keys_header(table.stamp);
  for (const auto& [id, record] : table.records) out += encode_key(id, record);
  return out;
}

void decode_key_records(std::string_view bytes, KeysRead& into) {
  std::uint64_t not_whole = 0;  // since the last one that is
  for (; bytes.size() >= key_slot_bytes; bytes.remove_prefix(key_slot_bytes)) {
    if (!decode_record(bytes.substr(0, key_slot_bytes), into.table)) {
      ++not_whole;
      continue;
    }
    into.damaged += not_whole;
    not_whole = 0;
  }
  into.torn = not_whole > 0 || !bytes.empty();
}

Result<KeysRead> decode_keys(std::string_view bytes) {
  KeysRead out;
  const auto slot = bytes.substr(0, std::min(bytes.size(), key_slot_bytes));
  if (slot.size() == key_slot_bytes && slot.starts_with(keys_magic) && is_whole(slot)) {
    if (const auto format = get_number<std::uint32_t>(slot, slot_at_format); format > keys_format_newest) {
      return fail(Code::failed_precondition, "blob.keys_format",
                  "the keys have format " + std::to_string(format) + ", this Millrace reads up to " +
                      std::to_string(keys_format_newest) + "; use the newer version that wrote them");
    }
    out.header = true;
    out.table.stamp = get_number<std::uint64_t>(slot, slot_at_stamp);
  }
  decode_key_records(bytes.substr(slot.size()), out);
  return out;
}

bool merge_keys(KeyTable& into, const KeyTable& other) {
  bool changed = false;
  for (const auto& [id, record] : other.records) {
    const auto [known, added] = into.records.try_emplace(id, record);
    if (added) {
      changed = true;
    } else if (std::holds_alternative<WrappedKey>(known->second) && known->second != record) {
      known->second = record;
      changed = true;
    }
  }
  return changed;
}

WrappedKey wrap_key(const AeadKey& key, const Id& id, const MasterKey& master, const AeadNonce& nonce, TimePoint made) {
  WrappedKey out{.made = made, .master = master.mark, .nonce = nonce};
  Aead(master.key)
      .seal(nonce, std::as_bytes(std::span(id.bytes)), std::as_bytes(std::span(key.bytes)),
            std::as_writable_bytes(std::span(out.wrapped)));
  return out;
}

bool unwrap_key(const WrappedKey& wrapped, const Id& id, const MasterKey& master, AeadKey& out) {
  return wrapped.master == master.mark &&
         Aead(master.key)
             .open(wrapped.nonce, std::as_bytes(std::span(id.bytes)), std::as_bytes(std::span(wrapped.wrapped)),
                   std::as_writable_bytes(std::span(out.bytes)));
}

Result<MasterKey> parse_master_key(std::string_view text, const std::string& path) {
  const auto blank = " \t\r\n";
  const auto from = std::min(text.find_first_not_of(blank), text.size());
  const auto to = text.find_last_not_of(blank);
  MasterKey out;
  // The digits of a SHA-256 are as many.
  const auto parsed = Digest::parse(to == text.npos ? std::string_view() : text.substr(from, to - from + 1));
  if (!parsed) {
    return fail(Code::invalid_argument, "blob.bad_master_key",
                path + " does not hold a master key: 64 digits 0-9 a-f; a new one is made with: openssl rand -hex 32");
  }
  out.key.bytes = parsed->bytes;
  out.path = path;
  const auto digest = sha256(std::as_bytes(std::span(out.key.bytes)));
  std::copy_n(digest.bytes.begin(), out.mark.size(), out.mark.begin());
  return out;
}

}  // namespace millrace::blob
