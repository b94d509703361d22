// One value of an Arrow column as the encoder sees it. Only for the .cpp files that need Arrow.
#pragma once

#include "model/encoder.hpp"
#include "table/table.hpp"

namespace millrace::model {

inline ValueView value_at(const table::Column& column, std::int64_t row) {
  if (column.is_null(row)) return std::monostate{};
  switch (column.type()) {
    case table::Type::boolean:
      return column.boolean_at(row);
    case table::Type::int64:
      return column.int64_at(row);
    case table::Type::float64:
      return column.float64_at(row);
    case table::Type::text:
      return column.text_at(row);
    case table::Type::date:
      return column.date_at(row);
    case table::Type::timestamp:
      return column.timestamp_at(row);
  }
  return std::monostate{};
}

inline bool accepts(table::Type wanted, table::Type got) {
  return wanted == got || (wanted == table::Type::float64 && got == table::Type::int64);
}

}  // namespace millrace::model
