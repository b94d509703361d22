#include <cmath>
#include <format>

#include "base/tree.hpp"

namespace millrace {
namespace {

std::string number(double value, bool json) {
  if (!std::isfinite(value)) return json ? "null" : std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
  std::string out = std::format("{}", value);  // the shortest text that reads back the same
  if (out.find_first_of(".e") == out.npos) out += ".0";
  return out;
}

std::string quoted(std::string_view text) {  // valid in TOML and in JSON
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\r':
        out += "\\r";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
          out += std::format("\\u{:04X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        else
          out += c;
    }
  }
  return out + '"';
}

void render_section(const Tree& table, std::vector<std::string>& path, std::string& out) {
  const auto is_section = [](const Tree& value) { return value.is(Tree::Kind::table) && !value.inline_table; };
  bool has_lines = false, has_sections = false;
  for (const auto& member : table.members()) {
    has_sections |= is_section(member.value);
    has_lines |= !is_section(member.value) && !member.value.is(Tree::Kind::null);
  }
  if (!path.empty() && (has_lines || !has_sections)) {
    if (!out.empty()) out += '\n';
    out += '[' + toml_path(path) + "]\n";
  }
  for (const auto& member : table.members())
    if (!is_section(member.value) && !member.value.is(Tree::Kind::null))
      out += toml_key(member.key) + " = " + render_toml_value(member.value) + '\n';
  for (const auto& member : table.members()) {
    if (!is_section(member.value)) continue;
    path.push_back(member.key);
    render_section(member.value, path, out);
    path.pop_back();
  }
}

}  // namespace

std::string toml_string(std::string_view text) { return quoted(text); }

std::string toml_key(std::string_view key) {
  const auto bare = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  for (const char c : key)
    if (!bare(c)) return quoted(key);
  return key.empty() ? "\"\"" : std::string(key);
}

std::string toml_path(const std::vector<std::string>& keys) {
  std::string out;
  for (const auto& key : keys) out += (out.empty() ? "" : ".") + toml_key(key);
  return out;
}

std::string render_toml_value(const Tree& tree) {
  switch (tree.kind()) {
    case Tree::Kind::null:
      return "\"\"";
    case Tree::Kind::text:
      return quoted(tree.as_text());
    case Tree::Kind::time:
      return tree.as_text();
    case Tree::Kind::integer:
      return std::format("{}", tree.as_integer());
    case Tree::Kind::real:
      return number(tree.as_number(), false);
    case Tree::Kind::boolean:
      return tree.as_boolean() ? "true" : "false";
    case Tree::Kind::array: {
      std::string out;
      for (const auto& item : tree.items())
        if (!item.is(Tree::Kind::null)) out += (out.empty() ? "" : ", ") + render_toml_value(item);
      return '[' + out + ']';
    }
    case Tree::Kind::table: {
      std::string out;
      for (const auto& member : tree.members())
        if (!member.value.is(Tree::Kind::null))
          out += (out.empty() ? "" : ", ") + toml_key(member.key) + " = " + render_toml_value(member.value);
      return out.empty() ? "{}" : "{ " + out + " }";
    }
  }
  return {};
}

std::string render_toml(const Tree& tree) {
  std::string out;
  std::vector<std::string> path;
  render_section(tree, path, out);
  return out;
}

std::string render_json(const Tree& tree) {
  switch (tree.kind()) {
    case Tree::Kind::null:
      return "null";
    case Tree::Kind::text:
    case Tree::Kind::time:
      return quoted(tree.as_text());
    case Tree::Kind::integer:
      return std::format("{}", tree.as_integer());
    case Tree::Kind::real:
      return number(tree.as_number(), true);
    case Tree::Kind::boolean:
      return tree.as_boolean() ? "true" : "false";
    case Tree::Kind::array: {
      std::string out;
      for (const auto& item : tree.items()) out += (out.empty() ? "" : ",") + render_json(item);
      return '[' + out + ']';
    }
    case Tree::Kind::table: {
      std::string out;
      for (const auto& member : tree.members())
        out += (out.empty() ? "" : ",") + quoted(member.key) + ':' + render_json(member.value);
      return '{' + out + '}';
    }
  }
  return {};
}

}  // namespace millrace
