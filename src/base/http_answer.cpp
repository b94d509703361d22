#include <algorithm>
#include <charconv>
#include <utility>

#include "base/http_answer_internal.hpp"

namespace millrace {

namespace {

constexpr std::size_t head_bytes_max = 64 << 10;
constexpr std::size_t body_bytes_kept = 64 << 10;

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return (x | 0x20) == (y | 0x20); });
}

std::string_view without_spaces(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// A whole number and nothing else.
template <class T>
bool number(std::string_view text, T& out, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

}  // namespace

void HttpAnswer::clear() {
  head_.clear();
  body_.clear();
  chunk_line_.clear();
  head_done_ = chunked_ = false;
  keep_alive_ = true;
  status_ = 0;
  body_left_ = 0;
  chunk_ = Chunk::size;
}

HttpAnswer::State HttpAnswer::read_head(std::string_view& bytes) {
  std::string_view head = bytes;
  auto end = bytes.find("\r\n\r\n");
  if (!head_.empty() || end == bytes.npos) {  // rare: a head in pieces
    const auto before = head_.size();
    head_ += bytes;
    end = head_.find("\r\n\r\n", before > 3 ? before - 3 : 0);
    if (end == head_.npos) return head_.size() > head_bytes_max ? State::bad : State::more;
    bytes.remove_prefix(end + 4 - before);
    head = std::string_view(head_).substr(0, end);
  } else {
    head = bytes.substr(0, end);
    bytes.remove_prefix(end + 4);
  }
  auto line_end = head.find("\r\n");
  const auto first = head.substr(0, line_end);
  if (!first.starts_with("HTTP/1.") || first.size() < 12 || !number(first.substr(9, 3), status_)) return State::bad;
  keep_alive_ = first[7] != '0';
  bool length_known = status_ == 204 || status_ == 304;
  while (line_end != head.npos) {
    head.remove_prefix(line_end + 2);
    line_end = head.find("\r\n");
    const auto line = head.substr(0, line_end);
    const auto colon = line.find(':');
    if (colon == line.npos) return State::bad;
    const auto name = line.substr(0, colon), value = without_spaces(line.substr(colon + 1));
    if (same_word(name, "content-length")) {
      if (!number(value, body_left_)) return State::bad;
      length_known = true;
    } else if (same_word(name, "connection")) {
      if (same_word(value, "close")) keep_alive_ = false;
    } else if (same_word(name, "transfer-encoding")) {
      if (!same_word(value, "chunked")) return State::bad;
      chunked_ = length_known = true;
    }
  }
  head_done_ = true;
  return length_known ? State::whole : State::bad;
}

HttpAnswer::State HttpAnswer::read_chunks(std::string_view bytes) {
  while (!bytes.empty()) {
    if (chunk_ == Chunk::data) {
      const auto part = bytes.substr(0, body_left_);
      if (status_ / 100 != 2) body_.append(part.substr(0, body_bytes_kept - std::min(body_bytes_kept, body_.size())));
      body_left_ -= part.size();
      bytes.remove_prefix(part.size());
      if (body_left_ == 0) chunk_ = Chunk::data_end;
      continue;
    }
    const auto end = bytes.find('\n');
    chunk_line_ += bytes.substr(0, end);
    if (chunk_line_.size() > head_bytes_max) return State::bad;
    if (end == bytes.npos) return State::more;
    bytes.remove_prefix(end + 1);
    if (chunk_line_.ends_with('\r')) chunk_line_.pop_back();
    const auto line = std::exchange(chunk_line_, {});
    if (chunk_ == Chunk::size) {
      if (!number(without_spaces(std::string_view(line).substr(0, line.find(';'))), body_left_, 16)) return State::bad;
      chunk_ = body_left_ == 0 ? Chunk::trailer : Chunk::data;
    } else if (chunk_ == Chunk::data_end) {
      if (!line.empty()) return State::bad;
      chunk_ = Chunk::size;
    } else if (line.empty()) {
      return bytes.empty() ? State::whole : State::bad;
    }
  }
  return State::more;
}

HttpAnswer::State HttpAnswer::take(std::string_view bytes) {
  if (!head_done_) {
    const auto head = read_head(bytes);
    if (head != State::whole) return head;
  }
  if (chunked_) return read_chunks(bytes);
  if (bytes.size() > body_left_) return State::bad;
  if (status_ / 100 != 2) body_.append(bytes.substr(0, body_bytes_kept - std::min(body_bytes_kept, body_.size())));
  body_left_ -= bytes.size();
  return body_left_ == 0 ? State::whole : State::more;
}

}  // namespace millrace
