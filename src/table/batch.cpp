#include <arrow/compute/api.h>

#include <algorithm>

#include "table/arrow_internal.hpp"
#include "table/table.hpp"

namespace millrace::table {

// ---- Arrow helpers ----------------------------------------------------------------------------------------------

Error arrow_error(const arrow::Status& status, std::string_view doing, Code code, std::string_view reason) {
  std::string message = std::string(doing) + ": " + status.message();
  if (status.IsOutOfMemory() || status.IsCapacityError()) {
    return Error{Code::resource_exhausted, "table.memory", std::move(message)};
  }
  if (status.IsCancelled()) return Error{Code::cancelled, "table.cancelled", std::move(message)};
  return Error{code, std::string(reason), std::move(message)};
}

std::shared_ptr<arrow::DataType> arrow_type(Type type) {
  switch (type) {
    case Type::boolean:
      return arrow::boolean();
    case Type::int64:
      return arrow::int64();
    case Type::float64:
      return arrow::float64();
    case Type::text:
      return arrow::utf8();
    case Type::date:
      return arrow::date32();
    case Type::timestamp:
      return arrow::timestamp(arrow::TimeUnit::MICRO);
  }
  return arrow::utf8();
}

Type type_of(const arrow::DataType& type) {
  switch (type.id()) {
    case arrow::Type::BOOL:
      return Type::boolean;
    case arrow::Type::INT8:
    case arrow::Type::INT16:
    case arrow::Type::INT32:
    case arrow::Type::INT64:
    case arrow::Type::UINT8:
    case arrow::Type::UINT16:
    case arrow::Type::UINT32:
      return Type::int64;
    case arrow::Type::UINT64:
    case arrow::Type::HALF_FLOAT:
    case arrow::Type::FLOAT:
    case arrow::Type::DOUBLE:
    case arrow::Type::DECIMAL32:
    case arrow::Type::DECIMAL64:
    case arrow::Type::DECIMAL128:
    case arrow::Type::DECIMAL256:
      return Type::float64;
    case arrow::Type::DATE32:
    case arrow::Type::DATE64:
      return Type::date;
    case arrow::Type::TIMESTAMP:
      return Type::timestamp;
    case arrow::Type::DICTIONARY:
      return type_of(*static_cast<const arrow::DictionaryType&>(type).value_type());
    default:
      return Type::text;
  }
}

std::shared_ptr<arrow::Schema> arrow_schema(const Schema& schema) {
  arrow::FieldVector fields;
  for (const Field& field : schema.fields) fields.push_back(arrow::field(field.name, arrow_type(field.type)));
  return arrow::schema(std::move(fields));
}

Schema schema_of(const arrow::Schema& schema) {
  Schema out;
  for (const auto& field : schema.fields()) out.fields.push_back({field->name(), type_of(*field->type())});
  return out;
}

std::int64_t rows_per_batch(std::size_t columns) {
  constexpr std::int64_t cells = 4 << 20;
  const std::int64_t fit = cells / static_cast<std::int64_t>(std::max<std::size_t>(columns, 1));
  std::int64_t rows = 65536;
  while (rows > 1024 && rows > fit) rows /= 2;
  return rows;
}

// ---- normalise --------------------------------------------------------------------------------------------------

namespace {

std::int64_t floor_divide(std::int64_t value, std::int64_t by) {
  const std::int64_t quotient = value / by;
  return value % by < 0 ? quotient - 1 : quotient;
}

// Any unit and zone to microseconds without zone: the stored number is UTC already.
arrow::Result<std::shared_ptr<arrow::Array>> to_microseconds(const arrow::TimestampArray& from) {
  const auto unit = static_cast<const arrow::TimestampType&>(*from.type()).unit();
  if (unit == arrow::TimeUnit::MICRO) {
    auto data = from.data()->Copy();
    data->type = arrow::timestamp(arrow::TimeUnit::MICRO);
    return arrow::MakeArray(data);
  }
  ColumnBuilder out(Type::timestamp);
  ARROW_RETURN_NOT_OK(out.reserve(from.length()));
  const std::int64_t multiply = unit == arrow::TimeUnit::SECOND  ? 1'000'000
                                : unit == arrow::TimeUnit::MILLI ? 1'000
                                                                 : 1;
  const std::int64_t divide = unit == arrow::TimeUnit::NANO ? 1'000 : 1;
  for (std::int64_t i = 0; i < from.length(); i++) {
    if (from.IsNull(i)) {
      ARROW_RETURN_NOT_OK(out.null());
      continue;
    }
    std::int64_t us = 0;
    if (__builtin_mul_overflow(from.Value(i), multiply, &us)) {
      return arrow::Status::Invalid("a time of row ", i, " is beyond what microseconds in 64 bits can hold");
    }
    ARROW_RETURN_NOT_OK(out.timestamp({floor_divide(us, divide)}));
  }
  return out.finish();
}

arrow::Result<std::shared_ptr<arrow::Array>> to_printed(const arrow::Array& from) {
  ColumnBuilder out(Type::text);
  for (std::int64_t i = 0; i < from.length(); i++) {
    if (from.IsNull(i)) {
      ARROW_RETURN_NOT_OK(out.null());
      continue;
    }
    ARROW_ASSIGN_OR_RAISE(auto scalar, from.GetScalar(i));
    ARROW_RETURN_NOT_OK(out.text(scalar->ToString()));
  }
  return out.finish();
}

arrow::Result<std::shared_ptr<arrow::Array>> normalise_column(const std::shared_ptr<arrow::Array>& from) {
  const arrow::Type::type id = from->type_id();
  const Type to = type_of(*from->type());
  if (id == arrow::Type::TIMESTAMP) return to_microseconds(static_cast<const arrow::TimestampArray&>(*from));
  if (from->type()->Equals(arrow_type(to))) return from;
  if (id == arrow::Type::DICTIONARY) {
    const auto& dictionary = static_cast<const arrow::DictionaryArray&>(*from);
    ARROW_ASSIGN_OR_RAISE(auto plain, arrow::compute::Take(*dictionary.dictionary(), *dictionary.indices()));
    return normalise_column(plain);
  }
  if (id == arrow::Type::EXTENSION) {
    return normalise_column(static_cast<const arrow::ExtensionArray&>(*from).storage());
  }
  const bool textual = id == arrow::Type::BINARY || id == arrow::Type::LARGE_BINARY ||
                       id == arrow::Type::LARGE_STRING || id == arrow::Type::STRING_VIEW ||
                       id == arrow::Type::BINARY_VIEW;
  if (to == Type::text && !textual) return to_printed(*from);
  arrow::compute::CastOptions options = arrow::compute::CastOptions::Safe(arrow_type(to));
  // A big unsigned integer or decimal is rounded to the nearest double, as said in the contract.
  options.allow_float_truncate = options.allow_decimal_truncate = options.allow_int_overflow = to == Type::float64;
  return arrow::compute::Cast(*from, options.to_type, options);
}

}  // namespace

Result<std::shared_ptr<arrow::RecordBatch>> normalise(const std::shared_ptr<arrow::RecordBatch>& batch) {
  arrow::ArrayVector columns;
  arrow::FieldVector fields;
  for (int i = 0; i < batch->num_columns(); i++) {
    const auto& field = batch->schema()->field(i);
    ARROW_TRY(auto column, "column '" + field->name() + "' of type " + field->type()->ToString(),
              Code::invalid_argument, "table.bad_column", normalise_column(batch->column(i)));
    fields.push_back(arrow::field(field->name(), column->type()));
    columns.push_back(std::move(column));
  }
  return arrow::RecordBatch::Make(arrow::schema(std::move(fields)), batch->num_rows(), std::move(columns));
}

// ---- ColumnBuilder ----------------------------------------------------------------------------------------------

ColumnBuilder::ColumnBuilder(Type type) : type_(type) {
  auto* pool = arrow::default_memory_pool();
  switch (type) {
    case Type::boolean:
      builder_ = std::make_unique<arrow::BooleanBuilder>(pool);
      break;
    case Type::int64:
      builder_ = std::make_unique<arrow::Int64Builder>(pool);
      break;
    case Type::float64:
      builder_ = std::make_unique<arrow::DoubleBuilder>(pool);
      break;
    case Type::text:
      builder_ = std::make_unique<arrow::StringBuilder>(pool);
      break;
    case Type::date:
      builder_ = std::make_unique<arrow::Date32Builder>(pool);
      break;
    case Type::timestamp:
      builder_ = std::make_unique<arrow::TimestampBuilder>(arrow_type(Type::timestamp), pool);
      break;
  }
}

arrow::Status ColumnBuilder::null() { return builder_->AppendNull(); }
arrow::Status ColumnBuilder::boolean(bool value) {
  return static_cast<arrow::BooleanBuilder&>(*builder_).Append(value);
}
arrow::Status ColumnBuilder::int64(std::int64_t value) {
  return static_cast<arrow::Int64Builder&>(*builder_).Append(value);
}
arrow::Status ColumnBuilder::float64(double value) {
  return static_cast<arrow::DoubleBuilder&>(*builder_).Append(value);
}
arrow::Status ColumnBuilder::text(std::string_view value) {
  return static_cast<arrow::StringBuilder&>(*builder_).Append(value);
}
arrow::Status ColumnBuilder::date(Date value) {
  return static_cast<arrow::Date32Builder&>(*builder_).Append(value.days);
}
arrow::Status ColumnBuilder::timestamp(Timestamp value) {
  return static_cast<arrow::TimestampBuilder&>(*builder_).Append(value.us);
}

std::vector<ColumnBuilder> column_builders(const Schema& schema) {
  std::vector<ColumnBuilder> out;
  out.reserve(schema.fields.size());
  for (const Field& field : schema.fields) out.emplace_back(field.type);
  return out;
}

Result<Batch> finish_batch(const std::shared_ptr<arrow::Schema>& schema, std::vector<ColumnBuilder>& columns,
                           std::int64_t rows) {
  arrow::ArrayVector arrays;
  arrays.reserve(columns.size());
  for (ColumnBuilder& column : columns) {
    ARROW_TRY(auto array, "finishing a batch", Code::internal, "table.arrow", column.finish());
    arrays.push_back(std::move(array));
  }
  return Batch::wrap(arrow::RecordBatch::Make(schema, rows, std::move(arrays)));
}

// ---- Column -----------------------------------------------------------------------------------------------------

Type Column::type() const { return type_; }
std::int64_t Column::size() const { return array_->length(); }
bool Column::is_null(std::int64_t row) const { return array_->IsNull(row); }
bool Column::boolean_at(std::int64_t row) const { return static_cast<const arrow::BooleanArray*>(array_)->Value(row); }
std::int64_t Column::int64_at(std::int64_t row) const {
  return static_cast<const arrow::Int64Array*>(array_)->Value(row);
}
double Column::float64_at(std::int64_t row) const { return static_cast<const arrow::DoubleArray*>(array_)->Value(row); }
std::string_view Column::text_at(std::int64_t row) const {
  return static_cast<const arrow::StringArray*>(array_)->GetView(row);
}
Date Column::date_at(std::int64_t row) const { return {static_cast<const arrow::Date32Array*>(array_)->Value(row)}; }
Timestamp Column::timestamp_at(std::int64_t row) const {
  return {static_cast<const arrow::TimestampArray*>(array_)->Value(row)};
}

Value Column::value_at(std::int64_t row) const {
  if (is_null(row)) return {};
  switch (type_) {
    case Type::boolean:
      return boolean_at(row);
    case Type::int64:
      return int64_at(row);
    case Type::float64:
      return float64_at(row);
    case Type::text:
      return std::string(text_at(row));
    case Type::date:
      return date_at(row);
    case Type::timestamp:
      return timestamp_at(row);
  }
  return {};
}

// ---- Batch ------------------------------------------------------------------------------------------------------

struct Batch::Inner {
  std::shared_ptr<arrow::RecordBatch> batch;
  Schema schema;
  arrow::ArrayVector columns;  // boxed once; RecordBatch::column() boxes under a lock
};

Result<Batch> Batch::wrap(std::shared_ptr<arrow::RecordBatch> arrow) {
  auto inner = std::make_shared<Inner>();
  for (int i = 0; i < arrow->num_columns(); i++) {
    const auto& field = arrow->schema()->field(i);
    const Type type = type_of(*field->type());
    if (!field->type()->Equals(arrow_type(type))) {
      return fail(Code::invalid_argument, "table.bad_column",
                  "column '" + field->name() + "' has the Arrow type " + field->type()->ToString() +
                      "; a batch holds boolean, int64, float64, utf8, date32 and timestamp[us] only");
    }
    inner->schema.fields.push_back({field->name(), type});
  }
  inner->columns = arrow->columns();
  inner->batch = std::move(arrow);
  Batch out;
  out.inner_ = std::move(inner);
  return out;
}

namespace {

Result<void> append_value(ColumnBuilder& column, const Value& value, const Field& field, std::size_t row) {
  constexpr std::string_view doing = "building a batch";
  if (is_null(value)) {
    ARROW_OK(doing, Code::internal, "table.arrow", column.null());
    return {};
  }
  arrow::Status status;
  bool fits = true;
  switch (field.type) {
    case Type::boolean:
      if (const auto* v = std::get_if<bool>(&value); (fits = v != nullptr)) status = column.boolean(*v);
      break;
    case Type::int64:
      if (const auto* v = std::get_if<std::int64_t>(&value); (fits = v != nullptr)) status = column.int64(*v);
      break;
    case Type::float64:
      if (const auto* v = std::get_if<double>(&value); (fits = v != nullptr)) status = column.float64(*v);
      break;
    case Type::text:
      if (const auto* v = std::get_if<std::string>(&value); (fits = v != nullptr)) status = column.text(*v);
      break;
    case Type::date:
      if (const auto* v = std::get_if<Date>(&value); (fits = v != nullptr)) status = column.date(*v);
      break;
    case Type::timestamp:
      if (const auto* v = std::get_if<Timestamp>(&value); (fits = v != nullptr)) status = column.timestamp(*v);
      break;
  }
  if (!fits) {
    return fail(Code::invalid_argument, "table.bad_value",
                "row " + std::to_string(row) + ", column '" + field.name + "': the value '" + to_text(value) +
                    "' is not of the column's type " + std::string(type_name(field.type)));
  }
  ARROW_OK(doing, Code::internal, "table.arrow", status);
  return {};
}

}  // namespace

Result<Batch> Batch::from_rows(const Schema& schema, const std::vector<Row>& rows) {
  auto columns = column_builders(schema);
  for (std::size_t r = 0; r < rows.size(); r++) {
    if (rows[r].size() != columns.size()) {
      return fail(Code::invalid_argument, "table.bad_value",
                  "row " + std::to_string(r) + " has " + std::to_string(rows[r].size()) + " values for " +
                      std::to_string(columns.size()) + " columns");
    }
    for (std::size_t c = 0; c < columns.size(); c++) {
      TRY_VOID(append_value(columns[c], rows[r][c], schema.fields[c], r));
    }
  }
  return finish_batch(arrow_schema(schema), columns, static_cast<std::int64_t>(rows.size()));
}

Result<Batch> with_columns(const Batch& batch, const std::vector<NewColumn>& columns) {
  arrow::FieldVector fields;
  arrow::ArrayVector arrays;
  if (const auto& own = batch.arrow()) {
    fields = own->schema()->fields();
    arrays = own->columns();
  }
  for (const NewColumn& column : columns) {
    const auto rows = std::visit([](const auto& values) { return std::ssize(values); }, column.values);
    if (rows != batch.rows()) {
      return fail(Code::invalid_argument, "table.bad_value",
                  "column '" + column.name + "' has " + std::to_string(rows) + " values for " +
                      std::to_string(batch.rows()) + " rows");
    }
    if (const auto* numbers = std::get_if<std::vector<double>>(&column.values)) {
      arrow::DoubleBuilder builder;
      if (auto done = builder.AppendValues(*numbers); !done.ok())
        return fail(arrow_error(done, "adding a column", Code::internal, "table.arrow"));
      ARROW_TRY(auto array, "adding a column", Code::internal, "table.arrow", builder.Finish());
      fields.push_back(arrow::field(column.name, arrow::float64()));
      arrays.push_back(std::move(array));
    } else {
      arrow::StringBuilder builder;
      if (auto done = builder.AppendValues(std::get<std::vector<std::string>>(column.values)); !done.ok())
        return fail(arrow_error(done, "adding a column", Code::internal, "table.arrow"));
      ARROW_TRY(auto array, "adding a column", Code::internal, "table.arrow", builder.Finish());
      fields.push_back(arrow::field(column.name, arrow::utf8()));
      arrays.push_back(std::move(array));
    }
  }
  return Batch::wrap(arrow::RecordBatch::Make(arrow::schema(std::move(fields)), batch.rows(), std::move(arrays)));
}

const Schema& Batch::schema() const {
  static const Schema none;
  return inner_ ? inner_->schema : none;
}
std::int64_t Batch::rows() const { return inner_ ? inner_->batch->num_rows() : 0; }

Column Batch::column(int index) const {
  return {inner_->schema.fields[static_cast<std::size_t>(index)].type,
          inner_->columns[static_cast<std::size_t>(index)].get()};
}

Row Batch::row(std::int64_t row) const {
  Row out;
  const int columns = static_cast<int>(schema().fields.size());
  out.reserve(static_cast<std::size_t>(columns));
  for (int c = 0; c < columns; c++) out.push_back(column(c).value_at(row));
  return out;
}

Batch Batch::slice(std::int64_t offset, std::int64_t length) const {
  auto inner = std::make_shared<Inner>();
  inner->batch = inner_->batch->Slice(offset, length);
  inner->schema = inner_->schema;
  inner->columns = inner->batch->columns();
  Batch out;
  out.inner_ = std::move(inner);
  return out;
}

Batch Batch::take(const std::vector<std::int64_t>& rows) const {
  const auto indices = std::make_shared<arrow::Int64Array>(static_cast<std::int64_t>(rows.size()),
                                                           arrow::Buffer::Wrap(rows.data(), rows.size()));
  auto inner = std::make_shared<Inner>();
  inner->schema = inner_->schema;
  const auto options = arrow::compute::TakeOptions::BoundsCheck();
  for (const auto& column : inner_->columns) {
    // Indices out of range are a defect of the caller: abort rather than read beyond.
    inner->columns.push_back(arrow::compute::Take(*column, *indices, options).ValueOrDie());
  }
  inner->batch = arrow::RecordBatch::Make(inner_->batch->schema(), indices->length(), inner->columns);
  Batch out;
  out.inner_ = std::move(inner);
  return out;
}

const std::shared_ptr<arrow::RecordBatch>& Batch::arrow() const {
  static const std::shared_ptr<arrow::RecordBatch> none;
  return inner_ ? inner_->batch : none;
}

// ---- readers ----------------------------------------------------------------------------------------------------

namespace {

class VectorReader final : public BatchReader {
 public:
  VectorReader(Schema schema, std::vector<Batch> batches) : schema_(std::move(schema)), batches_(std::move(batches)) {}
  const Schema& schema() const override { return schema_; }
  Result<std::optional<Batch>> next() override {
    if (at_ == batches_.size()) return std::optional<Batch>();
    return std::optional<Batch>(std::move(batches_[at_++]));
  }

 private:
  Schema schema_;
  std::vector<Batch> batches_;
  std::size_t at_ = 0;
};

}  // namespace

std::unique_ptr<BatchReader> read_batches(Schema schema, std::vector<Batch> batches) {
  return std::make_unique<VectorReader>(std::move(schema), std::move(batches));
}

Result<std::vector<Batch>> collect(BatchReader& reader) {
  std::vector<Batch> out;
  while (true) {
    TRY(auto batch, reader.next());
    if (!batch) return out;
    out.push_back(std::move(*batch));
  }
}

}  // namespace millrace::table
