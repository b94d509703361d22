#include <format>

#include "base/nearest.hpp"
#include "cli/usage_internal.hpp"

namespace millrace::cli {

CLI::App& reached(CLI::App& app) {
  auto* at = &app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
  return *at;
}

std::string words_of(const CLI::App& command) {
  const auto* parent = command.get_parent();
  return parent ? words_of(*parent) + " " + command.get_name() : "millrace";
}

std::vector<std::string> commands_of(const CLI::App& parent) {
  std::vector<std::string> out;
  for (const auto* one : parent.get_subcommands([](const CLI::App*) { return true; })) out.push_back(one->get_name());
  return out;
}

std::string usage_problem(CLI::App& app, const std::optional<CLI::ParseError>& wrong) {
  auto& at = reached(app);
  const auto inner = commands_of(at);
  auto left = at.remaining();
  if (left.empty()) left = app.remaining();  // what a command does not know falls through to the program
  if (!inner.empty() && !left.empty() && !left.front().starts_with('-')) {
    auto near = nearest(left.front(), inner);
    return std::format("{} has no command '{}'{}", words_of(at), left.front(),
                       near.empty() ? "" : "; did you mean '" + near + "'?");
  }
  if (!inner.empty() && left.empty()) {
    std::string names;
    for (const auto& name : inner) names += (names.empty() ? "" : ", ") + name;
    return std::format("{} needs one of: {}", words_of(at), names);
  }
  if (!left.empty() && left.front().starts_with("--")) {
    std::vector<std::string> known;
    for (const CLI::App* one = &at; one; one = one->get_parent()) {
      for (const auto* option : one->get_options()) {
        for (const auto& name : option->get_lnames()) known.push_back("--" + name);
      }
    }
    auto near = nearest(left.front().substr(0, left.front().find('=')), known);
    return std::format("{} has no option {}{}", words_of(at), left.front(),
                       near.empty() ? "" : "; did you mean " + near + "?");
  }
  if (!left.empty()) return std::format("{} does not take '{}'", words_of(at), left.front());
  for (const auto* option : at.get_options([](const CLI::Option* one) { return one->get_required(); })) {
    if (option->count() == 0) {
      auto name = option->get_positional() ? option->get_single_name() : option->get_name();
      return std::format("{} needs {}: {}", words_of(at), name, option->get_description());
    }
  }
  return wrong ? std::format("{}: {}", words_of(at), wrong->what()) : words_of(at) + ": nothing to do";
}

}  // namespace millrace::cli
