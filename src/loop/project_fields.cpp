#include "loop/project_fields_internal.hpp"

#include <format>
#include <utility>

namespace millrace::loop {

using Kind = Tree::Kind;

std::string scalar_text(const Tree& value) {
  return value.is(Kind::text) || value.is(Kind::time) ? value.as_text() : render_toml_value(value);
}

std::string exact_size(std::int64_t bytes) {
  constexpr std::pair<std::string_view, std::int64_t> units[] = {
      {"TB", 1'000'000'000'000}, {"GiB", 1 << 30}, {"GB", 1'000'000'000}, {"MiB", 1 << 20},
      {"MB", 1'000'000},         {"KiB", 1 << 10}, {"KB", 1000}};
  for (const auto& [name, factor] : units)
    if (bytes != 0 && bytes % factor == 0) return std::format("{}{}", bytes / factor, name);
  return std::format("{}", bytes);
}

Fields Fields::table(std::string_view key, bool inline_table) {
  if (!writing()) {
    const Tree* inner = find(key);
    return reader(inner && inner->is(Kind::table) ? inner : nullptr);
  }
  Tree& inner = to_->set(key, Tree::table());
  inner.inline_table = inline_table;
  return writer(inner);
}

void Fields::text(std::string_view key, std::string& value) {
  if (writing()) {
    if (!value.empty()) put(key, Tree::text(value));
  } else if (const Tree* node = find(key);
             node && !node->is(Kind::table) && !node->is(Kind::array) && !node->is(Kind::null)) {
    value = scalar_text(*node);
  }
}

void Fields::flag(std::string_view key, bool& value) {
  if (writing())
    put(key, Tree::boolean(value));
  else if (const Tree* node = find(key); node && node->is(Kind::boolean))
    value = node->as_boolean();
}

void Fields::whole(std::string_view key, std::int64_t& value) {
  if (writing())
    put(key, Tree::integer(value));
  else if (const Tree* node = find(key); node && node->is(Kind::integer))
    value = node->as_integer();
}

void Fields::whole(std::string_view key, int& value) {
  std::int64_t wide = value;
  whole(key, wide);
  value = static_cast<int>(wide);
}

void Fields::whole(std::string_view key, std::optional<std::int64_t>& value) {
  if (writing() ? !value : !find(key)) return;
  std::int64_t known = value.value_or(0);
  whole(key, known);
  value = known;
}

void Fields::number(std::string_view key, double& value) {
  if (writing())
    put(key, Tree::real(value));
  else if (const Tree* node = find(key); node && node->is_number())
    value = node->as_number();
}

void Fields::number(std::string_view key, std::optional<double>& value) {
  if (writing() && !value) return;
  const Tree* node = find(key);
  if (!writing() && !(node && node->is_number())) return;
  double plain = value.value_or(0);
  number(key, plain);
  value = plain;
}

void Fields::number_or(std::string_view key, std::string_view word, std::optional<double>& value) {
  if (writing()) return put(key, value ? Tree::real(*value) : Tree::text(std::string(word)));
  const Tree* node = find(key);
  if (node && node->is(Kind::text) && node->as_text() == word) value.reset();
  if (node && node->is_number()) value = node->as_number();
}

void Fields::duration(std::string_view key, Duration& value) {
  if (writing())
    put(key, Tree::text(format_duration(value)));
  else if (const Tree* node = find(key); node && node->is(Kind::text))
    value = parse_duration(node->as_text()).value_or(value);
}

void Fields::size(std::string_view key, std::int64_t& bytes) {
  if (writing()) {
    if (bytes != 0) put(key, Tree::text(exact_size(bytes)));
  } else if (const Tree* node = find(key); node && node->is(Kind::text)) {
    bytes = parse_size(node->as_text()).value_or(bytes);
  }
}

void Fields::wholes(std::string_view key, std::vector<std::size_t>& value) {
  if (writing()) {
    Tree list = Tree::array();
    for (const auto one : value) list.append(Tree::integer(static_cast<std::int64_t>(one)));
    return put(key, std::move(list));
  }
  const Tree* node = find(key);
  if (!node) return;
  value.clear();
  for (const auto& item : node->items()) value.push_back(static_cast<std::size_t>(item.as_integer()));
}

void Fields::texts(std::string_view key, std::vector<std::string>& value) {
  if (writing()) {
    Tree list = Tree::array();
    for (const auto& item : value) list.append(Tree::text(item));
    put(key, std::move(list));
  } else if (const Tree* node = find(key); node && node->is(Kind::array)) {
    value.clear();
    for (const auto& item : node->items()) value.push_back(scalar_text(item));
  }
}

void Fields::comparison(std::string_view key, std::optional<Comparison>& value) {
  if (writing()) {
    if (value) put(key, Tree::text(value->text));
  } else if (const Tree* node = find(key); node && node->is(Kind::text)) {
    if (auto parsed = parse_comparison(node->as_text())) value = *std::move(parsed);
  }
}

void Fields::count_or_all(std::string_view key, std::optional<std::int64_t>& value) {
  if (writing())
    put(key, value ? Tree::integer(*value) : Tree::text("all"));
  else if (const Tree* node = find(key); node && node->is(Kind::integer))
    value = node->as_integer();
}

void Fields::duration_or_all(std::string_view key, std::optional<Duration>& value) {
  if (writing()) {
    put(key, Tree::text(value ? format_duration(*value) : "all"));
  } else if (const Tree* node = find(key); node && node->is(Kind::text)) {
    if (const auto parsed = parse_duration(node->as_text())) value = *parsed;
  }
}

}  // namespace millrace::loop
