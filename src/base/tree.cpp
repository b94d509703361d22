#include "base/tree.hpp"

#include <algorithm>

namespace millrace {

Tree Tree::table() { return {}; }

Tree Tree::array() {
  Tree out;
  out.kind_ = Kind::array;
  return out;
}

Tree Tree::text(std::string value) {
  Tree out;
  out.kind_ = Kind::text;
  out.text_ = std::move(value);
  return out;
}

Tree Tree::integer(std::int64_t value) {
  Tree out;
  out.kind_ = Kind::integer;
  out.integer_ = value;
  return out;
}

Tree Tree::real(double value) {
  Tree out;
  out.kind_ = Kind::real;
  out.real_ = value;
  return out;
}

Tree Tree::boolean(bool value) {
  Tree out;
  out.kind_ = Kind::boolean;
  out.boolean_ = value;
  return out;
}

Tree Tree::time(std::string rfc3339) {
  Tree out;
  out.kind_ = Kind::time;
  out.text_ = std::move(rfc3339);
  return out;
}

Tree Tree::null() {
  Tree out;
  out.kind_ = Kind::null;
  return out;
}

const Tree* Tree::find(std::string_view key) const {
  for (const auto& member : members_)
    if (member.key == key) return &member.value;
  return nullptr;
}

const Tree* Tree::find_path(const std::vector<std::string>& keys) const {
  const Tree* node = this;
  for (const auto& key : keys)
    if (node) node = node->find(key);
  return node;
}

Tree& Tree::set(std::string_view key, Tree value, Position key_at) {
  for (auto& member : members_) {
    if (member.key != key) continue;
    member.value = std::move(value);
    member.at = key_at;
    return member.value;
  }
  members_.push_back({std::string(key), key_at, std::move(value)});
  return members_.back().value;
}

Tree& Tree::set_path(const std::vector<std::string>& keys, Tree value) {
  Tree* node = this;
  for (std::size_t i = 0; i + 1 < keys.size(); ++i) {
    auto member = std::ranges::find(node->members_, keys[i], &Member::key);
    node = member == node->members_.end() ? &node->set(keys[i], table()) : &member->value;
  }
  return node->set(keys.back(), std::move(value));
}

Tree& Tree::append(Tree item) {
  items_.push_back(std::move(item));
  return items_.back();
}

bool Tree::same_as(const Tree& other) const {
  if (kind_ != other.kind_) return false;
  switch (kind_) {
    case Kind::null:
      return true;
    case Kind::text:
    case Kind::time:
      return text_ == other.text_;
    case Kind::integer:
      return integer_ == other.integer_;
    case Kind::real:
      return real_ == other.real_ || (real_ != real_ && other.real_ != other.real_);
    case Kind::boolean:
      return boolean_ == other.boolean_;
    case Kind::array:
      return std::ranges::equal(items_, other.items_, [](const Tree& a, const Tree& b) { return a.same_as(b); });
    case Kind::table:
      return members_.size() == other.members_.size() && std::ranges::all_of(members_, [&](const Member& member) {
               const Tree* twin = other.find(member.key);
               return twin && member.value.same_as(*twin);
             });
  }
  return false;
}

std::string_view kind_name(Tree::Kind kind) {
  switch (kind) {
    case Tree::Kind::null:
      return "null";
    case Tree::Kind::table:
      return "a table";
    case Tree::Kind::array:
      return "a list";
    case Tree::Kind::text:
      return "a string";
    case Tree::Kind::integer:
      return "a whole number";
    case Tree::Kind::real:
      return "a number";
    case Tree::Kind::boolean:
      return "true or false";
    case Tree::Kind::time:
      return "a date";
  }
  return "?";
}

std::string excerpt(std::string_view text, Position at) {
  if (at.line < 1) return {};
  for (int line = 1; line < at.line; ++line) {
    const auto end = text.find('\n');
    if (end == text.npos) return {};
    text.remove_prefix(end + 1);
  }
  constexpr std::size_t line_bytes_max = 160;
  std::string_view line = text.substr(0, text.find('\n'));
  if (line.ends_with('\r')) line.remove_suffix(1);
  std::size_t cut = std::min(line.size(), line_bytes_max);
  while (cut < line.size() && cut > 0 && (line[cut] & 0xC0) == 0x80) --cut;
  std::string shown(line.substr(0, cut));
  std::string pointer;
  int column = 1;
  for (const char c : shown) {
    if ((c & 0xC0) == 0x80) continue;  // the rest of a code point
    if (column++ >= at.column) break;
    pointer += c == '\t' ? '\t' : ' ';
  }
  return "    " + shown + "\n    " + pointer + "^";
}

}  // namespace millrace
