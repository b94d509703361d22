// What a change of the project file causes: the completed files are compared key by key, and each key says what it
// causes.
#include <algorithm>

#include "loop/project_schema_internal.hpp"

namespace millrace::loop {
namespace {

struct Leaf {
  std::vector<std::string> path;
  std::string value;  // as TOML
};

void flatten(const Tree& tree, std::vector<std::string>& path, std::vector<Leaf>& out) {
  for (const auto& member : tree.members()) {
    path.push_back(member.key);
    if (member.value.is(Tree::Kind::table))
      flatten(member.value, path, out);
    else
      out.push_back({path, render_toml_value(member.value)});
    path.pop_back();
  }
}

std::vector<Leaf> leaves(const Tree& tree) {
  std::vector<Leaf> out;
  std::vector<std::string> path;
  flatten(tree, path, out);
  return out;
}

Effect effect_of(const std::vector<std::string>& path) {
  const schema::Key* key = schema::find_key(path);
  return key ? key->effect : Effect::nothing;
}

}  // namespace

std::string_view effect_name(Effect effect) {
  switch (effect) {
    case Effect::retrain:
      return "retrain";
    case Effect::checks:
      return "checks run again";
    case Effect::gates:
      return "gates only";
    case Effect::restart:
      return "restart";
    case Effect::schedule:
      return "schedule only";
    case Effect::nothing:
      return "nothing";
  }
  return "nothing";
}

std::vector<Change> diff_projects(const Project& before, const Project& after) {
  // Under one name, so that choosing another profile shows what really differs.
  Project old_one = before, new_one = after;
  old_one.profile.name = new_one.profile.name;
  const auto olds = leaves(resolved_tree(old_one, true)), news = leaves(resolved_tree(new_one, true));
  std::vector<Change> out;
  const auto find = [](const std::vector<Leaf>& all, const std::vector<std::string>& path) {
    return std::ranges::find(all, path, &Leaf::path);
  };
  for (const auto& leaf : news) {
    const auto twin = find(olds, leaf.path);
    const std::string was = twin == olds.end() ? "" : twin->value;
    if (was != leaf.value) out.push_back({toml_path(leaf.path), was, leaf.value, effect_of(leaf.path)});
  }
  for (const auto& leaf : olds)
    if (find(news, leaf.path) == news.end())
      out.push_back({toml_path(leaf.path), leaf.value, "", effect_of(leaf.path)});
  return out;
}

Digest model_digest(const Project& project) {
  std::string text;
  for (const auto& leaf : leaves(resolved_tree(project, false)))
    if (effect_of(leaf.path) == Effect::retrain) text += toml_path(leaf.path) + " = " + leaf.value + "\n";
  return sha256(text);
}

}  // namespace millrace::loop
