#include "api/v2/load_request.hpp"

#include <gtest/gtest.h>

#include "api/protobuf_internal.hpp"

namespace millrace::api::v2 {
namespace {

TEST(LoadRequest, Base64) {
  // RFC 4648, section 10.
  const std::pair<const char*, const char*> pairs[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : pairs) EXPECT_EQ(plain, from_base64(coded)) << coded;
  EXPECT_EQ(std::string("\xff\x00\xfe", 3), from_base64("/wD+"));
  for (const char* bad :
       {"Z", "Zg", "Zg=", "Zg===", "Z===", "====", "Zg==Zg==", "Z=g=", "Zm9v\n", "Zm 9", "_w==", "Zm9\xc3"})
    EXPECT_FALSE(from_base64(bad)) << bad;
}

TEST(LoadRequest, FilesInJson) {
  EXPECT_TRUE(parse_load_files("")->empty());
  EXPECT_TRUE(parse_load_files(R"({"parameters":{"config":"{}","unload_dependents":true}})")->empty());
  const auto files = parse_load_files(
      R"({"parameters":{"config":"{}","file:1/model.ubj":"Zm9v","file:1/golden.json":""},"more":[1]})");
  ASSERT_TRUE(files) << files.error().message;
  ASSERT_EQ(2u, files->size());
  EXPECT_EQ("1/model.ubj", (*files)[0].path);
  EXPECT_EQ("foo", (*files)[0].bytes);
  EXPECT_EQ("", (*files)[1].bytes);
  EXPECT_EQ("v2.bad_file", parse_load_files(R"({"parameters":{"file:x":"Zm9"}})").error().reason);
  EXPECT_EQ("api.bad_json", parse_load_files(R"({"parameters":{"file:x":5}})").error().reason);
  EXPECT_EQ("api.bad_json", parse_load_files("{").error().reason);
  EXPECT_EQ("api.bad_json", parse_load_files("{\"a\xff\":1}").error().reason);
}

TEST(LoadRequest, FilesInProtobuf) {
  const auto parameter = [](std::string_view name, std::uint32_t kind, std::string_view value) {
    ProtoWriter choice, entry;
    choice.bytes(kind, value);
    entry.text(1, name);
    entry.message(2, choice);
    return entry;
  };
  ProtoWriter message;
  message.text(2, "m");
  message.message(3, parameter("config", 3, "{}"));
  message.message(3, parameter("file:1/model.onnx", 4, std::string_view("a\0b", 3)));
  const auto bytes = message.take();
  const auto ask = parse_grpc_load(bytes, true);
  ASSERT_TRUE(ask) << ask.error().message;
  EXPECT_EQ("m", ask->model);
  ASSERT_EQ(1u, ask->files.size());
  EXPECT_EQ("1/model.onnx", ask->files[0].path);
  EXPECT_EQ(std::string("a\0b", 3), ask->files[0].bytes);
  EXPECT_TRUE(parse_grpc_load(bytes, false)->files.empty());
  ProtoWriter text;
  text.message(3, parameter("file:1/model.onnx", 3, "as text"));
  EXPECT_EQ("v2.bad_file", parse_grpc_load(text.take(), true).error().reason);
}

}  // namespace
}  // namespace millrace::api::v2
