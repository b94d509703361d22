#include "data/mask.hpp"

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
  if (!columns.contains(analysis.inference.target)) return;
  for (TargetClass& one : analysis.inference.classes) one.value = mask_text;
  if (!analysis.inference.positive.empty()) analysis.inference.positive = mask_text;
  analysis.inference.positive_why.clear();
}

}  // namespace millrace::data
