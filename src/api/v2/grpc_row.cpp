#include "api/v2/grpc_row.hpp"

#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "api/protobuf_internal.hpp"

namespace millrace::api::v2 {

namespace {

struct PlainInput {
  std::string_view name, datatype;
  std::size_t axes = 0;
};

// False: not plain.
bool read_plain_input(std::string_view message, PlainInput& out) {
  ProtoReader reader(message);
  ProtoField field;
  for (;;) {
    const auto more = reader.next(field);
    if (!more) return false;
    if (!*more) break;
    if (field.is_bytes(1)) {
      out.name = field.bytes;
    } else if (field.is_bytes(2)) {
      out.datatype = field.bytes;
    } else if (field.number == 3) {
      const bool one = field.is_varint(3) ? field.value == 1 : field.is_bytes(3) && field.bytes == "\1";
      const bool two = field.is_bytes(3) && field.bytes == "\1\1";
      if (!one && !two) return false;
      out.axes += two ? 2 : 1;
    } else {
      return false;
    }
  }
  return out.axes == 1 || out.axes == 2;
}

template <class T>
std::optional<T> number_of(std::string_view bytes) {
  if (bytes.size() != sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

template <class T>
bool put_real(std::string_view bytes, table::Value& out) {
  const auto x = number_of<T>(bytes);
  if (!x || std::isinf(*x)) return false;
  if (!std::isnan(*x)) out = static_cast<double>(*x);
  return true;
}

template <class T, class As>
bool put_whole(std::string_view bytes, table::Value& out) {
  const auto x = number_of<T>(bytes);
  if (x) out = static_cast<As>(*x);
  return x.has_value();
}

bool put_text(std::string_view bytes, table::Value& out) {
  const auto length = bytes.size() < 4 ? std::nullopt : number_of<std::uint32_t>(bytes.substr(0, 4));
  if (!length || bytes.size() - 4 != *length || !simdjson::validate_utf8(bytes.substr(4))) return false;
  out = std::string(bytes.substr(4));
  return true;
}

// `out` is missing before.
bool put_value(std::string_view datatype, table::Type type, std::string_view bytes, table::Value& out) {
  switch (type) {
    case table::Type::float64:
      if (datatype == "FP64") return put_real<double>(bytes, out);
      if (datatype == "FP32") return put_real<float>(bytes, out);
      if (datatype == "INT64") return put_whole<std::int64_t, double>(bytes, out);
      return datatype == "INT32" && put_whole<std::int32_t, double>(bytes, out);
    case table::Type::int64:
      if (datatype == "INT64") return put_whole<std::int64_t, std::int64_t>(bytes, out);
      return datatype == "INT32" && put_whole<std::int32_t, std::int64_t>(bytes, out);
    case table::Type::boolean: {
      const auto byte = number_of<std::uint8_t>(bytes);
      if (datatype != "BOOL" || !byte || *byte > 1) return false;
      out = *byte == 1;
      return true;
    }
    case table::Type::text:
      return datatype == "BYTES" && put_text(bytes, out);
    case table::Type::date:
    case table::Type::timestamp:
      break;
  }
  return false;
}

// The inputs of a request in the order in which they were sent; kept by each thread.
struct PlainRequest {
  std::vector<PlainInput> inputs;
  std::vector<std::string_view> raw;
  std::string_view id;
  void clear() {
    inputs.clear();
    raw.clear();
    id = {};
  }
};

bool read_plain(std::string_view message, std::size_t inputs_max, PlainRequest& out) {
  ProtoReader reader(message);
  ProtoField field;
  for (;;) {
    const auto more = reader.next(field);
    if (!more) return false;
    if (!*more) break;
    if (field.is_bytes(7)) {
      if (out.raw.size() == inputs_max) return false;
      out.raw.push_back(field.bytes);
    } else if (field.is_bytes(5)) {
      if (out.inputs.size() == inputs_max) return false;
      if (!read_plain_input(field.bytes, out.inputs.emplace_back())) return false;
    } else if (field.is_bytes(3)) {
      out.id = field.bytes;
    } else if (field.number > 2) {
      return false;
    }
  }
  return !out.inputs.empty() && out.inputs.size() == out.raw.size() && simdjson::validate_utf8(out.id);
}

}  // namespace

std::optional<GrpcRow> read_grpc_row(std::string_view message, const model::Manifest& manifest) {
  const auto& columns = manifest.inputs;
  thread_local PlainRequest plain;
  plain.clear();
  if (manifest.takes_tensors() || !read_plain(message, columns.size(), plain)) return std::nullopt;
  std::optional<GrpcRow> out(std::in_place);
  auto& row = out->rows.rows.emplace_back(columns.size());
  if (!manifest.key.empty()) out->rows.keys.emplace_back();
  thread_local std::vector<char> seen;
  seen.assign(columns.size(), 0);
  std::size_t guess = 0;  // clients mostly send the inputs in their order
  for (std::size_t i = 0; i < plain.inputs.size(); ++i) {
    const auto& input = plain.inputs[i];
    if (guess == columns.size() || columns[guess].name != input.name)
      guess = static_cast<std::size_t>(std::ranges::find(columns, input.name, &model::Input::name) - columns.begin());
    if (guess == columns.size() || seen[guess] || input.name == manifest.key) return std::nullopt;
    seen[guess] = 1;
    if (!put_value(input.datatype, columns[guess].type, plain.raw[i], row[guess])) return std::nullopt;
    ++guess;
  }
  for (std::size_t i = 0; i < columns.size(); ++i)
    if (columns[i].required && !seen[i]) return std::nullopt;
  out->id = plain.id;
  return out;
}

}  // namespace millrace::api::v2
