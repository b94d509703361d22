#include <simdjson.h>

#include <format>

#include "api/protobuf_internal.hpp"

namespace millrace::api {

namespace {

template <class T>
T little_endian(std::string_view bytes) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(static_cast<unsigned char>(bytes[i])) << 8 * i;
  return value;
}

}  // namespace

std::unexpected<Error> bad_protobuf(std::string_view what) {
  return fail(Code::invalid_argument, "api.bad_protobuf", std::format("the message is no protobuf: {}", what));
}

Result<std::uint64_t> ProtoReader::varint() {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 10; ++i) {
    if (i == left_.size()) return bad_protobuf("it ends within a number");
    const auto byte = static_cast<unsigned char>(left_[i]);
    value |= static_cast<std::uint64_t>(byte & 0x7f) << 7 * i;
    if (byte < 0x80) {
      left_.remove_prefix(i + 1);
      return value;
    }
  }
  return bad_protobuf("a number has more than ten bytes");
}

Result<bool> ProtoReader::next(ProtoField& field) {
  if (left_.empty()) return false;
  TRY(const auto tag, varint());
  if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff) return bad_protobuf("there is no field of that number");
  field = {.number = static_cast<std::uint32_t>(tag >> 3), .kind = static_cast<ProtoField::Kind>(tag & 7)};
  switch (field.kind) {
    case ProtoField::Kind::varint: {
      TRY(field.value, varint());
      return true;
    }
    case ProtoField::Kind::bytes: {
      TRY(const auto length, varint());
      if (length > left_.size()) return bad_protobuf("it ends within a field");
      field.bytes = left_.substr(0, length);
      left_.remove_prefix(length);
      return true;
    }
    case ProtoField::Kind::fixed64:
    case ProtoField::Kind::fixed32: {
      const std::size_t length = field.kind == ProtoField::Kind::fixed64 ? 8 : 4;
      if (length > left_.size()) return bad_protobuf("it ends within a field");
      field.value = length == 8 ? little_endian<std::uint64_t>(left_) : little_endian<std::uint32_t>(left_);
      left_.remove_prefix(length);
      return true;
    }
  }
  return bad_protobuf("a field is of a kind that proto3 does not have");
}

Result<std::string> proto_text(const ProtoField& field) {
  if (!simdjson::validate_utf8(field.bytes)) return bad_protobuf("a text is not UTF-8");
  return std::string(field.bytes);
}

void ProtoWriter::varint(std::uint64_t value) {
  while (value >= 0x80) {
    out_ += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out_ += static_cast<char>(value);
}

void ProtoWriter::bytes(std::uint32_t field, std::string_view value) {
  tag(field, ProtoField::Kind::bytes);
  varint(value.size());
  out_ += value;
}

void ProtoWriter::put_number(std::uint32_t field, std::uint64_t value) {
  tag(field, ProtoField::Kind::varint);
  varint(value);
}

void ProtoWriter::entry(std::uint32_t field, std::string_view key, const ProtoWriter& value) {
  ProtoWriter pair;
  pair.bytes(1, key);
  pair.message(2, value);
  message(field, pair);
}

}  // namespace millrace::api
