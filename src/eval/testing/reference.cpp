#include "eval/testing/reference.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "base/tree.hpp"

namespace millrace::eval::testing {

namespace {

std::string content(const std::string& path) {
  const std::string command = (path.ends_with(".gz") ? "gzip -dc '" : "cat '") + path + "'";
  std::string text;
  if (FILE* pipe = popen(command.c_str(), "r")) {
    char buffer[65536];
    while (const std::size_t got = std::fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, got);
    pclose(pipe);
  }
  return text;
}

void flatten(const Tree& value, const std::string& path, std::map<std::string, double>& to) {
  if (value.is_number()) to[path] = value.as_number();
  const auto& items = value.items();
  for (std::size_t i = 0; i < items.size(); ++i) flatten(items[i], path + "[" + std::to_string(i) + "]", to);
  for (const auto& [name, at, item] : value.members()) flatten(item, path.empty() ? name : path + "." + name, to);
}

}  // namespace

std::string reference_folder() {
  const char* shared = std::getenv("MILLRACE_SHARED");
  if (shared == nullptr || *shared == '\0') return "";
  const std::string folder = std::string(shared) + "/reference";
  return std::filesystem::exists(folder) ? folder : "";
}

std::map<std::string, double> expected_numbers(const std::string& file, const std::string& section) {
  std::map<std::string, double> numbers;
  const auto all = parse_json_tree(content(reference_folder() + "/" + file), file);
  if (const auto* found = all ? all->find(section) : nullptr) flatten(*found, "", numbers);
  return numbers;
}

std::vector<double> Csv::numbers(const std::string& name) const {
  std::vector<double> out;
  for (const std::string& text : texts(name)) out.push_back(std::strtod(text.c_str(), nullptr));
  return out;
}

std::vector<std::vector<std::string>> read_lines(const std::string& path) {
  std::vector<std::vector<std::string>> rows;
  std::istringstream lines(content(path));
  for (std::string line; std::getline(lines, line);) {
    while (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    auto& cells = rows.emplace_back(1);
    for (const char c : line) {
      if (c == ',') {
        cells.emplace_back();
      } else if (c != ' ' || !cells.back().empty()) {
        cells.back() += c;
      }
    }
  }
  return rows;
}

Csv read_csv(const std::string& path) {
  Csv csv;
  auto rows = read_lines(path);
  for (std::size_t r = 1; r < rows.size(); ++r) {
    for (std::size_t i = 0; i < rows[0].size(); ++i) csv.columns[rows[0][i]].push_back(rows[r].at(i));
  }
  return csv;
}

}  // namespace millrace::eval::testing
