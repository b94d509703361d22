#include "base/text.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace millrace {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

// Bytes of the well-formed UTF-8 character that `text` begins with; 0 when it is none.
std::size_t character_bytes(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t count = first >= 0xC2 && first < 0xE0   ? 2
                            : first >= 0xE0 && first < 0xF0 ? 3
                            : first >= 0xF0 && first < 0xF5 ? 4
                                                            : 0;
  if (count == 0 || text.size() < count) return 0;
  for (std::size_t i = 1; i < count; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  const unsigned second = byte(1);
  // Longer than needed, surrogates, past U+10FFFF; and U+0080 to U+009F, which terminals obey.
  if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second >= 0xA0)) return 0;
  if ((first == 0xF0 && second < 0x90) || (first == 0xF4 && second >= 0x90)) return 0;
  if (first == 0xC2 && second < 0xA0) return 0;
  return count;
}

// Bytes of the terminal sequence that `text` begins with (ESC [ ... letter, or ESC and one more); 0 when it is none.
std::size_t sequence_bytes(std::string_view text) {
  if (text[0] != '\x1B' || text.size() < 2) return 0;
  if (text[1] != '[') return text[1] >= 0x20 && text[1] < 0x7F ? 2 : 0;
  for (std::size_t i = 2; i < std::min<std::size_t>(text.size(), 40); ++i) {
    if (text[i] >= 0x40 && text[i] <= 0x7E) return i + 1;
    if (text[i] < 0x20 || text[i] > 0x3F) return 0;
  }
  return 0;
}

template <class T>
void append_shortest(std::string& out, T value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  char buffer[32];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  out.append(buffer, end);
}

}  // namespace

std::string printable(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  bool replaced = false;
  while (!bytes.empty()) {
    if (const auto skipped = sequence_bytes(bytes); skipped > 0) {
      bytes.remove_prefix(skipped);
      continue;
    }
    auto count = character_bytes(bytes);
    const auto first = static_cast<unsigned char>(bytes[0]);
    if (first == '\r') {
      if (!(bytes.size() > 1 && bytes[1] == '\n')) out += '\n';
      replaced = false;
    } else if (count == 0 || (first < 0x20 && first != '\n' && first != '\t') || first == 0x7F) {
      if (!replaced) out += replacement;
      replaced = true;
      count = 1;
    } else {
      out += bytes.substr(0, count);
      replaced = false;
    }
    bytes.remove_prefix(std::max<std::size_t>(count, 1));
  }
  return out;
}

std::string_view last_lines(std::string_view text, std::size_t bytes) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  if (text.size() <= bytes) return text;
  auto out = text.substr(text.size() - bytes);
  if (text[text.size() - bytes - 1] == '\n') return out;
  if (const auto line = out.find('\n'); line != out.npos) return out.substr(line + 1);
  while (!out.empty() && (out[0] & 0xC0) == 0x80) out.remove_prefix(1);
  return out;
}

std::string shell_word(std::string_view text) {
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:/@%";  // none of it means anything to a
                                                                                   // shell
  if (!text.empty() && text.find_first_not_of(plain) == text.npos) return std::string(text);
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'')
      out += "'\\''";
    else
      out += c;
  }
  return out + "'";
}

void append_json_text(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      constexpr std::string_view digits = "0123456789abcdef";
      out += "\\u00";
      out += digits[static_cast<unsigned char>(c) >> 4];
      out += digits[static_cast<unsigned char>(c) & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_json_number(std::string& out, double value) { append_shortest(out, value); }
void append_json_float(std::string& out, float value) { append_shortest(out, value); }

std::string with_thousands(std::int64_t number) {
  auto digits = std::to_string(number);
  for (int at = static_cast<int>(digits.size()) - 3; at > (number < 0 ? 1 : 0); at -= 3)
    digits.insert(static_cast<std::size_t>(at), ",");
  return digits;
}

}  // namespace millrace
