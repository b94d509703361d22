// Apart from encoder.cpp because it needs Arrow through table.hpp; the predict server links only the other.
#include "model/encoder.hpp"
#include "model/value_at_internal.hpp"
#include "table/table.hpp"

namespace millrace::model {
Result<void> Encoder::encode_batch(const table::Batch& batch, std::vector<float>& out, EncodeStats& stats) const {
  const std::int64_t rows = batch.rows();
  const std::size_t begin = out.size(), width = static_cast<std::size_t>(features_);
  out.resize(begin + static_cast<std::size_t>(rows) * width);
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const Input& input = inputs_[i];
    const int index = batch.schema().index_of(input.name);
    if (index < 0 && input.required) {
      return fail(Code::invalid_argument, "model.missing_input",
                  "the rows have no column '" + input.name + "', which the model needs (" +
                      std::string(table::type_name(input.type)) + ")");
    }
    if (index >= 0 && !accepts(input.type, batch.schema().fields[static_cast<std::size_t>(index)].type)) {
      return fail(Code::invalid_argument, "model.wrong_type",
                  "column '" + input.name + "': expected " + std::string(table::type_name(input.type)) + ", got " +
                      std::string(table::type_name(batch.schema().fields[static_cast<std::size_t>(index)].type)));
    }
    float* to = out.data() + begin + offsets_[i];
    if (index < 0) {
      for (std::int64_t row = 0; row < rows; ++row, to += width)
        encode_value(static_cast<int>(i), std::monostate{}, to, stats);
      continue;
    }
    const table::Column column = batch.column(index);
    for (std::int64_t row = 0; row < rows; ++row, to += width)
      encode_value(static_cast<int>(i), value_at(column, row), to, stats);
  }
  return {};
}

}  // namespace millrace::model
