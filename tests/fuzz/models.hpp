// What the targets for bodies of predictions share: a model, and what holds for rows that were read for one.
#pragma once

#include "fuzz/fuzz.hpp"
#include "model/manifest.hpp"

namespace millrace::fuzz {

inline model::Manifest model_of_every_type() {
  using table::Type;
  model::Manifest m;
  m.name = "fuzzed";
  m.target = "left";
  m.classes = {"no", "yes"};
  m.positive = "yes";
  m.inputs = {{.name = "age", .type = Type::int64, .required = true},
              {.name = "income", .type = Type::float64},
              {.name = "member", .type = Type::boolean, .encoding = model::Encoding::boolean},
              {.name = "city", .type = Type::text, .encoding = model::Encoding::category, .categories = {"A", "B"}},
              {.name = "joined", .type = Type::date, .encoding = model::Encoding::date_parts},
              {.name = "seen", .type = Type::timestamp, .encoding = model::Encoding::date_parts}};
  m.key = "id";
  m.ignored = {"note"};
  return m;
}

inline void require_rows_of(const model::Manifest& described, const std::vector<table::Row>& rows) {
  for (const auto& row : rows) {
    require(row.size() == described.inputs.size(), "a value for each input");
    for (std::size_t i = 0; i < row.size(); ++i) {
      const auto& value = row[i];
      require(table::is_null(value) || table::from_text(table::to_text(value), described.inputs[i].type),
            "null, or a value of the input's type");
    }
  }
}

}  // namespace millrace::fuzz
