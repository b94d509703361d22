#include "api/protobuf_internal.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace millrace::api {
namespace {

using Kind = ProtoField::Kind;

std::vector<ProtoField> fields(std::string_view message) {
  std::vector<ProtoField> out;
  EXPECT_TRUE(each_field(message, [&](const ProtoField& field) -> Result<void> {
    out.push_back(field);
    return {};
  }));
  return out;
}

TEST(Protobuf, WhatIsWrittenIsRead) {
  ProtoWriter writer, inner;
  inner.text(2, "x");
  writer.number(1, 300);
  writer.number(2, 0);  // left out
  writer.text(3, "");   // left out
  writer.bytes(4, "");
  writer.put_number(5, 0);
  writer.message(6, inner);
  writer.packed(7, std::vector<std::int64_t>{1, -1, 300});
  writer.packed(8, std::vector<std::int64_t>{});  // left out
  writer.number(536'870'911, std::numeric_limits<std::uint64_t>::max());
  const auto text = writer.take();
  EXPECT_TRUE(text.starts_with("\x08\xac\x02")) << "as protobuf's own documentation has it";
  const auto got = fields(text);
  ASSERT_EQ(6u, got.size());
  EXPECT_TRUE(got[0].is_varint(1));
  EXPECT_EQ(300u, got[0].value);
  EXPECT_TRUE(got[1].is_bytes(4));
  EXPECT_EQ("", got[1].bytes);
  EXPECT_TRUE(got[2].is_varint(5));
  EXPECT_EQ(1u, fields(got[3].bytes).size());
  std::vector<std::int64_t> numbers;
  ASSERT_TRUE(each_varint(got[4], [&](std::uint64_t value) -> Result<void> {
    numbers.push_back(static_cast<std::int64_t>(value));
    return {};
  }));
  EXPECT_EQ((std::vector<std::int64_t>{1, -1, 300}), numbers);
  EXPECT_EQ(536'870'911u, got[5].number);
  EXPECT_EQ(std::numeric_limits<std::uint64_t>::max(), got[5].value);
}

TEST(Protobuf, FixedNumbers) {
  const auto got = fields(std::string_view("\x09\1\2\3\4\5\6\7\x80\x15\1\0\0\x80", 14));
  ASSERT_EQ(2u, got.size());
  EXPECT_TRUE(got[0].is(1, Kind::fixed64));
  EXPECT_EQ(0x8007060504030201u, got[0].value);
  EXPECT_TRUE(got[1].is(2, Kind::fixed32));
  EXPECT_EQ(0x80000001u, got[1].value);
}

TEST(Protobuf, EveryCutIsRefused) {
  ProtoWriter writer;
  writer.bytes(1, "abc");
  const auto text = writer.take() + std::string("\x15\1\2\3\4\x19\1\2\3\4\5\6\7\x08\x20\xff\x01", 17);
  for (std::size_t length = 1; length < text.size(); ++length) {
    const bool between = length == 5 || length == 10 || length == 19;
    const auto read =
        each_field(std::string_view(text).substr(0, length), [](const ProtoField&) -> Result<void> { return {}; });
    EXPECT_EQ(between, read.has_value()) << length;
    EXPECT_EQ(between ? "" : "api.bad_protobuf", read ? "" : read.error().reason);
  }
}

TEST(Protobuf, Refusals) {
  using namespace std::string_view_literals;
  const std::string_view broken[] = {
      "\x00\x01"sv,                                      // field 0
      "\x0b"sv,                                          // a group
      "\x0c"sv,                                          //
      "\x0e\x01"sv,                                      // no such kind
      "\x0a\x05x"sv,                                     // longer than the message
      "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"sv,  // much longer
      "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"sv,
      "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"sv,
  };
  for (const auto text : broken) {
    const auto read = each_field(text, [](const ProtoField&) -> Result<void> { return {}; });
    ASSERT_FALSE(read) << text;
    EXPECT_EQ("api.bad_protobuf", read.error().reason);
  }
  EXPECT_FALSE(proto_text({.number = 1, .kind = Kind::bytes, .bytes = "\xff"}));
}

}  // namespace
}  // namespace millrace::api
