#include "data/dataset.hpp"

#include <algorithm>

namespace millrace::data {

std::vector<ColumnField> fields_of(const table::Schema& schema) {
  std::vector<ColumnField> out;
  for (const table::Field& field : schema.fields)
    out.push_back({field.name, std::string(table::type_name(field.type))});
  return out;
}

Result<table::Schema> schema_of(const std::vector<ColumnField>& fields) {
  table::Schema out;
  for (const ColumnField& field : fields) {
    TRY(const table::Type type, table::parse_type(field.type));
    out.fields.push_back({field.name, type});
  }
  return out;
}

bool CheckReport::passed() const { return std::ranges::find(results, "error", &CheckResult::level) == results.end(); }

}  // namespace millrace::data
