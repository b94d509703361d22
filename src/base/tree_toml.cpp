// toml++ stays behind this file.
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_ENABLE_UNRELEASED_FEATURES 0
#include <algorithm>
#include <format>
#include <toml++/toml.hpp>

#include "base/tree.hpp"

namespace millrace {
namespace {

constexpr std::size_t bytes_max = 1u << 20;
constexpr int depth_max = 64;

Position place(const toml::source_position& at) { return {static_cast<int>(at.line), static_cast<int>(at.column)}; }

std::unexpected<Error> malformed(std::string_view text, std::string_view what, Position at, std::string_view why) {
  const std::string shown = excerpt(text, at);
  return fail(
      Code::invalid_argument, "tree.malformed",
      std::format("{} line {}, column {}: {}{}{}", what, at.line, at.column, why, shown.empty() ? "" : "\n", shown));
}

// toml++ recurses once per part of a dotted key (also when it frees the tables), without a bound: a key of a million
// dots would end the process. So dots between two separators are counted before it sees the text; strings and comments
// skipped.
Position too_deep(std::string_view text) {
  int dots = 0, line = 1;
  std::size_t line_start = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') ++line, line_start = i + 1;
    if (c == '"' || c == '\'') {
      const std::string_view triple = c == '"' ? R"(""")" : "'''";
      const bool multi = text.substr(i).starts_with(triple);
      for (i += multi ? 3 : 1; i < text.size(); ++i) {
        if (text[i] == '\n') {
          if (!multi) break;
          ++line, line_start = i + 1;
        }
        if (c == '"' && text[i] == '\\') {
          ++i;
        } else if (multi ? text.substr(i).starts_with(triple) : text[i] == c) {
          i += multi ? 2 : 0;
          break;
        }
      }
    } else if (c == '#') {
      while (i + 1 < text.size() && text[i + 1] != '\n') ++i;
    } else if (c == '.') {
      if (++dots > depth_max) return {line, static_cast<int>(i - line_start) + 1};
    } else if (std::string_view("=,[]{}\n").contains(c)) {
      dots = 0;
    }
  }
  return {};
}

std::string text_of(const toml::date& date) {
  return std::format("{:04}-{:02}-{:02}", date.year, date.month, date.day);
}

std::string text_of(const toml::time& time) {
  std::string out = std::format("{:02}:{:02}:{:02}", time.hour, time.minute, time.second);
  if (time.nanosecond) {
    out += std::format(".{:09}", time.nanosecond);
    while (out.ends_with('0')) out.pop_back();
  }
  return out;
}

std::string text_of(const toml::date_time& moment) {
  std::string out = text_of(moment.date) + "T" + text_of(moment.time);
  if (!moment.offset) return out;
  if (moment.offset->minutes == 0) return out + "Z";
  const int minutes = std::abs(moment.offset->minutes);
  return out + std::format("{}{:02}:{:02}", moment.offset->minutes < 0 ? '-' : '+', minutes / 60, minutes % 60);
}

struct Depth {
  Position at{};  // of the first node that lies too deep
};

Tree convert(const toml::node& node, int depth, Depth& bad) {
  if (depth > depth_max) {
    if (bad.at.line == 0) bad.at = place(node.source().begin);
    return {};
  }
  Tree out;
  if (const auto* table = node.as_table()) {
    std::vector<Tree::Member> members;
    for (const auto& [key, value] : *table) {
      Tree child = convert(value, depth + 1, bad);
      members.push_back({std::string(key.str()), place(key.source().begin), std::move(child)});
    }
    // toml++ keeps tables sorted by key; a person wrote them in another order.
    std::ranges::stable_sort(members, {}, &Tree::Member::at);
    for (auto& member : members) out.set(member.key, std::move(member.value), member.at);
    out.inline_table = table->is_inline();
  } else if (const auto* array = node.as_array()) {
    out = Tree::array();
    for (const auto& item : *array) out.append(convert(item, depth + 1, bad));
  } else if (const auto* text = node.as_string()) {
    out = Tree::text(text->get());
  } else if (const auto* integer = node.as_integer()) {
    out = Tree::integer(integer->get());
  } else if (const auto* real = node.as_floating_point()) {
    out = Tree::real(real->get());
  } else if (const auto* boolean = node.as_boolean()) {
    out = Tree::boolean(boolean->get());
  } else if (const auto* date = node.as_date()) {
    out = Tree::time(text_of(date->get()));
  } else if (const auto* time = node.as_time()) {
    out = Tree::time(text_of(time->get()));
  } else if (const auto* moment = node.as_date_time()) {
    out = Tree::time(text_of(moment->get()));
  }
  out.at = place(node.source().begin);
  return out;
}

}  // namespace

Result<Tree> parse_toml(std::string_view text, std::string_view what) {
  if (text.size() > bytes_max)
    return fail(Code::invalid_argument, "tree.too_large",
                std::format("{} has {} bytes; at most {} are read", what, text.size(), bytes_max));
  if (const Position at = too_deep(text); at.line)
    return malformed(text, what, at, std::format("tables nested more than {} deep", depth_max));
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return malformed(text, what, place(error.source().begin), error.description());
  }
  Depth bad;
  Tree tree = convert(parsed.table(), 0, bad);
  if (bad.at.line) return malformed(text, what, bad.at, std::format("tables nested more than {} deep", depth_max));
  tree.at = {1, 1};
  return tree;
}

}  // namespace millrace
