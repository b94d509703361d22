#include <algorithm>

#include "table/arrow_internal.hpp"
#include "table/table.hpp"

namespace millrace::table {

std::optional<Type> widest(Type a, Type b) {
  if (a == b) return a;
  const auto pair = [&](Type x, Type y) { return (a == x && b == y) || (a == y && b == x); };
  if (pair(Type::int64, Type::float64)) return Type::float64;
  if (pair(Type::date, Type::timestamp)) return Type::timestamp;
  if (a == Type::text || b == Type::text) return Type::text;
  return std::nullopt;
}

namespace {

constexpr std::string_view doing = "bringing a column to the wanted type";

Result<std::shared_ptr<arrow::Array>> converted(const Column& from, Type to) {
  ColumnBuilder out(to);
  for (std::int64_t row = 0; row < from.size(); row++) {
    arrow::Status status;
    if (from.is_null(row)) {
      status = out.null();
    } else if (to == Type::float64) {
      status = out.float64(static_cast<double>(from.int64_at(row)));
    } else if (to == Type::timestamp) {
      status = out.timestamp({from.date_at(row).days * 86'400'000'000LL});
    } else {
      status = out.text(to_text(from.value_at(row)));
    }
    ARROW_OK(doing, Code::internal, "table.arrow", status);
  }
  ARROW_TRY(auto array, doing, Code::internal, "table.arrow", out.finish());
  return array;
}

class ConformingReader final : public BatchReader {
 public:
  ConformingReader(Schema schema, std::unique_ptr<BatchReader> from, std::vector<int> places)
      : schema_(std::move(schema)),
        from_(std::move(from)),
        places_(std::move(places)),
        arrow_schema_(arrow_schema(schema_)) {}
  const Schema& schema() const override { return schema_; }

  Result<std::optional<Batch>> next() override {
    TRY(const auto batch, from_->next());
    if (!batch) return std::optional<Batch>();
    arrow::ArrayVector columns;
    for (std::size_t i = 0; i < places_.size(); i++) {
      const Type type = schema_.fields[i].type;
      if (places_[i] < 0) {
        ARROW_TRY(auto nulls, doing, Code::internal, "table.arrow",
                  arrow::MakeArrayOfNull(arrow_type(type), batch->rows()));
        columns.push_back(std::move(nulls));
      } else if (const Column column = batch->column(places_[i]); column.type() == type) {
        columns.push_back(batch->arrow()->column(places_[i]));
      } else {
        TRY(auto array, converted(column, type));
        columns.push_back(std::move(array));
      }
    }
    TRY(auto out, Batch::wrap(arrow::RecordBatch::Make(arrow_schema_, batch->rows(), std::move(columns))));
    return std::optional(std::move(out));
  }

 private:
  Schema schema_;
  std::unique_ptr<BatchReader> from_;
  std::vector<int> places_;  // of each wanted column in `from`; -1: not there
  std::shared_ptr<arrow::Schema> arrow_schema_;
};

class ConcatReader final : public BatchReader {
 public:
  ConcatReader(Schema schema, std::vector<OpenReader> parts) : schema_(std::move(schema)), parts_(std::move(parts)) {}
  const Schema& schema() const override { return schema_; }

  Result<std::optional<Batch>> next() override {
    while (true) {
      if (!current_) {
        if (at_ == parts_.size()) return std::optional<Batch>();
        TRY(auto opened, parts_[at_++]());
        TRY(current_, conform(std::move(opened), schema_));
      }
      TRY(auto batch, current_->next());
      if (batch) return batch;
      current_.reset();
    }
  }

 private:
  Schema schema_;
  std::vector<OpenReader> parts_;
  std::size_t at_ = 0;
  std::unique_ptr<BatchReader> current_;
};

}  // namespace

Result<std::unique_ptr<BatchReader>> conform(std::unique_ptr<BatchReader> reader, const Schema& schema) {
  if (reader->schema() == schema) return reader;
  std::vector<int> places;
  for (const Field& field : schema.fields) {
    const int place = reader->schema().index_of(field.name);
    places.push_back(place);
    if (place < 0) continue;
    const Type have = reader->schema().fields[static_cast<std::size_t>(place)].type;
    if (widest(have, field.type) != field.type) {
      return fail(Code::invalid_argument, "table.bad_schema",
                  "column '" + field.name + "' is " + std::string(type_name(have)) + ", which cannot be read as " +
                      std::string(type_name(field.type)));
    }
  }
  return std::make_unique<ConformingReader>(schema, std::move(reader), std::move(places));
}

std::unique_ptr<BatchReader> concat(Schema schema, std::vector<OpenReader> parts) {
  return std::make_unique<ConcatReader>(std::move(schema), std::move(parts));
}

}  // namespace millrace::table
