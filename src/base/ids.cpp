#include "base/ids.hpp"

namespace millrace {
namespace {

constexpr std::string_view alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

// 0..31, or -1.
int symbol_value(char c) {
  if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  if (c == 'I' || c == 'L') c = '1';
  if (c == 'O') c = '0';
  const auto at = alphabet.find(c);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

}  // namespace

std::string Id::text() const {
  // 26 symbols hold 130 bits: the first carries only the top 3 bits of the number.
  std::string out(26, '0');
  unsigned bits = 0, value = 0;
  std::size_t at = out.size();
  for (auto byte = bytes.rbegin(); byte != bytes.rend(); ++byte) {
    value |= static_cast<unsigned>(*byte) << bits;
    bits += 8;
    while (bits >= 5) {
      out[--at] = alphabet[value & 31];
      value >>= 5;
      bits -= 5;
    }
  }
  out[--at] = alphabet[value & 31];
  return out;
}

std::string Id::hex() const {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  out.reserve(32);
  for (const auto byte : bytes) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

TimePoint Id::time() const {
  std::int64_t ms = 0;
  for (int i = 0; i < 6; ++i) ms = ms << 8 | bytes[i];
  return TimePoint(std::chrono::milliseconds(ms));
}

Result<Id> Id::parse(std::string_view text) {
  Id id;
  bool good = text.size() == 26 && symbol_value(text[0]) >= 0 && symbol_value(text[0]) < 8;
  unsigned bits = 0, value = 0;
  auto at = id.bytes.rbegin();
  for (auto c = text.rbegin(); good && c != text.rend(); ++c) {
    const int symbol = symbol_value(*c);
    good = symbol >= 0;
    value |= static_cast<unsigned>(symbol & 31) << bits;
    bits += 5;
    if (bits >= 8 && at != id.bytes.rend()) {
      *at++ = static_cast<std::uint8_t>(value);
      value >>= 8;
      bits -= 8;
    }
  }
  if (good) return id;
  return fail(Code::invalid_argument, "base.bad_id",
              "'" + std::string(text.substr(0, 64)) + "' is not an id; ids have 26 letters and digits");
}

Id IdMaker::make() {
  std::lock_guard lock(mutex_);
  const auto now_ms = std::chrono::floor<std::chrono::milliseconds>(clock_.now()).time_since_epoch().count();
  const std::uint64_t random = rng_.next();
  if (now_ms > last_ms_) {
    last_ms_ = now_ms;
    counter_ = static_cast<std::uint16_t>(rng_.next() & 0x7ff);  // the lower half: room to count
  } else if (++counter_ == 4'096) {
    // The millisecond is used up (or the clock went back): borrow the next one.
    ++last_ms_;
    counter_ = 0;
  }
  Id id;
  for (int i = 0; i < 6; ++i) id.bytes[i] = static_cast<std::uint8_t>(last_ms_ >> (40 - 8 * i));
  id.bytes[6] = static_cast<std::uint8_t>(0x70 | counter_ >> 8);
  id.bytes[7] = static_cast<std::uint8_t>(counter_);
  for (int i = 0; i < 8; ++i) id.bytes[8 + i] = static_cast<std::uint8_t>(random >> (56 - 8 * i));
  id.bytes[8] = static_cast<std::uint8_t>(0x80 | (id.bytes[8] & 0x3f));
  return id;
}

}  // namespace millrace
