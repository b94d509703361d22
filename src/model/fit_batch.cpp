// Apart from fit.cpp because it needs Arrow through table.hpp.
#include "model/fit.hpp"
#include "model/value_at_internal.hpp"
#include "table/table.hpp"

namespace millrace::model {

Result<void> EncoderFitter::add(const table::Batch& batch, const std::vector<bool>& use) {
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    const int index = batch.schema().index_of(specs_[i].name);
    if (index < 0) {
      return fail(Code::invalid_argument, "model.missing_input", "the data has no column '" + specs_[i].name + "'");
    }
    const table::Column column = batch.column(index);
    if (!accepts(specs_[i].type, column.type())) {
      return fail(Code::invalid_argument, "model.wrong_type",
                  "column '" + specs_[i].name + "': expected " + std::string(table::type_name(specs_[i].type)) +
                      ", got " + std::string(table::type_name(column.type())));
    }
    for (std::int64_t row = 0; row < batch.rows(); ++row) {
      if (use.empty() || use[static_cast<std::size_t>(row)]) add_value(i, value_at(column, row));
    }
  }
  return {};
}

}  // namespace millrace::model
