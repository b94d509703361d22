// Protobuf messages (proto3), read once from left to right without a copy, and written. There is no schema in here: who
// reads knows the numbers. What a reader doesn't know it passes over, as protobuf does.
#pragma once

#include <cstdint>
#include <ranges>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.hpp"

namespace millrace::api {

struct ProtoField {
  enum class Kind : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };
  std::uint32_t number = 0;
  Kind kind = Kind::varint;
  std::uint64_t value = 0;  // of all but `bytes`
  std::string_view bytes;   // a view into what is read

  bool is(std::uint32_t n, Kind k) const { return number == n && kind == k; }
  bool is_bytes(std::uint32_t n) const { return is(n, Kind::bytes); }
  bool is_varint(std::uint32_t n) const { return is(n, Kind::varint); }
};

// invalid_argument `api.bad_protobuf`.
std::unexpected<Error> bad_protobuf(std::string_view what);

class ProtoReader {
 public:
  explicit ProtoReader(std::string_view bytes) : left_(bytes) {}
  // false: there are no more.
  Result<bool> next(ProtoField& field);
  Result<std::uint64_t> varint();
  bool at_end() const { return left_.empty(); }

 private:
  std::string_view left_;
};

// Calls `f(field)`, which gives Result<void>, for each field of a message.
template <class F>
Result<void> each_field(std::string_view message, F f) {
  ProtoReader reader(message);
  ProtoField field;
  for (;;) {
    TRY(const bool more, reader.next(field));
    if (!more) return {};
    TRY_VOID(f(field));
  }
}

// Calls `f(value)` for each number of a repeated varint field, packed or alone.
template <class F>
Result<void> each_varint(const ProtoField& field, F f) {
  if (field.kind == ProtoField::Kind::varint) return f(field.value);
  if (field.kind != ProtoField::Kind::bytes) return {};
  ProtoReader packed(field.bytes);
  while (!packed.at_end()) {
    TRY(const auto value, packed.varint());
    TRY_VOID(f(value));
  }
  return {};
}

// A `string`, which is UTF-8.
Result<std::string> proto_text(const ProtoField& field);

// Appends fields to a message. Defaults (0, false, "") are left out by the plain functions, as proto3 does.
class ProtoWriter {
 public:
  void number(std::uint32_t field, std::uint64_t value) {
    if (value != 0) put_number(field, value);
  }
  void text(std::uint32_t field, std::string_view value) {
    if (!value.empty()) bytes(field, value);
  }
  // Also an empty one: an item of a repeated field, a member of a oneof.
  void bytes(std::uint32_t field, std::string_view value);
  void put_number(std::uint32_t field, std::uint64_t value);
  void message(std::uint32_t field, const ProtoWriter& value) { bytes(field, value.out_); }
  template <std::ranges::input_range R>
  void packed(std::uint32_t field, const R& values) {
    ProtoWriter inner;
    for (const auto value : values) inner.varint(static_cast<std::uint64_t>(value));
    if (!inner.out_.empty()) bytes(field, inner.out_);
  }
  void packed_doubles(std::uint32_t field, std::string_view little_endian) { text(field, little_endian); }
  // An entry of a map<string, M>.
  void entry(std::uint32_t field, std::string_view key, const ProtoWriter& value);

  std::string take() { return std::move(out_); }
  std::size_t size() const { return out_.size(); }

 private:
  void varint(std::uint64_t value);
  void tag(std::uint32_t field, ProtoField::Kind kind) { varint(field << 3 | static_cast<unsigned>(kind)); }
  std::string out_;
};

}  // namespace millrace::api
