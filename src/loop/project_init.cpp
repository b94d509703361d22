// The short project file that `init` and `up` write for a data file.
#include <format>

#include "loop/project.hpp"

namespace millrace::loop {
namespace {

// For the rest of a comment line: whatever it holds, it stays one line of valid text.
std::string one_line(std::string_view text) {
  std::string out;
  for (const char c : text) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  return out;
}

std::string text_list(const std::vector<std::string>& items) {
  Tree list = Tree::array();
  for (const auto& item : items) list.append(Tree::text(item));
  return render_toml_value(list);
}

// "# " and the words, broken before column 120.
std::string comment(std::string_view text) {
  constexpr std::size_t width = 118;
  std::string rest = one_line(text), out;
  while (rest.size() > width) {
    auto cut = rest.rfind(' ', width);
    if (cut == std::string::npos || cut == 0) cut = rest.find(' ', width);
    if (cut == std::string::npos) break;
    out += "# " + rest.substr(0, cut) + "\n";
    rest.erase(0, cut + 1);
  }
  return out + "# " + rest + "\n";
}

}  // namespace

std::string write_init(const InitFacts& facts) {
  std::string out = "[project]\nname = " + toml_string(facts.project) + "\n";
  if (!facts.timezone.empty() && facts.timezone != "UTC") out += "timezone = " + toml_string(facts.timezone) + "\n";
  out += "\n";
  for (const auto& note : facts.notes) out += comment(note);
  out += "[source." + toml_key(facts.source) + "]\nuri = " + toml_string(facts.uri) + "\n";
  if (!facts.key.empty()) out += "key = " + toml_string(facts.key) + "\n";
  if (!facts.header) {
    out += "header = false\n";
    if (!facts.names.empty()) out += "names = " + text_list(facts.names) + "\n";
  }
  if (!facts.delimiter.empty()) out += "delimiter = " + toml_string(facts.delimiter) + "\n";

  if (!facts.encoding.empty()) out += "encoding = " + toml_string(facts.encoding) + "\n";

  out += "\n[model]\ntarget = " + toml_string(facts.source + "." + facts.target);
  out += facts.task.empty() ? "\n" : "  # " + one_line(facts.task) + "\n";
  if (!facts.positive.empty()) out += "positive = " + toml_string(facts.positive) + "\n";
  if (!facts.excluded.empty()) {
    out += "exclude = [\n";
    for (const auto& [column, reason] : facts.excluded)
      out += "  " + toml_string(column) + ",  # " + one_line(reason) + "\n";
    out += "]\n";
  }

  if (!facts.gates.empty()) {
    out += "\n# a model that fails one line never serves\n[gates]\n";
    for (const auto& [expression, condition, why] : facts.gates) {
      out += toml_string(expression) + " = " + toml_string(condition);
      out += why.empty() ? "\n" : "  # " + one_line(why) + "\n";
    }
  }
  return out +
         "\n[retrain]\nschedule = \"daily\"\nwindow = \"quietest\"  # 03:00 until there are requests to look at\n";
}

}  // namespace millrace::loop
