#include "api/v2/infer_request.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace millrace::api::v2 {
namespace {

constexpr InferLimits kLimits{.rows_max = 100, .columns_max = 3, .inputs_max = 3};

TEST(InferRequest, Whole) {
  const auto got =
      parse_infer(R"({"id":"q1","parameters":{"binary_data_output":true,"missing_text":"","else":{"a":[1]}},
    "inputs":[{"data":["x",""],"name":"c","datatype":"BYTES","shape":[2,1],"more":null},
              {"name":"a","shape":[2],"datatype":"FP32","parameters":{"null_is_missing":true},"data":[null,0.5]}],
    "outputs":[{"name":"prediction"},{"name":"probability","parameters":{"binary_data":false}}],"unknown":[{}]} )",
                  std::nullopt, kLimits);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ("q1", got->id);
  ASSERT_EQ(2u, got->inputs.size());
  EXPECT_EQ("x", std::get<std::string>(got->inputs[0].elements[0]));
  EXPECT_TRUE(table::is_null(got->inputs[0].elements[1]));
  EXPECT_TRUE(table::is_null(got->inputs[1].elements[0]));
  EXPECT_EQ(0.5, std::get<double>(got->inputs[1].elements[1]));
  EXPECT_TRUE(got->binary_outputs);
  ASSERT_EQ(2u, got->outputs.size());
  EXPECT_TRUE(got->outputs[0].binary);
  EXPECT_FALSE(got->outputs[1].binary);
}

TEST(InferRequest, BinaryTensorsInTheirOrder) {
  const std::string json = R"({"inputs":[{"name":"a","shape":[2],"datatype":"INT8","parameters":{"binary_data_size":2}},
    {"name":"j","shape":[2],"datatype":"INT8","data":[5,6]},
    {"name":"b","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":9}}]})";
  const std::string binary("\1\2\1\0\0\0z\0\0\0\0", 11);
  const auto got = parse_infer(json + binary, json.size(), kLimits);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(2, std::get<std::int64_t>(got->inputs[0].elements[1]));
  EXPECT_EQ("z", std::get<std::string>(got->inputs[2].elements[0]));
  EXPECT_EQ("v2.bad_data", parse_infer(json + binary + "!", json.size(), kLimits).error().reason);
  EXPECT_EQ("v2.bad_data", parse_infer(json + binary.substr(1), json.size(), kLimits).error().reason);
  EXPECT_EQ("api.bad_json", parse_infer(json + binary, json.size() + 1, kLimits).error().reason);
  EXPECT_EQ("api.bad_json", parse_infer(json + binary, json.size() - 1, kLimits).error().reason);
  EXPECT_EQ("api.bad_json", parse_infer(json + binary, 0, kLimits).error().reason);
  EXPECT_EQ("api.bad_json", parse_infer(json + binary, std::nullopt, kLimits).error().reason);
  EXPECT_EQ("v2.bad_request", parse_infer(json + binary, 100'000, kLimits).error().reason);
}

TEST(InferRequest, Refusals) {
  struct Case {
    std::string reason, body;
  };
  const auto input = [](std::string rest) { return R"({"inputs":[{"name":"a",)" + rest + "}]}"; };
  const std::string good = R"("datatype":"FP64","shape":[1],"data":[1])";
  const Case cases[] = {
      {"", input(good)},
      {"api.bad_json", ""},
      {"api.bad_json", "nonsense"},
      {"api.bad_json", "[]"},
      {"api.bad_json", "{\"inputs\":[}"},
      {"api.bad_json", input(good) + "x"},
      {"api.bad_json", "{\"inputs\":\xFF}"},
      {"api.bad_json", "{\"x\":" + std::string(1000, '[') + std::string(1000, ']') + "}"},
      {"api.bad_json", "{\"inputs\":{}}"},
      {"api.bad_json", "{\"inputs\":[1]}"},
      {"api.bad_json", R"({"id":7})"},
      {"v2.bad_request", "{}"},
      {"v2.bad_request", "{\"inputs\":[]}"},
      {"v2.bad_request", "{\"inputs\":[{}]}"},
      {"v2.bad_request", input(R"("shape":[1],"data":[1])")},
      {"v2.bad_request", input(R"("datatype":"FP64","data":[1])")},
      {"v2.bad_data", input(R"("datatype":"FP64","shape":[1])")},
      {"api.bad_json", input(R"("datatype":"FP64","shape":[1],"data":null)")},
      {"api.bad_json", input(R"("datatype":"FP64","shape":[1],"data":1)")},
      {"v2.bad_data", input(R"("datatype":"FP64","shape":[1],"data":[null])")},
      {"v2.bad_datatype", input(R"("datatype":"FP8","shape":[1],"data":[1])")},
      {"v2.bad_shape", input(R"("datatype":"FP64","shape":[-1],"data":[1])")},
      {"v2.bad_shape", input(R"("datatype":"FP64","shape":[1.5],"data":[1])")},
      {"v2.bad_shape", input(R"("datatype":"FP64","shape":[],"data":[])")},
      {"v2.bad_shape", input(R"("datatype":"FP64","shape":[1,1,1],"data":[1])")},
      {"v2.bad_shape", input(R"("datatype":"FP64","shape":[1,0],"data":[])")},
      {"v2.bad_shape", input(R"("datatype":"FP64","shape":[1,4],"data":[1,2,3,4])")},
      {"v2.bad_shape", input(R"("datatype":"FP64","shape":[1,99999999999999999999],"data":[1])")},
      {"api.bad_json", input(R"("datatype":"FP64","shape":["1"],"data":[1])")},
      {"v2.no_rows", input(R"("datatype":"FP64","shape":[0],"data":[])")},
      {"v2.too_many_rows", input(R"("datatype":"FP64","shape":[101],"data":[1])")},
      {"v2.bad_data", input(good + R"(,"parameters":{"binary_data_size":0})")},
      {"v2.bad_data", input(R"("datatype":"FP64","shape":[1],"parameters":{"binary_data_size":-8})")},
      {"v2.bad_request", input(R"("datatype":"FP64","shape":[1],"parameters":{"binary_data_size":"8"})")},
      {"v2.not_offered", input(R"("datatype":"FP64","shape":[1],"parameters":{"shared_memory_region":"r"})")},
      {"v2.bad_request", R"({"inputs":[{"name":"a",)" + good + R"(},{"name":"a",)" + good + "}]}"},
      {"v2.too_many_inputs", R"({"inputs":[{"name":"a"},{"name":"b"},{"name":"c"},{"name":"d"}]})"},
      {"v2.bad_request", R"({"parameters":{"binary_data_output":1},"inputs":[{"name":"a",)" + good + "}]}"},
      {"v2.not_offered",
       R"({"outputs":[{"name":"p","parameters":{"classification":2}}],"inputs":[{"name":"a",)" + good + "}]}"},
  };
  std::string many = R"({"parameters":{"p":1)";
  for (int i = 0; i < 200; ++i) many += ",\"" + std::to_string(i) + "\":1";
  EXPECT_EQ("v2.bad_request", parse_infer(many + "}}", std::nullopt, kLimits).error().reason);
  for (const auto& c : cases) {
    const auto got = parse_infer(c.body, std::nullopt, kLimits);
    EXPECT_EQ(c.reason, got ? "" : got.error().reason) << c.body << "\n" << (got ? "" : got.error().message);
    EXPECT_TRUE(got || got.error().code == Code::invalid_argument) << c.body;
  }
}

// Whatever is cut off or changed, the answer is a refusal or a request, never a crash: run under ASan.
TEST(InferRequest, CutAndChanged) {
  const std::string json =
      R"({"id":"\u00e5","inputs":[{"name":"a","shape":[2,1],"datatype":"FP64","data":[[1e2],[NaN]]},)"
      R"({"name":"b","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":5}}]})";
  const std::string body = json + std::string("\1\0\0\0z", 5);
  ASSERT_TRUE(parse_infer(body, json.size(), kLimits));
  for (std::size_t i = 0; i < body.size(); ++i) {
    const std::string cut(body.data(), i);  // of its own, so that a byte too far is seen
    EXPECT_FALSE(parse_infer(cut, std::min(i, json.size()), kLimits)) << i;
    for (const char c : {'\0', '"', '[', '}', '9', '\\', '\xFF'}) {
      auto changed = body;
      changed[i] = c;
      (void)parse_infer(changed, json.size(), kLimits);
    }
  }
}

}  // namespace
}  // namespace millrace::api::v2
