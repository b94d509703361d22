// The bytes of a prediction log segment, shared by writer and reader. See docs/formats/prediction_log.md.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace millrace::serve::log_format {

// All numbers little endian. Records start at multiples of 8.
inline constexpr char segment_magic[8] = {'M', 'L', 'R', 'P', 'L', 'O', 'G', '1'};
inline constexpr std::uint64_t segment_header_bytes = 64;
struct SegmentHeader {
  char magic[8];
  std::uint32_t format;
  std::uint32_t sync_ms;
  std::uint64_t number;
  std::int64_t created_us;
  std::uint64_t bytes;
};
static_assert(sizeof(SegmentHeader) <= segment_header_bytes);

inline constexpr std::uint32_t record_magic = 0x4C50524D;  // "MRPL"
enum RecordType : std::uint32_t { record_schema = 1, record_prediction = 2, record_shipped = 3 };
struct RecordHeader {
  std::uint32_t magic;  // stored last: a record without it was never finished
  std::uint32_t length;
  std::uint32_t type;
  std::uint32_t crc;  // CRC-32 (zlib) of type, length and payload
};

inline std::uint64_t padded(std::uint64_t length) { return (sizeof(RecordHeader) + length + 7) & ~std::uint64_t{7}; }

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}
  template <class T>
  void number(T value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(std::string_view value) {
    number(static_cast<std::uint32_t>(value.size()));
    out_.append(value);
  }

 private:
  std::string& out_;
};

// Reads past the end answer zero and clear ok().
class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}
  template <class T>
  T number() {
    T value{};
    if (in_.size() < sizeof value) {
      ok_ = false;
      in_ = {};
      return value;
    }
    std::memcpy(&value, in_.data(), sizeof value);
    in_.remove_prefix(sizeof value);
    return value;
  }
  std::string_view text() {
    auto length = number<std::uint32_t>();
    if (length > in_.size()) {
      ok_ = false;
      return {};
    }
    auto value = in_.substr(0, length);
    in_.remove_prefix(length);
    return value;
  }
  std::string_view raw(std::size_t length) {
    if (length > in_.size()) {
      ok_ = false;
      return {};
    }
    auto value = in_.substr(0, length);
    in_.remove_prefix(length);
    return value;
  }
  std::string_view rest() const { return in_; }
  bool ok() const { return ok_; }
  bool done() const { return in_.empty(); }

 private:
  std::string_view in_;
  bool ok_ = true;
};

std::uint32_t record_crc(std::uint32_t type, std::string_view payload);

}  // namespace millrace::serve::log_format
