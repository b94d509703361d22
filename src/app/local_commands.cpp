// schema, explain, and what the local commands share.
#include "app/local_commands.hpp"

#include <cstdlib>
#include <format>

#include "api/native/map.hpp"
#include "base/fs.hpp"
#include "cli/print.hpp"
#include "data/infer.hpp"
#include "loop/project.hpp"

namespace millrace::app {

std::string absolute(const std::string& path) {
  char* real = realpath(path.c_str(), nullptr);
  std::string out = real ? real : path;
  std::free(real);
  return out;
}

Result<cli::Output> schema() { return cli::Output{loop::json_schema() + "\n"}; }

Result<cli::Output> explain(const std::string& project_file, bool loop, bool json, Env& env) {
  if (!loop) {
    auto text = loop::explain_keys();
    text += "\nHow a data file is read (what init and up find out by themselves):\n";
    for (const auto& rule : data::inference_rules()) text += std::format("  {:16} {}\n", rule.about, rule.rule);
    return cli::Output{text};
  }
  TRY(auto text, read_file(env.fs, project_file));
  TRY(auto project, loop::parse_project(text, {}, project_file));
  auto answer = api::loop_of(project);
  if (json) return cli::Output{api::render(answer) + "\n"};
  cli::Table table({"step", "how", "rule"});
  for (const auto& step : answer.steps) table.add({step.step, step.how, step.rule});
  return cli::Output{table.text()};
}

}  // namespace millrace::app
