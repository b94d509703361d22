// millrace.toml, as TOML and as JSON: read, checked, completed, rendered, read again.
#include "fuzz/fuzz.hpp"
#include "loop/project.hpp"

using namespace millrace;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz::as_text(data, size);
  const bool json = text.starts_with('{');
  auto tree = json ? parse_json_tree(text, "project") : parse_toml(text, "millrace.toml");
  if (!fuzz::answered(tree)) return 0;
  auto again = json ? parse_json_tree(render_json(*tree), "project") : parse_toml(render_toml(*tree), "again");
  fuzz::require(again && again->same_as(*tree), "a tree that was rendered reads back as the same");
  const auto problems = loop::check_project(*tree);
  for (const auto& problem : problems) fuzz::require(!problem.text().empty(), "a problem has words");
  auto project = loop::project_from_tree(*tree, {}, "millrace.toml", text);
  fuzz::require(project.has_value() == problems.empty(), "check_project and the reader agree");
  if (!fuzz::answered(project)) return 0;
  const auto resolved = loop::render_resolved(*project, true);
  auto completed = loop::parse_project(resolved);
  fuzz::require(completed && *completed == *project, "the completed file is the same project");
  fuzz::require(loop::render_resolved(*completed, true) == resolved, "and completes to the same text");
  fuzz::require(loop::project_digest(*completed) == loop::project_digest(*project), "of the same digest");
  fuzz::require(loop::diff_projects(*project, *completed).empty(), "with no change between them");
  auto moved = loop::parse_project(loop::render_resolved(*project));
  fuzz::require(moved && loop::project_digest(*moved) == loop::project_digest(*project), "the profile is not in it");
  return 0;
}
