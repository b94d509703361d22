#include <format>

#include <glaze/json/generic.hpp>

#include "base/json.hpp"
#include "base/tree.hpp"

namespace millrace {
namespace {

constexpr std::size_t bytes_max = 1u << 20;
constexpr int depth_max = 64;

bool convert(const glz::generic_i64& node, int depth, Tree& out) {
  if (depth > depth_max) return false;
  if (const auto* object = node.get_if<glz::generic_i64::object_t>()) {
    for (const auto& [key, value] : *object) {
      Tree child;
      if (!convert(value, depth + 1, child)) return false;
      child.inline_table = false;
      out.set(key, std::move(child));
    }
  } else if (const auto* array = node.get_if<glz::generic_i64::array_t>()) {
    out = Tree::array();
    for (const auto& value : *array) {
      Tree child;
      if (!convert(value, depth + 1, child)) return false;
      out.append(std::move(child));
    }
  } else if (const auto* text = node.get_if<std::string>()) {
    out = Tree::text(*text);
  } else if (const auto* integer = node.get_if<std::int64_t>()) {
    out = Tree::integer(*integer);
  } else if (const auto* real = node.get_if<double>()) {
    out = Tree::real(*real);
  } else if (const auto* boolean = node.get_if<bool>()) {
    out = Tree::boolean(*boolean);
  } else {
    out = Tree::null();
  }
  return true;
}

}  // namespace

Result<Tree> parse_json_tree(std::string_view text, std::string_view what) {
  if (text.size() > bytes_max)
    return fail(Code::invalid_argument, "tree.too_large",
                std::format("{} has {} bytes; at most {} are read", what, text.size(), bytes_max));
  auto parsed = json::parse<glz::generic_i64>(text, what);
  if (!parsed) return fail(Code::invalid_argument, "tree.malformed", std::move(parsed.error().message));
  if (!parsed->get_if<glz::generic_i64::object_t>())
    return fail(Code::invalid_argument, "tree.malformed",
                std::format("{} is not valid: the outermost value must be an object", what));
  Tree tree;
  if (!convert(*parsed, 0, tree))
    return fail(Code::invalid_argument, "tree.malformed",
                std::format("{} is nested more than {} deep", what, depth_max));
  return tree;
}

}  // namespace millrace
