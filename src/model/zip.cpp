#include <zlib.h>

#include <cstdint>
#include <cstring>

#include "model/zip_internal.hpp"

namespace millrace::model {
namespace {

// APPNOTE.TXT 6.3.10, sections 4.3.7 (local header), 4.3.12 (central header), 4.3.16 (end).
constexpr std::uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50;
constexpr std::size_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22;
constexpr std::uint16_t kVersion = 20;
constexpr std::uint16_t kUtf8Names = 1u << 11;
constexpr std::uint16_t kDosDate = (1u << 5) | 1u;  // 1980-01-01, the format's zero
constexpr std::size_t kEntriesMax = 64;
constexpr std::size_t kNameMax = 255;
constexpr std::uint64_t kBytesMax = 0xFFFFFFFFull;

class Writer {
 public:
  void u16(std::uint16_t v) {
    out_.push_back(static_cast<char>(v & 0xFF));
    out_.push_back(static_cast<char>(v >> 8));
  }
  void u32(std::uint32_t v) {
    u16(static_cast<std::uint16_t>(v & 0xFFFF));
    u16(static_cast<std::uint16_t>(v >> 16));
  }
  void bytes(std::string_view data) { out_.append(data); }
  std::size_t size() const { return out_.size(); }
  std::string take() { return std::move(out_); }
  void reserve(std::size_t n) { out_.reserve(n); }

 private:
  std::string out_;
};

std::uint16_t u16_at(std::string_view data, std::size_t at) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(data[at]) | static_cast<unsigned char>(data[at + 1])
                                                                               << 8);
}
std::uint32_t u32_at(std::string_view data, std::size_t at) {
  return u16_at(data, at) | static_cast<std::uint32_t>(u16_at(data, at + 2)) << 16;
}

std::uint32_t checksum(std::string_view data) {
  return static_cast<std::uint32_t>(
      crc32_z(crc32_z(0, nullptr, 0), reinterpret_cast<const Bytef*>(data.data()), data.size()));
}

// The fields that local and central header share, from "version needed" to "extra field length".
void common_fields(Writer& to, const ZipEntry& entry, std::uint32_t crc) {
  to.u16(kVersion);
  to.u16(kUtf8Names);
  to.u16(0);  // stored
  to.u16(0);  // time
  to.u16(kDosDate);
  to.u32(crc);
  to.u32(static_cast<std::uint32_t>(entry.data.size()));
  to.u32(static_cast<std::uint32_t>(entry.data.size()));
  to.u16(static_cast<std::uint16_t>(entry.name.size()));
  to.u16(0);
}

std::unexpected<Error> bad(std::string message) {
  return fail(Code::data_loss, "model.bad_artifact",
              "the artifact is damaged or no model artifact: " + std::move(message));
}

}  // namespace

Result<std::string> write_zip(const std::vector<ZipEntry>& entries) {
  std::uint64_t total = kEndBytes;
  for (const auto& entry : entries) {
    total += kLocalBytes + kCentralBytes + 2 * entry.name.size() + entry.data.size();
    if (entry.name.empty() || entry.name.size() > kNameMax) {
      return fail(Code::internal, "model.bad_name", "an archive entry needs a name of 1 to 255 bytes");
    }
  }
  if (total > kBytesMax || entries.size() > kEntriesMax) {
    return fail(Code::resource_exhausted, "model.too_large",
                "the model artifact would have " + std::to_string(total) + " bytes; at most 4 GB are possible");
  }
  Writer out, central;
  out.reserve(total);
  for (const auto& entry : entries) {
    const auto crc = checksum(entry.data);
    const auto offset = static_cast<std::uint32_t>(out.size());
    out.u32(kLocal);
    common_fields(out, entry, crc);
    out.bytes(entry.name);
    out.bytes(entry.data);
    central.u32(kCentral);
    central.u16(kVersion);
    common_fields(central, entry, crc);
    central.u16(0);  // comment
    central.u16(0);  // disk
    central.u16(0);  // internal attributes
    central.u32(0);  // external attributes
    central.u32(offset);
    central.bytes(entry.name);
  }
  const auto start = static_cast<std::uint32_t>(out.size());
  const auto length = static_cast<std::uint32_t>(central.size());
  out.bytes(central.take());
  out.u32(kEnd);
  out.u16(0);
  out.u16(0);
  out.u16(static_cast<std::uint16_t>(entries.size()));
  out.u16(static_cast<std::uint16_t>(entries.size()));
  out.u32(length);
  out.u32(start);
  out.u16(0);
  return out.take();
}

Result<std::vector<ZipEntry>> read_zip(std::string_view archive) {
  if (archive.size() < kEndBytes || archive.size() > kBytesMax)
    return bad("it has " + std::to_string(archive.size()) + " bytes");
  const std::size_t end = archive.size() - kEndBytes;
  if (u32_at(archive, end) != kEnd || u16_at(archive, end + 20) != 0) return bad("its end is missing (cut short?)");
  const std::size_t count = u16_at(archive, end + 10);
  if (u16_at(archive, end + 4) != 0 || u16_at(archive, end + 6) != 0 || u16_at(archive, end + 8) != count ||
      count > kEntriesMax) {
    return bad("its list of entries is not plausible");
  }
  std::size_t at = u32_at(archive, end + 16);
  if (at > end || end - at != u32_at(archive, end + 12)) return bad("its list of entries is not where it should be");
  const std::size_t data_end = at;
  std::size_t local = 0;  // where the next entry must begin
  std::vector<ZipEntry> entries;
  for (std::size_t i = 0; i < count; ++i) {
    if (end - at < kCentralBytes || u32_at(archive, at) != kCentral) return bad("its list of entries is damaged");
    const std::size_t name_bytes = u16_at(archive, at + 28);
    const std::size_t size = u32_at(archive, at + 24);
    if (name_bytes == 0 || name_bytes > kNameMax || end - at - kCentralBytes < name_bytes)
      return bad("an entry's name is damaged");
    const std::string_view name = archive.substr(at + kCentralBytes, name_bytes);
    if (u16_at(archive, at + 10) != 0 || u16_at(archive, at + 8) != kUtf8Names || u16_at(archive, at + 30) != 0 ||
        u16_at(archive, at + 32) != 0 || u32_at(archive, at + 20) != size || u32_at(archive, at + 42) != local) {
      return bad("the entry '" + std::string(name) + "' is compressed, encrypted or not where it should be");
    }
    const std::size_t header = kLocalBytes + name_bytes;
    if (data_end - local < header || data_end - local - header < size)
      return bad("the entry '" + std::string(name) + "' is cut short");
    // The local header repeats the central one's 26 bytes after the signature and version.
    if (u32_at(archive, local) != kLocal || archive.substr(local + 4, 26) != archive.substr(at + 6, 26) ||
        archive.substr(local + kLocalBytes, name_bytes) != name) {
      return bad("the header of entry '" + std::string(name) + "' is damaged");
    }
    const std::string_view data = archive.substr(local + header, size);
    if (checksum(data) != u32_at(archive, at + 16))
      return bad("the checksum of entry '" + std::string(name) + "' does not fit");
    for (const auto& other : entries) {
      if (other.name == name) return bad("the entry '" + std::string(name) + "' is there twice");
    }
    entries.push_back({std::string(name), data});
    local += header + size;
    at += kCentralBytes + name_bytes;
  }
  if (at != end || local != data_end) return bad("it holds bytes that belong to no entry");
  return entries;
}

}  // namespace millrace::model
