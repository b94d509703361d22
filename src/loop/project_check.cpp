// The one walk that compares a file with the declared keys.
#include <algorithm>
#include <format>

#include "base/nearest.hpp"
#include "loop/project_schema_internal.hpp"

namespace millrace::loop::schema {
namespace {

using Kind = Tree::Kind;

std::string shown(const Tree& value) {
  if (value.is(Kind::table) || value.is(Kind::null)) return std::string(kind_name(value.kind()));
  constexpr std::size_t shown_max = 60;
  std::string out = render_toml_value(value);
  if (out.size() <= shown_max) return out;
  std::size_t cut = shown_max;
  while (cut > 0 && (out[cut] & 0xC0) == 0x80) --cut;
  return out.substr(0, cut) + "...";
}

std::string plain_number(double value) { return std::format("{}", value); }

std::string bounds(const Key& key) {
  const bool low = key.min > -1e300, high = key.max < 1e300;
  if (low && high) return std::format(" from {} to {}", plain_number(key.min), plain_number(key.max));
  if (low) return std::format(" from {}", plain_number(key.min));
  if (high) return std::format(" up to {}", plain_number(key.max));
  return {};
}

std::string form_names(const Key& key, unsigned forms) {
  std::vector<std::string> parts;
  for (const auto word : split(key.words, '|')) parts.push_back("\"" + std::string(word) + "\"");
  if (forms & text && key.words.empty())
    parts.push_back(key.judge ? std::format("a string such as {}", key.example) : "a string");
  if (forms & duration) parts.emplace_back("a duration such as \"30d\"");
  if (forms & size) parts.emplace_back("a size such as \"8GB\"");
  if (forms & number)
    parts.push_back("a number" + bounds(key));
  else if (forms & integer)
    parts.push_back("a whole number" + bounds(key));
  if (forms & boolean) parts.emplace_back("true or false");
  if (forms & date) parts.emplace_back("a date such as 2026-12-25");
  if (forms & list) parts.push_back(std::format("a list such as {}", key.example));
  if (forms & table)
    parts.push_back(std::format("a table such as {}", key.example.starts_with('"') ? "{ ... }" : key.example));
  std::string out;
  for (std::size_t i = 0; i < parts.size(); ++i)
    out += (i == 0 ? "" : i + 1 == parts.size() ? " or " : ", ") + parts[i];
  return out;
}

class Walk {
 public:
  explicit Walk(std::vector<Problem>& problems) : problems_(problems) {}

  void table_of(const Tree& tree, const Node& node, bool silent) {
    for (const auto& member : tree.members()) {
      path_.push_back(member.key);
      const Position at = member.at.line ? member.at : first_place(member.value);
      if (const Node* inner = meant(tree, node, member.key))
        value_of(member.value, *inner, at, silent);
      else
        unknown(member.key, node, at);
      path_.pop_back();
    }
    for (const auto name : node.order) {
      const Node& inner = node.names.find(name)->second;
      if (!inner.key || !inner.key->needed || tree.find(name)) continue;
      path_.emplace_back(name);
      const std::string key = inner.key->forms == table ? std::format("[{}]", toml_path(path_)) : std::string(name);
      path_.pop_back();
      const std::string where = path_.empty()       ? "the file"
                                : tree.inline_table ? toml_path(path_)
                                                    : std::format("[{}]", toml_path(path_));
      path_.emplace_back(name);
      add(Problem::Kind::missing, tree.at, false,
          std::format("{} needs {}, for example: {}", where, key,
                      inner.key->forms == table ? std::string(inner.key->example)
                                                : std::format("{} = {}", name, inner.key->example)));
      path_.pop_back();
    }
  }

 private:
  // Under [model.trainer] other names belong to a command than to a trainer of ours.
  const Node* meant(const Tree& tree, const Node& node, const std::string& key) const {
    if (path_.size() != 3 || path_[0] != "model" || path_[1] != "trainer") return node.find(key);
    if (is_command_trainer(tree) && !is_command_key(key)) return node.any.get();
    const auto it = node.names.find(key);
    return it == node.names.end() ? nullptr : &it->second;
  }

  // Of a [table] that the text only implies ([a.b] without [a]): the place of what is in it.
  static Position first_place(const Tree& value) {
    if (value.at.line) return value.at;
    for (const auto& member : value.members())
      if (member.at.line) return member.at;
    return {};
  }

  std::string here() const { return toml_path(path_) + item_; }

  void add(Problem::Kind kind, Position at, bool section, std::string message) {
    problems_.push_back({kind, at, here(), section, std::move(message)});
  }

  void not_yet(Position at, const Tree& value, bool silent, bool whole_key) {
    if (silent) return;
    const bool section = value.is(Kind::table) && !value.inline_table;
    std::string what = section ? std::format("[{}]", toml_path(path_)) : here();
    if (!whole_key) what += " = " + shown(value);
    add(Problem::Kind::not_available, at, section, std::move(what));
  }

  void unknown(const std::string& name, const Node& node, Position at) {
    std::vector<std::string> siblings;
    for (const auto sibling : node.order) siblings.emplace_back(sibling);
    std::string hint, meant;
    for (const auto sibling : node.order)
      if (const Key* key = node.names.find(sibling)->second.key;
          key && std::ranges::contains(split(key->also, '|'), name))
        meant = sibling;
    if (meant.empty()) meant = nearest(name, siblings);
    if (!meant.empty()) {
      hint = std::format("; did you mean {}?", toml_key(meant));
    } else {
      for (const Key& key : keys()) {
        const auto dot = key.path.rfind('.');
        if (dot == key.path.npos || key.path.substr(dot + 1) != name) continue;
        hint = std::format("; {} belongs to [{}]", name, key.path.substr(0, dot));
        break;
      }
    }
    if (hint.empty() && !siblings.empty()) {
      hint = "; known here: ";
      for (std::size_t i = 0; i < siblings.size(); ++i) hint += (i ? ", " : "") + siblings[i];
    }
    add(Problem::Kind::unknown_key, at, false, std::format("unknown key {}{}", toml_path(path_), hint));
  }

  void wrong(const Key& key, unsigned forms, const Tree& value, Position at) {
    add(Problem::Kind::wrong_type, at, false,
        std::format("{}: expected {}, got {}", here(), form_names(key, forms), shown(value)));
  }

  void bad(const Key& key, unsigned forms, const Tree& value, Position at, const std::string& expected = {}) {
    add(Problem::Kind::bad_value, at, false,
        std::format("{}: expected {}, got {}", here(), expected.empty() ? form_names(key, forms) : expected,
                    shown(value)));
  }

  void value_of(const Tree& value, const Node& node, Position at, bool silent) {
    const Key& key = *node.key;
    if (value.is(Kind::null)) return;  // JSON's way to leave a key out
    if (key.later) {
      not_yet(at, value, silent, true);
      silent = true;
    }
    if (value.is(Kind::table)) {
      if (!(key.forms & table)) return wrong(key, key.forms, value, at);
      if (key.judge && key.path.ends_with('*'))
        if (const Verdict verdict = key.judge(Tree::text(path_.back())); verdict.kind == Verdict::bad)
          add(Problem::Kind::bad_value, at, false,
              std::format("{}: the name must be {}", toml_path(path_), verdict.expected));
      return table_of(value, node, silent);
    }
    if (value.is(Kind::array)) {
      if (!(key.forms & list)) return wrong(key, key.forms, value, at);
      for (std::size_t i = 0; i < value.items().size(); ++i) {
        const Tree& item = value.items()[i];
        item_ = std::format("[{}]", i);
        scalar(item, key, key.items, item.at.line ? item.at : at, silent);
      }
      item_.clear();
      return;
    }
    scalar(value, key, key.forms, value.at.line ? value.at : at, silent);
  }

  void scalar(const Tree& value, const Key& key, unsigned forms, Position at, bool silent) {
    switch (value.kind()) {
      case Kind::integer:
      case Kind::real: {
        if (!(forms & number) && !(forms & integer && value.is(Kind::integer))) return wrong(key, forms, value, at);
        const double amount = value.as_number();
        if (!(amount >= key.min && amount <= key.max)) bad(key, forms, value, at);
        return;
      }
      case Kind::boolean:
        if (!(forms & boolean)) wrong(key, forms, value, at);
        return;
      case Kind::time:
        if (!(forms & date)) return wrong(key, forms, value, at);
        if (key.judge) judged(value, key, forms, at, silent);
        return;
      case Kind::text:
        return text_value(value, key, forms, at, silent);
      default:
        return wrong(key, forms, value, at);
    }
  }

  void text_value(const Tree& value, const Key& key, unsigned forms, Position at, bool silent) {
    const std::string& said = value.as_text();
    const auto one_of = [&](std::string_view words) {
      return !words.empty() && std::ranges::contains(split(words, '|'), std::string_view(said));
    };
    if (said.contains("${secret:")) return not_yet(at, value, silent, false);
    if (one_of(key.words)) return;
    if (one_of(key.words_later)) return not_yet(at, value, silent, false);
    const unsigned forms_later = item_.empty() ? key.forms_later : 0;
    for (const bool later : {false, true}) {
      const unsigned choice = later ? forms_later : forms;
      double amount = 0;
      bool measured = false;
      if (choice & duration)
        if (const auto got = parse_duration(said)) amount = static_cast<double>(got->count()) / 1e6, measured = true;
      if (choice & size)
        if (const auto got = parse_size(said)) amount = static_cast<double>(*got), measured = true;
      if (!measured) continue;
      if (later) return not_yet(at, value, silent, false);
      if (!(amount >= key.min && amount <= key.max)) bad(key, forms, value, at, measure_bounds(key, forms));
      return;
    }
    if (!(forms & text)) {
      if (forms_later & text) return not_yet(at, value, silent, false);
      if (forms & date && key.judge) return judged(value, key, forms, at, silent);  // JSON has no dates of its own
      return forms & (duration | size) ? bad(key, forms, value, at) : wrong(key, forms, value, at);
    }
    if (key.judge)
      judged(value, key, forms, at, silent);
    else if (!key.words.empty())
      bad(key, forms, value, at);
  }

  void judged(const Tree& value, const Key& key, unsigned forms, Position at, bool silent) {
    const Verdict verdict = key.judge(value);
    if (verdict.kind == Verdict::later) not_yet(at, value, silent, false);
    if (verdict.kind == Verdict::bad) bad(key, forms, value, at, verdict.expected);
  }

  static std::string measure_bounds(const Key& key, unsigned forms) {
    if (forms & size)
      return std::format("a size from {} to {}", format_size(static_cast<long long>(key.min)),
                         format_size(static_cast<long long>(key.max)));
    const auto text_of = [](double seconds) {
      return format_duration(Duration(static_cast<std::int64_t>(seconds * 1e6)));
    };
    if (key.min > 0) return std::format("a duration from {} to {}", text_of(key.min), text_of(key.max));
    return std::format("a duration up to {}", text_of(key.max));
  }

  std::vector<Problem>& problems_;
  std::vector<std::string> path_;
  std::string item_;  // "[2]" while in a list
};

}  // namespace

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const auto end = text.find(separator);
    out.push_back(text.substr(0, end));
    if (end == text.npos) break;
    text.remove_prefix(end + 1);
  }
  return out;
}

bool is_command_key(std::string_view key) {
  return key == "name" || key == "command" || key == "files" || key == "seed" || key == "threads";
}

bool is_command_trainer(const Tree& trainer) {
  const Tree* name = trainer.find("name");
  return name && name->is(Kind::text) && name->as_text() == "command";
}

const Node* Node::find(std::string_view name) const {
  const auto it = names.find(name);
  return it != names.end() ? &it->second : any.get();
}

const Node& root() {
  static const Node tree = [] {
    Node out;
    for (const Key& key : keys()) {
      Node* node = &out;
      for (const auto part : split(key.path, '.')) {
        if (part == "*") {
          if (!node->any) node->any = std::make_unique<Node>();
          node = node->any.get();
        } else {
          if (!node->names.contains(part)) node->order.push_back(part);
          node = &node->names[part];
        }
      }
      node->key = &key;
    }
    return out;
  }();
  return tree;
}

const Key* find_key(const std::vector<std::string>& path) {
  const Node* node = &root();
  for (const auto& name : path)
    if (node) node = node->find(name);
  return node ? node->key : nullptr;
}

std::string describe_forms(const Key& key) { return form_names(key, key.forms); }

void check_keys(const Tree& tree, std::vector<Problem>& problems) { Walk(problems).table_of(tree, root(), false); }

}  // namespace millrace::loop::schema
