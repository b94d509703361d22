// Reads UBJSON (Draft 12, as XGBoost writes it) piece by piece, and believes no length in it.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <type_traits>
#include <vector>

namespace millrace::model {

// Each function reads one thing at the reader's place and moves past it; on false (or nothing) the file is damaged or
// is something else there, and the reader's place means nothing any more. Borrows the file.
class UbjReader {
 public:
  explicit UbjReader(std::string_view file) : file_(file) {}

  std::size_t at() const { return at_; }
  bool at_end() const { return at_ == file_.size(); }

  char marker() { return at_ < file_.size() ? file_[at_++] : '\0'; }
  char peek() const { return at_ < file_.size() ? file_[at_] : '\0'; }
  bool starts(std::string_view with) const { return file_.substr(at_).starts_with(with); }
  bool skip(std::uint64_t bytes) {
    if (bytes > file_.size() - at_) return false;
    at_ += bytes;
    return true;
  }
  std::size_t left() const { return file_.size() - at_; }

  // Bytes of a number of this type; 0 for anything else.
  static std::uint64_t width(char type);
  // A count or length: an integer with its type before it, not negative, and not more than the bytes that are left (one
  // at least stands for each item).
  std::optional<std::uint64_t> length();
  bool text(std::string_view* out = nullptr);

  // A whole value of any kind, its type before it.
  bool skip_value(int depth = 0);
  // An object: `member(key)` reads the value, its type before it, and says whether it could. An object within an object
  // within ... is as deep as its reader's own calls.
  template <class Member>
  bool object(Member&& member) {
    if (marker() != '{' || peek() == '$') return false;  // XGBoost writes no objects of one type
    return items('}', [&] {
      std::string_view key;
      return text(&key) && member(key);
    });
  }
  // An array of any values: `item()` reads one, its type before it.
  template <class Item>
  bool array(Item&& item) {
    if (marker() != '[' || peek() == '$') return false;
    return items(']', item);
  }
  // An array of numbers, of one type or of any; false when one of them is not a T exactly.
  template <class T>
  bool numbers(std::vector<T>& out) {
    out.clear();
    if (!starts("[$")) {
      return array([&] {
        const auto value = number<T>(marker());
        if (value) out.push_back(*value);
        return value.has_value();
      });
    }
    at_ += 2;
    const char type = marker();
    const std::uint64_t bytes = width(type);
    if (bytes == 0 || marker() != '#') return false;
    const auto count = length();
    if (!count || *count > left() / bytes) return false;
    // Most of a file of trees.
    if constexpr (std::is_same_v<T, float> || std::is_same_v<T, std::int32_t>) {
      if (type == (std::is_same_v<T, float> ? 'd' : 'l')) {
        out.resize(*count);
        for (T& value : out) {
          std::uint32_t bits = 0;
          std::memcpy(&bits, file_.data() + at_, sizeof bits);
          value = std::bit_cast<T>(std::byteswap(bits));
          at_ += sizeof bits;
        }
        return true;
      }
    }
    out.reserve(*count);
    for (std::uint64_t i = 0; i < *count; ++i) {
      const auto value = number<T>(type);
      if (!value) return false;
      out.push_back(*value);
    }
    return true;
  }

 private:
  // Up to the closing mark, or as many as the count says.
  template <class Item>
  bool items(char close, Item&& item) {
    std::optional<std::uint64_t> count;
    if (peek() == '#') {
      ++at_;
      if (!(count = length())) return false;
    }
    for (std::uint64_t i = 0; !count || i < *count; ++i) {
      if (!count && peek() == close) {
        ++at_;
        return true;
      }
      if (!item()) return false;
    }
    return true;
  }

  std::uint64_t big_endian(std::uint64_t bytes) {
    std::uint64_t out = 0;
    for (std::uint64_t i = 0; i < bytes; ++i) out = out << 8 | static_cast<unsigned char>(file_[at_++]);
    return out;
  }

  template <class T>
  std::optional<T> number(char type) {
    const std::uint64_t bytes = width(type);
    if (bytes == 0 || bytes > left()) return std::nullopt;
    const std::uint64_t bits = big_endian(bytes);
    if (type == 'd' || type == 'D') {
      if constexpr (std::is_floating_point_v<T>) {
        if (type == 'd') return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
        const auto wide = std::bit_cast<double>(bits);
        const bool fits = wide >= -std::numeric_limits<T>::max() && wide <= std::numeric_limits<T>::max();
        if (fits && static_cast<double>(static_cast<T>(wide)) == wide) return static_cast<T>(wide);
      }
      return std::nullopt;
    }
    const auto shift = static_cast<int>(64 - 8 * bytes);
    const auto whole = type == 'U' || type == 'C' ? static_cast<std::int64_t>(bits)
                                                  : static_cast<std::int64_t>(bits << shift) >> shift;
    const auto value = static_cast<T>(whole);
    if constexpr (std::is_floating_point_v<T>) {
      if (whole < -(std::int64_t{1} << 24) || whole > (std::int64_t{1} << 24)) return std::nullopt;
    } else if (static_cast<std::int64_t>(value) != whole) {
      return std::nullopt;
    }
    return value;
  }

  std::string_view file_;
  std::size_t at_ = 0;
};

}  // namespace millrace::model
