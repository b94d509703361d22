// What to tell somebody who typed what the program does not know.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

namespace millrace::cli {

CLI::App& reached(CLI::App& app);  // the command whose words were being read
std::string words_of(const CLI::App& command);
std::vector<std::string> commands_of(const CLI::App& parent);
// What the library's message does not say: which command, which words it knows, what a missing word stands for.
std::string usage_problem(CLI::App& app, const std::optional<CLI::ParseError>& wrong);

}  // namespace millrace::cli
