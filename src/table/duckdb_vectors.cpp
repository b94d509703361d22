#include <cmath>
#include <limits>

#include "table/duckdb_internal.hpp"

namespace millrace::table {

bool reads_directly(duckdb_type id) {
  switch (id) {
    case DUCKDB_TYPE_BOOLEAN:
    case DUCKDB_TYPE_TINYINT:
    case DUCKDB_TYPE_SMALLINT:
    case DUCKDB_TYPE_INTEGER:
    case DUCKDB_TYPE_BIGINT:
    case DUCKDB_TYPE_UTINYINT:
    case DUCKDB_TYPE_USMALLINT:
    case DUCKDB_TYPE_UINTEGER:
    case DUCKDB_TYPE_UBIGINT:
    case DUCKDB_TYPE_HUGEINT:
    case DUCKDB_TYPE_UHUGEINT:
    case DUCKDB_TYPE_FLOAT:
    case DUCKDB_TYPE_DOUBLE:
    case DUCKDB_TYPE_DECIMAL:
    case DUCKDB_TYPE_VARCHAR:
    case DUCKDB_TYPE_ENUM:
    case DUCKDB_TYPE_DATE:
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_TZ:
    case DUCKDB_TYPE_TIMESTAMP_S:
    case DUCKDB_TYPE_TIMESTAMP_MS:
    case DUCKDB_TYPE_TIMESTAMP_NS:
      return true;
    default:
      return false;
  }
}

DuckColumn DuckColumn::of(duckdb_logical_type type) {
  DuckColumn out;
  out.id = duckdb_get_type_id(type);
  switch (out.id) {
    case DUCKDB_TYPE_BOOLEAN:
      out.type = Type::boolean;
      break;
    case DUCKDB_TYPE_TINYINT:
    case DUCKDB_TYPE_SMALLINT:
    case DUCKDB_TYPE_INTEGER:
    case DUCKDB_TYPE_BIGINT:
    case DUCKDB_TYPE_UTINYINT:
    case DUCKDB_TYPE_USMALLINT:
    case DUCKDB_TYPE_UINTEGER:
      out.type = Type::int64;
      break;
    case DUCKDB_TYPE_DECIMAL:
      out.stored = duckdb_decimal_internal_type(type);
      out.scale = std::pow(10.0, duckdb_decimal_scale(type));
      out.type = Type::float64;
      break;
    case DUCKDB_TYPE_UBIGINT:
    case DUCKDB_TYPE_HUGEINT:
    case DUCKDB_TYPE_UHUGEINT:
    case DUCKDB_TYPE_FLOAT:
    case DUCKDB_TYPE_DOUBLE:
      out.type = Type::float64;
      break;
    case DUCKDB_TYPE_DATE:
      out.type = Type::date;
      break;
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_TZ:
    case DUCKDB_TYPE_TIMESTAMP_S:
    case DUCKDB_TYPE_TIMESTAMP_MS:
    case DUCKDB_TYPE_TIMESTAMP_NS:
      out.type = Type::timestamp;
      break;
    case DUCKDB_TYPE_ENUM: {
      out.stored = duckdb_enum_internal_type(type);
      const std::uint32_t words = duckdb_enum_dictionary_size(type);
      for (std::uint32_t i = 0; i < words; i++) {
        char* word = duckdb_enum_dictionary_value(type, i);
        out.words.emplace_back(word);
        duckdb_free(word);
      }
      break;
    }
    default:
      break;
  }
  return out;
}

namespace {

// Calls append(value) for each row that is there.
template <class T, class Append>
arrow::Status each(duckdb_vector vector, idx_t rows, ColumnBuilder& to, Append append) {
  auto* data = static_cast<T*>(duckdb_vector_get_data(vector));
  std::uint64_t* validity = duckdb_vector_get_validity(vector);
  for (idx_t i = 0; i < rows; i++) {
    if (validity && !duckdb_validity_row_is_valid(validity, i)) {
      ARROW_RETURN_NOT_OK(to.null());
    } else {
      ARROW_RETURN_NOT_OK(append(data[i]));
    }
  }
  return arrow::Status::OK();
}

template <class T>
arrow::Status each_int(duckdb_vector vector, idx_t rows, ColumnBuilder& to) {
  return each<T>(vector, rows, to, [&](T value) { return to.int64(static_cast<std::int64_t>(value)); });
}
template <class T>
arrow::Status each_float(duckdb_vector vector, idx_t rows, ColumnBuilder& to, double scale = 1) {
  return each<T>(vector, rows, to, [&](T value) { return to.float64(static_cast<double>(value) / scale); });
}
// Infinite times have no place among the six types: null.
template <class T>
arrow::Status each_time(duckdb_vector vector, idx_t rows, ColumnBuilder& to, std::int64_t multiply,
                        std::int64_t divide) {
  return each<T>(vector, rows, to, [&](T value) {
    std::int64_t us = 0;
    const bool infinite =
        value == std::numeric_limits<std::int64_t>::max() || value == -std::numeric_limits<std::int64_t>::max();
    if (infinite || __builtin_mul_overflow(std::int64_t(value), multiply, &us)) return to.null();
    return to.timestamp({us / divide - (us % divide < 0 ? 1 : 0)});
  });
}
template <class T>
arrow::Status each_word(const DuckColumn& column, duckdb_vector vector, idx_t rows, ColumnBuilder& to) {
  return each<T>(vector, rows, to, [&](T code) { return to.text(column.words[code]); });
}

arrow::Status append_decimals(const DuckColumn& column, duckdb_vector vector, idx_t rows, ColumnBuilder& to) {
  switch (column.stored) {
    case DUCKDB_TYPE_SMALLINT:
      return each_float<std::int16_t>(vector, rows, to, column.scale);
    case DUCKDB_TYPE_INTEGER:
      return each_float<std::int32_t>(vector, rows, to, column.scale);
    case DUCKDB_TYPE_BIGINT:
      return each_float<std::int64_t>(vector, rows, to, column.scale);
    default:
      return each<duckdb_hugeint>(vector, rows, to, [&](duckdb_hugeint value) {
        return to.float64(duckdb_hugeint_to_double(value) / column.scale);
      });
  }
}

}  // namespace

arrow::Status append_vector(const DuckColumn& column, duckdb_vector vector, idx_t rows, ColumnBuilder& to) {
  switch (column.id) {
    case DUCKDB_TYPE_BOOLEAN:
      return each<bool>(vector, rows, to, [&](bool value) { return to.boolean(value); });
    case DUCKDB_TYPE_TINYINT:
      return each_int<std::int8_t>(vector, rows, to);
    case DUCKDB_TYPE_SMALLINT:
      return each_int<std::int16_t>(vector, rows, to);
    case DUCKDB_TYPE_INTEGER:
      return each_int<std::int32_t>(vector, rows, to);
    case DUCKDB_TYPE_BIGINT:
      return each_int<std::int64_t>(vector, rows, to);
    case DUCKDB_TYPE_UTINYINT:
      return each_int<std::uint8_t>(vector, rows, to);
    case DUCKDB_TYPE_USMALLINT:
      return each_int<std::uint16_t>(vector, rows, to);
    case DUCKDB_TYPE_UINTEGER:
      return each_int<std::uint32_t>(vector, rows, to);
    case DUCKDB_TYPE_UBIGINT:
      return each_float<std::uint64_t>(vector, rows, to);
    case DUCKDB_TYPE_FLOAT:
      return each_float<float>(vector, rows, to);
    case DUCKDB_TYPE_DOUBLE:
      return each_float<double>(vector, rows, to);
    case DUCKDB_TYPE_DECIMAL:
      return append_decimals(column, vector, rows, to);
    case DUCKDB_TYPE_HUGEINT:
      return each<duckdb_hugeint>(vector, rows, to,
                                  [&](duckdb_hugeint value) { return to.float64(duckdb_hugeint_to_double(value)); });
    case DUCKDB_TYPE_UHUGEINT:
      return each<duckdb_uhugeint>(vector, rows, to,
                                   [&](duckdb_uhugeint value) { return to.float64(duckdb_uhugeint_to_double(value)); });
    case DUCKDB_TYPE_VARCHAR:
      return each<duckdb_string_t>(vector, rows, to, [&](duckdb_string_t& value) {
        return to.text(std::string_view(duckdb_string_t_data(&value), duckdb_string_t_length(value)));
      });
    case DUCKDB_TYPE_ENUM:
      switch (column.stored) {
        case DUCKDB_TYPE_UTINYINT:
          return each_word<std::uint8_t>(column, vector, rows, to);
        case DUCKDB_TYPE_USMALLINT:
          return each_word<std::uint16_t>(column, vector, rows, to);
        default:
          return each_word<std::uint32_t>(column, vector, rows, to);
      }
    case DUCKDB_TYPE_DATE:
      return each<std::int32_t>(vector, rows, to, [&](std::int32_t days) {
        const bool infinite =
            days == std::numeric_limits<std::int32_t>::max() || days == -std::numeric_limits<std::int32_t>::max();
        return infinite ? to.null() : to.date({days});
      });
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_TZ:
      return each_time<std::int64_t>(vector, rows, to, 1, 1);
    case DUCKDB_TYPE_TIMESTAMP_S:
      return each_time<std::int64_t>(vector, rows, to, 1'000'000, 1);
    case DUCKDB_TYPE_TIMESTAMP_MS:
      return each_time<std::int64_t>(vector, rows, to, 1'000, 1);
    case DUCKDB_TYPE_TIMESTAMP_NS:
      return each_time<std::int64_t>(vector, rows, to, 1, 1'000);
    default:
      return arrow::Status::NotImplemented("a result column of a type that must be cast to VARCHAR first");
  }
}

namespace {

template <class T, class Get>
void fill(const Column& from, std::int64_t offset, idx_t rows, duckdb_vector to, Get get) {
  auto* data = static_cast<T*>(duckdb_vector_get_data(to));
  std::uint64_t* validity = nullptr;
  for (idx_t i = 0; i < rows; i++) {
    const std::int64_t row = offset + static_cast<std::int64_t>(i);
    if (!from.is_null(row)) {
      data[i] = get(row);
      continue;
    }
    if (!validity) {
      duckdb_vector_ensure_validity_writable(to);
      validity = duckdb_vector_get_validity(to);
    }
    duckdb_validity_set_row_invalid(validity, i);
  }
}

void fill_texts(const Column& from, std::int64_t offset, idx_t rows, duckdb_vector to) {
  std::uint64_t* validity = nullptr;
  for (idx_t i = 0; i < rows; i++) {
    const std::int64_t row = offset + static_cast<std::int64_t>(i);
    if (!from.is_null(row)) {
      const std::string_view text = from.text_at(row);
      duckdb_vector_assign_string_element_len(to, i, text.data(), text.size());
      continue;
    }
    if (!validity) {
      duckdb_vector_ensure_validity_writable(to);
      validity = duckdb_vector_get_validity(to);
    }
    duckdb_validity_set_row_invalid(validity, i);
  }
}

}  // namespace

void fill_vector(const Column& from, std::int64_t offset, idx_t rows, duckdb_vector to) {
  switch (from.type()) {
    case Type::boolean:
      return fill<bool>(from, offset, rows, to, [&](std::int64_t r) { return from.boolean_at(r); });
    case Type::int64:
      return fill<std::int64_t>(from, offset, rows, to, [&](std::int64_t r) { return from.int64_at(r); });
    case Type::float64:
      return fill<double>(from, offset, rows, to, [&](std::int64_t r) { return from.float64_at(r); });
    case Type::text:
      return fill_texts(from, offset, rows, to);
    case Type::date:
      return fill<std::int32_t>(from, offset, rows, to, [&](std::int64_t r) { return from.date_at(r).days; });
    case Type::timestamp:
      return fill<std::int64_t>(from, offset, rows, to, [&](std::int64_t r) { return from.timestamp_at(r).us; });
  }
}

std::string_view duck_type_name(Type type) {
  switch (type) {
    case Type::boolean:
      return "BOOLEAN";
    case Type::int64:
      return "BIGINT";
    case Type::float64:
      return "DOUBLE";
    case Type::text:
      return "VARCHAR";
    case Type::date:
      return "DATE";
    case Type::timestamp:
      return "TIMESTAMP";
  }
  return "VARCHAR";
}

OwnedType duck_type(Type type) {
  constexpr duckdb_type ids[] = {DUCKDB_TYPE_BOOLEAN, DUCKDB_TYPE_BIGINT, DUCKDB_TYPE_DOUBLE,
                                 DUCKDB_TYPE_VARCHAR, DUCKDB_TYPE_DATE,   DUCKDB_TYPE_TIMESTAMP};
  OwnedType out;
  *out.out() = duckdb_create_logical_type(ids[static_cast<std::size_t>(type)]);
  return out;
}

}  // namespace millrace::table
