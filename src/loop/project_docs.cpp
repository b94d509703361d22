// The declared keys for editors (JSON Schema) and for people (`millrace explain`).
#include <algorithm>
#include <format>

#include "loop/project_schema_internal.hpp"

namespace millrace::loop {
namespace {

using schema::Key;
using schema::Node;

Tree word_list(std::string_view words) {
  Tree out = Tree::array();
  for (const auto word : schema::split(words, '|')) out.append(Tree::text(std::string(word)));
  return out;
}

Tree typed(std::string_view type) {
  Tree out;
  out.set("type", Tree::text(std::string(type)));
  return out;
}

Tree bounded(std::string_view type, const Key& key) {
  const auto bound = [](double value) {
    return value == static_cast<double>(static_cast<std::int64_t>(value))
               ? Tree::integer(static_cast<std::int64_t>(value))
               : Tree::real(value);
  };
  Tree out = typed(type);
  if (key.min > -1e15) out.set("minimum", bound(key.min));
  if (key.max < 1e16) out.set("maximum", bound(key.max));
  return out;
}

Tree table_schema(const Node& node);

// The alternatives of one value. Keys and words of later versions are accepted here and refused by name when the file
// is read.
Tree value_schema(const Key& key, unsigned forms, const Node* node) {
  std::vector<Tree> choices;
  const auto pattern = [&](std::string_view regex) {
    choices.emplace_back(typed("string")).set("pattern", Tree::text(std::string(regex)));
  };
  const unsigned all = forms | key.forms_later;
  if (all & schema::text && (key.words.empty() || key.judge)) {
    choices.push_back(typed("string"));
  } else {
    if (!key.words.empty()) {
      Tree words = typed("string");
      words.set("enum", word_list(std::string(key.words) +
                                  (key.words_later.empty() ? "" : "|" + std::string(key.words_later))));
      choices.push_back(std::move(words));
    }
    if (all & schema::duration) pattern("^[0-9]+ ?(us|ms|s|m|h|d|w)$");
    if (all & schema::size) pattern("^[0-9]+ ?(B|[KMGT]i?B)?$");
    if (all & schema::date) pattern("^[0-9]{4}-[0-9]{2}-[0-9]{2}$");
  }
  if (all & schema::number)
    choices.push_back(bounded("number", key));
  else if (all & schema::integer)
    choices.push_back(bounded("integer", key));
  if (all & schema::boolean) choices.push_back(typed("boolean"));
  if (all & schema::list) choices.emplace_back(typed("array")).set("items", value_schema(key, key.items, nullptr));
  if (all & schema::table && node) choices.push_back(table_schema(*node));
  if (choices.size() == 1) return choices[0];
  Tree any = Tree::array();
  for (auto& choice : choices) any.append(std::move(choice));
  Tree out;
  out.set("anyOf", std::move(any));
  return out;
}

Tree node_schema(const Node& node) {
  const Key& key = *node.key;
  Tree out = value_schema(key, key.forms, &node);
  out.set("description", Tree::text(std::string(key.help) + (key.later ? " Not available yet." : "")));
  if (!key.fallback.empty())
    if (auto value = parse_toml(std::format("x = {}", key.fallback), "default")) out.set("default", *value->find("x"));
  return out;
}

Tree table_schema(const Node& node) {
  Tree out = typed("object"), properties, needed = Tree::array();
  for (const auto name : node.order) {
    const Node& inner = node.names.find(name)->second;
    properties.set(name, node_schema(inner));
    if (inner.key->needed) needed.append(Tree::text(std::string(name)));
  }
  if (!properties.members().empty()) out.set("properties", std::move(properties));
  if (!needed.items().empty()) out.set("required", std::move(needed));
  out.set("additionalProperties", node.any ? node_schema(*node.any) : Tree::boolean(false));
  if (node.any && node.any->key->path == "model.trainer.*") {
    // Names of one's own only beside name = "command"; else an editor shows a misspelt key.
    Tree known = Tree::array();
    for (const auto name : node.order) known.append(Tree::text(std::string(name)));
    out.set_path({"if", "properties", "name", "const"}, Tree::text("command"));
    out.set_path({"if", "required"}, Tree::array()).append(Tree::text("name"));
    out.set_path({"else", "propertyNames", "enum"}, std::move(known));
  }
  return out;
}

}  // namespace

std::string json_schema() {
  Tree out;
  out.set("$schema", Tree::text("https://json-schema.org/draft/2020-12/schema"));
  out.set("title", Tree::text("Millrace project file"));
  Tree rest = table_schema(schema::root());
  for (const auto& member : rest.members()) out.set(member.key, member.value);
  return render_json(out);
}

std::vector<KeyInfo> describe_keys() {
  std::vector<KeyInfo> out;
  // What stands below a section that is not there yet is not there either.
  const auto later_above = [](std::string_view path) {
    return std::ranges::any_of(schema::keys(), [&](const Key& key) {
      return key.later && path.starts_with(key.path) && path.size() > key.path.size() && path[key.path.size()] == '.';
    });
  };
  for (const Key& key : schema::keys())
    out.push_back({std::string(key.path), schema::describe_forms(key), std::string(key.fallback), std::string(key.help),
                   std::string(key.example), !key.later && !later_above(key.path), key.effect});
  return out;
}

std::string explain_keys() {
  const auto infos = describe_keys();
  std::size_t path_width = 0, fallback_width = 0;
  const auto skip = [](const KeyInfo& info) {
    return info.path.find('.') == info.path.npos && info.example.starts_with('[');
  };
  for (const auto& info : infos) {
    if (skip(info)) continue;
    path_width = std::max(path_width, info.path.size());
    fallback_width = std::max(fallback_width, info.fallback.size());
  }
  std::string out = std::format("{:<{}}  {:<{}}  {}\n", "key", path_width, "default", fallback_width, "what it says");
  for (const auto& info : infos) {
    if (skip(info)) {
      out += std::format("\n{}{}\n", info.help, info.available ? "" : "  (not available yet)");
      continue;
    }
    const std::string fallback = info.fallback.empty() ? "-" : info.fallback;
    out += std::format("{:<{}}  {:<{}}  {}{}\n", info.path, path_width, fallback, fallback_width, info.help,
                       info.available ? "" : "  (not available yet)");
  }
  return out;
}

}  // namespace millrace::loop
