// The checks of a project file, `[check.NAME]`, over all rows of a version in one pass. Job side.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/dataset.hpp"
#include "table/table.hpp"

namespace millrace::data {

class Checker {
 public:
  // `key` (may be empty) is checked to be there in every row and to differ from row to row.
  Checker(const table::Schema& schema, const CheckConfig& config, const std::string& key);
  ~Checker();
  // `known`: rows of the version before; their values are not new ones.
  void add(const table::Batch& batch, bool known);
  // Values of the version before that is being replaced: remembered as known, not checked, not counted.
  void remember(const table::Batch& batch);
  // A column that lacks is told from its config alone. One result per rule, in the order of the config, the key last.
  CheckReport finish();  // once

 private:
  struct Rule;
  std::int64_t rows_ = 0;
  CheckConfig config_;
  std::vector<std::unique_ptr<Rule>> rules_;
};

}  // namespace millrace::data
