#include "data/mask.hpp"

#include <algorithm>

namespace millrace::data {

void mask(Analysis& analysis, const ColumnNames& columns) {
  for (ColumnProfile& column : analysis.columns) {
    if (!columns.contains(column.name)) continue;
    if (column.count > 0) column.min = column.max = mask_text;
    column.mean.reset();
    column.std_dev.reset();
    column.quantiles.clear();
    column.histogram.reset();
    column.top.clear();
    column.mean_length.reset();
  }
  for (CheckResult& check : analysis.checks.results) {
    if (columns.contains(check.column)) check.samples.clear();
  }
  // Sentences that quote a value: "the same in every row: x", "\"born\" looks like dates ('1/2/99') ...", "class 'x'
  // ...".
  for (InputColumn& column : analysis.inference.columns) {
    if (columns.contains(column.name)) column.why.resize(std::min(column.why.size(), column.why.find(':')));
  }
  std::erase_if(analysis.inference.notes, [&](const std::string& note) {
    if (note.starts_with("class '")) return columns.contains(analysis.inference.target);
    return std::ranges::any_of(columns,
                               [&](const auto& name) { return note.starts_with("\"" + name + "\" looks like"); });
  });
  if (!columns.contains(analysis.inference.target)) return;
  for (TargetClass& one : analysis.inference.classes) one.value = mask_text;
  if (!analysis.inference.positive.empty()) analysis.inference.positive = mask_text;
  analysis.inference.positive_why.clear();
}

}  // namespace millrace::data
