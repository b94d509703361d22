#include <format>
#include <map>

#include "base/text.hpp"
#include "data/infer.hpp"

namespace millrace::data {

namespace {

std::string counted(int n, std::string_view one, std::string_view many) {
  return std::to_string(n) + " " + std::string(n == 1 ? one : many);
}

std::string columns_line(const Inference& inference) {
  std::map<std::string, int> kinds;
  for (const InputColumn& c : inference.columns) kinds[c.role == "input" ? c.encoding : c.role]++;
  const std::pair<std::string_view, std::pair<std::string_view, std::string_view>> words[] = {
      {"number", {"number", "numbers"}},
      {"category", {"category", "categories"}},
      {"boolean", {"true/false", "true/false"}},
      {"date_parts", {"date", "dates"}},
      {"key", {"key", "keys"}},
      {"target", {"target", "targets"}},
      {"left out", {"left out", "left out"}},
  };
  std::string out;
  for (const auto& [kind, names] : words) {
    if (const int n = kinds[std::string(kind)]; n > 0)
      out += (out.empty() ? "" : ", ") + counted(n, names.first, names.second);
  }
  return out;
}

std::string task_line(const Inference& inference) {
  std::string out = "task: " + inference.task;
  if (inference.task == "binary") {
    std::int64_t all = 0, positive = 0;
    for (const TargetClass& c : inference.classes) {
      all += c.rows;
      if (c.value == inference.positive) positive = c.rows;
    }
    const double share = all > 0 ? 100.0 * static_cast<double>(positive) / static_cast<double>(all) : 0;
    out += std::format(" ({:.1f} % positive, '{}': {})", share, inference.positive, inference.positive_why);
  } else if (inference.task == "multiclass") {
    out += " (" + std::to_string(inference.classes.size()) + " classes)";
  } else {
    out += " (" + inference.task_why + ")";
  }
  return out;
}

}  // namespace

std::vector<std::string> describe(const Analysis& analysis) {
  const Inference& inference = analysis.inference;
  std::vector<std::string> out;
  out.push_back(with_thousands(analysis.rows) + " rows, " +
                with_thousands(static_cast<std::int64_t>(inference.columns.size())) +
                " columns: " + columns_line(inference));
  std::string second = inference.task.empty() ? "" : task_line(inference);
  if (!inference.key.empty()) second += (second.empty() ? "key: " : "   key: ") + inference.key;
  if (!second.empty()) out.push_back(second);
  for (const std::string& note : inference.notes) out.push_back("note: " + note);
  return out;
}

}  // namespace millrace::data
