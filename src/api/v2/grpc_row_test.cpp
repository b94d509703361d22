#include "api/v2/grpc_row.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "api/protobuf_internal.hpp"
#include "api/v2/grpc_request.hpp"
#include "api/v2/signature.hpp"

namespace millrace::api::v2 {
namespace {

using table::Type;

model::Manifest described() {
  model::Manifest m;
  m.inputs = {{.name = "age", .type = Type::int64, .required = true},
              {.name = "income", .type = Type::float64},
              {.name = "member", .type = Type::boolean, .encoding = model::Encoding::boolean},
              {.name = "city", .type = Type::text, .encoding = model::Encoding::category},
              {.name = "joined", .type = Type::date, .encoding = model::Encoding::date_parts}};
  m.key = "id";
  return m;
}

template <class T>
std::string bytes_of(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

struct Sent {
  std::string name, datatype, raw;
  std::vector<std::int64_t> shape = {1};
};

std::string message_of(const std::vector<Sent>& inputs, const std::function<void(ProtoWriter&)>& more = {}) {
  ProtoWriter out;
  out.text(1, "fare");
  out.text(3, "q1");
  for (const auto& sent : inputs) {
    ProtoWriter input;
    input.text(1, sent.name);
    input.text(2, sent.datatype);
    input.packed(3, sent.shape);
    out.message(5, input);
  }
  if (more) more(out);
  for (const auto& sent : inputs) out.bytes(7, sent.raw);
  return out.take();
}

const Sent kAge{"age", "INT64", bytes_of(std::int64_t{-7})};

TEST(GrpcRow, WhatTheGeneralWayReads) {
  const auto manifest = described();
  const std::vector<Sent> cases[] = {
      {kAge},
      {{"age", "INT32", bytes_of(std::int32_t{-7})}, {"income", "FP64", bytes_of(0.1)}},
      {{"income", "FP32", bytes_of(0.1f), {1, 1}}, kAge},
      {kAge, {"income", "FP64", bytes_of(std::nan(""))}},
      {kAge, {"income", "INT64", bytes_of(std::int64_t{1} << 60)}},
      {kAge, {"income", "INT32", bytes_of(std::int32_t{-1})}},
      {kAge, {"member", "BOOL", "\1"}, {"city", "BYTES", std::string("\5\0\0\0K\xC3\xB6ln", 9)}},
      {{"city", "BYTES", std::string(4, '\0')}, {"member", "BOOL", std::string(1, '\0')}, kAge},
  };
  for (const auto& sent : cases) {
    const auto message = message_of(sent);
    const auto plain = read_grpc_row(message, manifest);
    ASSERT_TRUE(plain) << sent.back().datatype;
    auto general = parse_grpc_infer(message, limits_of(manifest));
    ASSERT_TRUE(general);
    EXPECT_EQ(plain->id, general->request.id);
    const auto rows = rows_of(manifest, std::move(general->request.inputs));
    ASSERT_TRUE(rows) << rows.error().message;
    EXPECT_EQ(plain->rows.rows, rows->rows);
    EXPECT_EQ(plain->rows.keys, rows->keys);
  }
}

TEST(GrpcRow, WhatIsLessPlainOrWrongIsLeftToTheGeneralWay) {
  const auto manifest = described();
  const std::vector<Sent> cases[] = {
      {},
      {{"income", "FP64", bytes_of(0.1)}},  // a required one is not there
      {kAge, kAge},
      {kAge, {"id", "BYTES", std::string("\1\0\0\0x", 5)}},
      {kAge, {"wages", "FP64", bytes_of(0.1)}},
      {kAge, {"income", "FP64", bytes_of(0.1f)}},
      {kAge, {"income", "FP64", bytes_of(std::numeric_limits<double>::infinity())}},
      {kAge, {"income", "FP16", "ab"}},
      {kAge, {"income", "FP64", bytes_of(0.1) + bytes_of(0.2), {2}}},
      {kAge, {"income", "FP64", bytes_of(0.1), {}}},
      {kAge, {"income", "FP64", bytes_of(0.1), {1, 1, 1}}},
      {{"age", "FP64", bytes_of(7.0)}},
      {kAge, {"member", "BOOL", "\2"}},
      {kAge, {"member", "UINT8", "\1"}},
      {kAge, {"city", "BYTES", std::string("\2\0\0\0x", 5)}},
      {kAge, {"city", "BYTES", std::string("\1\0\0\0\xFF", 5)}},
      {kAge, {"city", "BYTES", "\1"}},
      {kAge, {"joined", "BYTES", std::string("\x0A\0\0\0002026-01-01", 14)}},
  };
  for (const auto& sent : cases)
    EXPECT_FALSE(read_grpc_row(message_of(sent), manifest)) << (sent.empty() ? "none" : sent.back().name);
  const std::function<void(ProtoWriter&)> more[] = {
      [](ProtoWriter& m) { m.entry(4, "timeout", ProtoWriter()); },
      [](ProtoWriter& m) { m.bytes(6, ""); },
      [](ProtoWriter& m) { m.bytes(7, bytes_of(0.1)); },
      [](ProtoWriter& m) { m.text(3, "\xFF"); },
      [](ProtoWriter& m) { m.put_number(9, 1); },
  };
  for (const auto& write : more) EXPECT_FALSE(read_grpc_row(message_of({kAge}, write), manifest));
  const auto whole = message_of({kAge});
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(read_grpc_row(std::string(whole.substr(0, size)), manifest));
  auto tensors = manifest;
  tensors.tensors.outputs = {{.name = "left", .datatype = Datatype::fp32, .shape = {-1}}};
  EXPECT_FALSE(read_grpc_row(whole, tensors));
}

}  // namespace
}  // namespace millrace::api::v2
