#include "api/v2/grpc_request.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>

#include "api/protobuf_internal.hpp"

namespace millrace::api::v2 {
namespace {

constexpr InferLimits kLimits{.rows_max = 100, .columns_max = 3, .inputs_max = 3};

template <class T>
std::string raw(std::initializer_list<T> values) {
  std::string out(values.size() * sizeof(T), '\0');
  std::memcpy(out.data(), std::data(values), out.size());
  return out;
}

ProtoWriter input(std::string_view name, std::string_view datatype, std::vector<std::int64_t> shape) {
  ProtoWriter out;
  out.text(1, name);
  out.text(2, datatype);
  out.packed(3, shape);
  return out;
}

ProtoWriter contents(std::uint32_t member, std::vector<std::int64_t> numbers) {
  ProtoWriter inner;
  inner.packed(member, numbers);
  return inner;
}

ProtoWriter text_parameter(std::string_view text) {
  ProtoWriter out;
  out.bytes(3, text);
  return out;
}

TEST(GrpcInfer, RawContents) {
  ProtoWriter message;
  message.text(1, "churn");
  message.text(2, "3");
  message.text(3, "q1");
  message.entry(4, "missing_text", text_parameter(""));
  message.message(5, input("a", "FP32", {2, 1}));
  message.message(5, input("b", "BYTES", {2}));
  ProtoWriter wanted;
  wanted.text(1, "probability");
  message.message(6, wanted);
  message.bytes(7, raw({0.5f, std::nanf("")}));
  message.bytes(7, std::string("\1\0\0\0x\0\0\0\0", 9));
  const auto bytes = message.take();
  const auto asked = parse_model_asked(bytes);
  ASSERT_TRUE(asked);
  EXPECT_EQ("churn", asked->name);
  EXPECT_EQ("3", asked->version);
  const auto got = parse_grpc_infer(bytes, kLimits);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_TRUE(got->raw);
  EXPECT_EQ("q1", got->request.id);
  ASSERT_EQ(2u, got->request.inputs.size());
  EXPECT_EQ(0.5, std::get<double>(got->request.inputs[0].elements[0]));
  EXPECT_TRUE(table::is_null(got->request.inputs[0].elements[1]));
  EXPECT_EQ("x", std::get<std::string>(got->request.inputs[1].elements[0]));
  EXPECT_TRUE(table::is_null(got->request.inputs[1].elements[1]));
  ASSERT_EQ(1u, got->request.outputs.size());
  EXPECT_EQ("probability", got->request.outputs[0].name);
}

TEST(GrpcInfer, TypedContentsPackedAndAlone) {
  ProtoWriter typed;
  typed.packed(2, std::vector<std::int64_t>{-128});
  typed.put_number(2, 127);  // as an encoder may write it
  auto one = input("a", "INT8", {2});
  one.message(5, typed);
  ProtoWriter message;
  message.message(5, one);
  const auto got = parse_grpc_infer(message.take(), kLimits);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_FALSE(got->raw);
  EXPECT_EQ(-128, std::get<std::int64_t>(got->request.inputs[0].elements[0]));
  EXPECT_EQ(127, std::get<std::int64_t>(got->request.inputs[0].elements[1]));
}

TEST(GrpcInfer, Refusals) {
  struct Case {
    std::string reason;
    std::function<void(ProtoWriter&)> write;
  };
  const auto typed = [](std::string datatype, std::vector<std::int64_t> shape, std::uint32_t member,
                        std::vector<std::int64_t> numbers) {
    return [=](ProtoWriter& message) {
      auto one = input("a", datatype, shape);
      one.message(5, contents(member, numbers));
      message.message(5, one);
    };
  };
  const auto with_raw = [](std::string datatype, std::vector<std::int64_t> shape, std::string bytes) {
    return [=](ProtoWriter& message) {
      message.message(5, input("a", datatype, shape));
      message.bytes(7, bytes);
    };
  };
  const Case cases[] = {
      {"", typed("INT32", {2}, 2, {1, -1})},
      {"", with_raw("UINT8", {2}, "ab")},
      {"v2.bad_request", [](ProtoWriter&) {}},
      {"v2.bad_request", [](ProtoWriter& m) { m.message(5, input("", "FP32", {1})); }},
      {"v2.bad_request", with_raw("", {2}, "ab")},
      {"v2.bad_request", with_raw("UINT8", {}, "ab")},
      {"v2.bad_datatype", with_raw("uint8", {2}, "ab")},
      {"v2.bad_shape", with_raw("UINT8", {-1}, "ab")},
      {"v2.bad_shape", with_raw("UINT8", {1, 1, 1}, "a")},
      {"v2.bad_shape", with_raw("UINT8", {1, 4}, "abcd")},
      {"v2.no_rows", with_raw("UINT8", {0}, "")},
      {"v2.too_many_rows", with_raw("UINT8", {101}, "")},
      {"v2.too_many_rows", with_raw("UINT8", {std::int64_t{1} << 62}, "")},
      {"v2.bad_data", with_raw("UINT8", {3}, "ab")},
      {"v2.bad_data", with_raw("UINT8", {1}, "ab")},
      {"v2.bad_data", with_raw("BOOL", {1}, "\2")},
      {"v2.bad_data", with_raw("BYTES", {1}, "ab")},
      {"v2.bad_data", typed("INT32", {3}, 2, {1, 2})},
      {"v2.bad_data", typed("INT32", {1}, 2, {1, 2})},
      {"v2.bad_data", typed("INT32", {2}, 3, {1, 2})},
      {"v2.bad_data", typed("INT8", {1}, 2, {128})},
      {"v2.bad_data", typed("INT16", {1}, 2, {-32'769})},
      {"v2.bad_data", typed("UINT16", {1}, 4, {65'536})},
      {"v2.bad_data", typed("FP16", {1}, 6, {1})},
      {"v2.bad_data", [](ProtoWriter& m) { m.message(5, input("a", "FP32", {1})); }},
      {"v2.bad_data",
       [&](ProtoWriter& m) {
         typed("INT32", {1}, 2, {1})(m);
         m.bytes(7, raw({1}));
       }},
      {"v2.bad_data",
       [&](ProtoWriter& m) {
         with_raw("UINT8", {1}, "a")(m);
         m.bytes(7, "b");
       }},
      {"v2.bad_request",
       [&](ProtoWriter& m) {
         with_raw("UINT8", {1}, "a")(m);
         with_raw("UINT8", {1}, "a")(m);
       }},
      {"v2.too_many_inputs",
       [](ProtoWriter& m) {
         for (const auto* name : {"a", "b", "c", "d"}) m.message(5, input(name, "FP32", {1}));
       }},
      {"v2.not_offered",
       [](ProtoWriter& m) {
         auto one = input("a", "FP32", {1});
         one.entry(4, "shared_memory_region", text_parameter("x"));
         m.message(5, one);
         m.bytes(7, raw({1.0f}));
       }},
      {"api.bad_protobuf", [](ProtoWriter& m) { m.bytes(5, "\xff"); }},
      {"api.bad_protobuf", [](ProtoWriter& m) { m.bytes(3, "\xff"); }},
      {"api.bad_protobuf",
       [](ProtoWriter& m) {
         ProtoWriter inner;
         inner.bytes(6, "abc");
         auto one = input("a", "FP32", {1});
         one.message(5, inner);
         m.message(5, one);
       }},
  };
  for (std::size_t i = 0; i < std::size(cases); ++i) {
    ProtoWriter message;
    cases[i].write(message);
    const auto got = parse_grpc_infer(message.take(), kLimits);
    EXPECT_EQ(cases[i].reason, got ? "" : got.error().reason) << "case " << i;
    EXPECT_EQ(cases[i].reason.empty() ? Code::ok : Code::invalid_argument, got ? Code::ok : got.error().code);
  }
}

TEST(GrpcSettings, NamesAndValues) {
  ProtoWriter list, flag, message;
  list.bytes(1, "TIMESTAMPS");
  list.bytes(1, "TENSORS");
  flag.put_number(1, 0);
  message.entry(1, "trace_level", list);
  message.entry(1, "trace_rate", {});
  message.entry(1, "log_info", flag);
  message.text(2, "churn");
  const auto got = parse_settings(message.take());
  ASSERT_TRUE(got);
  EXPECT_EQ("churn", got->model);
  ASSERT_EQ(3u, got->asked.size());
  EXPECT_EQ("TIMESTAMPS,TENSORS", got->asked[0].second);
  EXPECT_FALSE(got->asked[1].second);
  EXPECT_EQ("false", got->asked[2].second);
  EXPECT_EQ("v2.fixed_setting", check_settings(trace_settings(), {got->asked[0]}).error().reason);
  EXPECT_EQ("v2.unknown_setting", check_settings(trace_settings(), {got->asked[2]}).error().reason);
  EXPECT_TRUE(check_settings(trace_settings(), {{"trace_level", "OFF"}, got->asked[1]}));
}

}  // namespace
}  // namespace millrace::api::v2
