#include "model/tensor_rows.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <format>
#include <limits>

namespace millrace::model {

namespace {

constexpr std::int64_t kColumnsMax = 100'000;

table::Type type_for(Datatype datatype) {
  if (datatype == Datatype::bytes) return table::Type::text;
  if (datatype == Datatype::boolean) return table::Type::boolean;
  return is_float(datatype) ? table::Type::float64 : table::Type::int64;
}

Encoding encoding_for(Datatype datatype) {
  if (datatype == Datatype::bytes) return Encoding::category;
  return datatype == Datatype::boolean ? Encoding::boolean : Encoding::number;
}

Input column(std::string name, Datatype datatype) {
  return {.name = std::move(name), .type = type_for(datatype), .encoding = encoding_for(datatype), .required = true};
}

bool is_column(const TensorInfo& info) {
  const auto& shape = info.shape;
  return (shape.size() == 1 || (shape.size() == 2 && shape[1] == 1)) && (shape[0] == -1 || shape[0] == 1);
}

bool is_matrix(const TensorInfo& info) {
  return info.shape.size() == 2 && (info.shape[0] == -1 || info.shape[0] == 1) && info.shape[1] >= 1 &&
         info.shape[1] <= kColumnsMax;
}

struct RowsMemory {
  std::deque<std::string> bytes;
  std::deque<std::vector<std::string_view>> texts;
  std::deque<std::vector<std::int64_t>> shapes;
};

class RowsPacker {
 public:
  RowsPacker(std::span<const table::Row> rows, RowsMemory& memory) : rows_(rows), memory_(memory) {}

  Result<TensorView> pack(const TensorInfo& info, std::size_t first, std::size_t columns) {
    auto& bytes = memory_.bytes.emplace_back();
    auto& texts = memory_.texts.emplace_back();
    auto& shape = memory_.shapes.emplace_back();
    shape.push_back(static_cast<std::int64_t>(rows_.size()));
    if (info.shape.size() == 2) shape.push_back(static_cast<std::int64_t>(columns));
    for (std::size_t row = 0; row < rows_.size(); ++row) {
      for (std::size_t i = 0; i < columns; ++i) {
        const auto& value = rows_[row][first + i];
        if (const auto* text = std::get_if<std::string>(&value); text && info.datatype == Datatype::bytes) {
          texts.push_back(*text);
        } else if (table::is_null(value) && !is_float(info.datatype)) {
          return fail(Code::invalid_argument, "model.missing_input",
                      std::format("row {}: '{}' is missing, and {} has no missing values", row, name(info, columns, i),
                                  datatype_name(info.datatype)));
        } else if (!put(info.datatype, value, bytes)) {
          return fail(Code::invalid_argument, "model.out_of_range",
                      std::format("row {}: '{}' is {}, which {} does not hold", row, name(info, columns, i),
                                  table::excerpt(table::to_text(value), 40), datatype_name(info.datatype)));
        }
      }
    }
    return TensorView{.name = info.name, .datatype = info.datatype, .shape = shape, .bytes = bytes, .texts = texts};
  }

 private:
  static std::string name(const TensorInfo& info, std::size_t columns, std::size_t i) {
    return columns == 1 ? info.name : std::format("f{}", i);
  }
  static bool put(Datatype datatype, const table::Value& value, std::string& out) {
    if (table::is_null(value)) return pack_number(datatype, std::numeric_limits<double>::quiet_NaN(), out);
    if (const auto* flag = std::get_if<bool>(&value)) return pack_whole(datatype, *flag ? 1 : 0, out);
    if (const auto* whole = std::get_if<std::int64_t>(&value)) return pack_whole(datatype, *whole, out);
    if (const auto* x = std::get_if<double>(&value)) return pack_number(datatype, *x, out);
    return false;
  }

  std::span<const table::Row> rows_;
  RowsMemory& memory_;
};

}  // namespace

std::vector<Input> row_inputs(const TensorSignature& signature) {
  const auto& inputs = signature.inputs;
  std::vector<Input> out;
  if (inputs.size() == 1 && is_matrix(inputs[0]) && inputs[0].shape[1] > 1) {
    for (std::int64_t i = 0; i < inputs[0].shape[1]; ++i)
      out.push_back(column(std::format("f{}", i), inputs[0].datatype));
    return out;
  }
  if (!std::ranges::all_of(inputs, is_column)) return out;
  for (const auto& input : inputs) {
    if (input.shape[0] != inputs[0].shape[0]) return {};
    out.push_back(column(input.name, input.datatype));
  }
  return out;
}

bool one_row_at_a_time(const TensorSignature& signature) {
  return !signature.inputs.empty() && !signature.inputs[0].shape.empty() && signature.inputs[0].shape[0] == 1;
}

Result<OwnedTensors> tensors_of_rows(const TensorSignature& signature, std::span<const table::Row> rows) {
  auto memory = std::make_shared<RowsMemory>();
  OwnedTensors out;
  RowsPacker packer(rows, *memory);
  std::size_t first = 0;
  for (const auto& input : signature.inputs) {
    const auto columns = input.shape.size() == 2 ? static_cast<std::size_t>(input.shape[1]) : 1;
    TRY(const auto view, packer.pack(input, first, columns));
    out.views.push_back(view);
    first += columns;
  }
  out.memory = std::move(memory);
  return out;
}

}  // namespace millrace::model
