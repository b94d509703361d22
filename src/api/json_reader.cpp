#include <format>

#include "api/json_reader_internal.hpp"

namespace millrace::api {

namespace {

constexpr int kDepthMax = 64;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

void put_utf8(std::string& out, unsigned code) {
  const auto put = [&](unsigned byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | (code >> 6));
  } else {
    if (code < 0x10000) {
      put(0xE0 | (code >> 12));
    } else {
      put(0xF0 | (code >> 18));
      put(0x80 | ((code >> 12) & 0x3F));
    }
    put(0x80 | ((code >> 6) & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

}  // namespace

std::unexpected<Error> JsonReader::wrong(std::string_view expected) {
  blank();
  std::string got = "the end";
  if (at_ < text_.size()) {
    std::size_t length = std::min<std::size_t>(24, text_.size() - at_);
    while (length > 0 && at_ + length < text_.size() &&
           (static_cast<unsigned char>(text_[at_ + length]) & 0xC0) == 0x80) {
      --length;
    }
    got = "'" + std::string(text_.substr(at_, length)) + "'";
  }
  return fail(Code::invalid_argument, "api.bad_json", std::format("byte {}: expected {}, got {}", at_, expected, got));
}

void JsonReader::blank() {
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r')) {
    ++at_;
  }
}

JsonReader::Kind JsonReader::peek() {
  blank();
  if (at_ >= text_.size()) return Kind::end;
  switch (const char c = text_[at_]) {
    case '{':
      return Kind::object;
    case '[':
      return Kind::array;
    case '"':
      return Kind::string;
    case 't':
    case 'f':
      return Kind::boolean;
    case 'n':
      return Kind::null;
    case 'N':
    case 'I':
      return Kind::nan;
    case '-':
      return at_ + 1 < text_.size() && text_[at_ + 1] == 'I' ? Kind::nan : Kind::number;
    default:
      return is_digit(c) ? Kind::number : Kind::broken;
  }
}

Result<void> JsonReader::open(char c, std::string_view what) {
  blank();
  if (at_ >= text_.size() || text_[at_] != c) return wrong(what);
  if (++depth_ > kDepthMax) return wrong("at most 64 levels of objects and arrays");
  ++at_;
  return {};
}

// Whether another member or item follows; passes the comma or the end.
Result<bool> JsonReader::next(char close, bool first) {
  blank();
  if (at_ < text_.size() && text_[at_] == close) {
    ++at_;
    --depth_;
    return false;
  }
  if (first) return true;
  if (at_ >= text_.size() || text_[at_] != ',') return wrong(std::format("',' or '{}'", close));
  ++at_;
  blank();
  if (at_ < text_.size() && text_[at_] == close) return wrong("another value after the comma");
  return true;
}

Result<void> JsonReader::colon() {
  blank();
  if (at_ >= text_.size() || text_[at_] != ':') return wrong("':'");
  ++at_;
  return {};
}

Result<void> JsonReader::word(std::string_view text) {
  blank();
  if (!text_.substr(at_).starts_with(text)) return wrong(std::format("'{}'", text));
  at_ += text.size();
  return {};
}

Result<bool> JsonReader::boolean() {
  const bool value = peek() == Kind::boolean && text_[at_] == 't';
  TRY_VOID(word(value ? "true" : "false"));
  return value;
}

Result<void> JsonReader::null() { return word("null"); }

Result<std::string_view> JsonReader::nan() {
  blank();
  for (const std::string_view each : {"NaN", "Infinity", "-Infinity"}) {
    if (!text_.substr(at_).starts_with(each)) continue;
    at_ += each.size();
    return each;
  }
  return wrong("a number");
}

Result<std::string_view> JsonReader::number() {
  blank();
  std::size_t i = at_;
  const auto at = [&](char c) { return i < text_.size() && text_[i] == c; };
  const auto digits = [&] {
    const auto from = i;
    while (i < text_.size() && is_digit(text_[i])) ++i;
    return i > from;
  };
  if (at('-')) ++i;
  const bool zero = at('0');
  const auto from = i;
  if (!digits() || (zero && i > from + 1)) return wrong("a number");
  if (at('.')) {
    ++i;
    if (!digits()) return wrong("a number");
  }
  if (at('e') || at('E')) {
    ++i;
    if (at('+') || at('-')) ++i;
    if (!digits()) return wrong("a number");
  }
  const auto found = text_.substr(at_, i - at_);
  at_ = i;
  return found;
}

Result<unsigned> JsonReader::hex4() {
  unsigned code = 0;
  for (int k = 0; k < 4; ++k, ++at_) {
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    const int digit = is_digit(c)            ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return wrong("four hex digits after \\u");
    code = code * 16 + static_cast<unsigned>(digit);
  }
  return code;
}

// What follows a backslash.
Result<void> JsonReader::escape(std::string& out) {
  const char c = at_ < text_.size() ? text_[at_] : '\0';
  constexpr std::string_view names = "\"\\/bfnrt", values = "\"\\/\b\f\n\r\t";
  if (const auto known = names.find(c); c != '\0' && known != names.npos) {
    ++at_;
    out.push_back(values[known]);
    return {};
  }
  if (c != 'u') return wrong("an escape that JSON knows");
  ++at_;
  TRY(unsigned code, hex4());
  if (code >= 0xD800 && code < 0xDC00) {
    if (!text_.substr(at_).starts_with("\\u")) return wrong("the second half of a pair of \\u");
    at_ += 2;
    TRY(const unsigned low, hex4());
    if (low < 0xDC00 || low >= 0xE000) return wrong("the second half of a pair of \\u");
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  } else if (code >= 0xDC00 && code < 0xE000) {
    return wrong("the first half of a pair of \\u before");
  }
  put_utf8(out, code);
  return {};
}

Result<std::string> JsonReader::string() {
  blank();
  if (at_ >= text_.size() || text_[at_] != '"') return wrong("a text in quotes");
  ++at_;
  std::string out;
  for (;;) {
    const auto from = at_;
    while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\' &&
           static_cast<unsigned char>(text_[at_]) >= 0x20) {
      ++at_;
    }
    out.append(text_, from, at_ - from);
    if (at_ >= text_.size()) return wrong("the quote that ends a text");
    if (static_cast<unsigned char>(text_[at_]) < 0x20) return wrong("an escape instead of a control character");
    if (text_[at_++] == '"') return out;
    TRY_VOID(escape(out));
  }
}

Result<void> JsonReader::skip() {
  switch (peek()) {
    case Kind::object:
      return object([&](const std::string&) { return skip(); });
    case Kind::array:
      return array([&] { return skip(); });
    case Kind::string:
      TRY_VOID(string());
      return {};
    case Kind::boolean:
      TRY_VOID(boolean());
      return {};
    case Kind::null:
      return null();
    case Kind::nan:
      TRY_VOID(nan());
      return {};
    case Kind::number:
      TRY_VOID(number());
      return {};
    default:
      return wrong("a value");
  }
}

Result<std::string_view> JsonReader::raw() {
  blank();
  const auto from = at_;
  TRY_VOID(skip());
  return text_.substr(from, at_ - from);
}

Result<void> JsonReader::end() {
  if (peek() != Kind::end) return wrong("nothing after the request");
  return {};
}

}  // namespace millrace::api
