// The reference numbers of $MILLRACE_SHARED/reference: expected values by path, columns of its CSV files.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace millrace::eval::testing {

// Empty when $MILLRACE_SHARED is not set or has no such folder: skip the test then.
std::string reference_folder();

// Every number below `section` of a JSON file: "roc_auc", "confusion[2]", "groups.a.tpr". Texts are left out.
std::map<std::string, double> expected_numbers(const std::string& file, const std::string& section);

// Cells of a CSV without quotes, leading blanks of a cell dropped.
std::vector<std::vector<std::string>> read_lines(const std::string& path);

// Columns of a CSV with a header (plain, or gzip by its ending), as texts.
struct Csv {
  std::map<std::string, std::vector<std::string>> columns;
  const std::vector<std::string>& texts(const std::string& name) const { return columns.at(name); }
  std::vector<double> numbers(const std::string& name) const;
};
Csv read_csv(const std::string& path);

}  // namespace millrace::eval::testing
