// Requests and answers of models that take tensors, in each form that the protocol has.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "api/mlflow/tensors.hpp"
#include "api/protobuf_internal.hpp"
#include "api/v2/grpc_render.hpp"
#include "api/v2/grpc_request.hpp"
#include "api/v2/render.hpp"
#include "api/v2/signature.hpp"

namespace millrace::api::v2 {
namespace {

using model::TensorAnswer;

model::Manifest described() {
  model::Manifest m;
  m.engine.name = "onnx";
  m.tensors.inputs = {{.name = "x", .datatype = Datatype::fp32, .shape = {-1, 2}},
                      {.name = "who", .datatype = Datatype::bytes, .shape = {-1}},
                      {.name = "sr", .datatype = Datatype::int64, .shape = {}}};
  m.tensors.outputs = {{.name = "label", .datatype = Datatype::bytes, .shape = {-1}},
                       {.name = "p", .datatype = Datatype::fp32, .shape = {-1, 2}, .labels = {"cat", "dog"}}};
  return m;
}

std::vector<float> floats(std::string_view bytes) {
  std::vector<float> out(bytes.size() / sizeof(float));
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

const char* const kBody =
    R"({"id":"q","inputs":[{"name":"sr","datatype":"INT64","shape":[],"data":[9007199254740993]},
    {"name":"x","datatype":"FP32","shape":[2,2],"data":[[1,NaN],[-Infinity,0.1]]},
    {"name":"who","datatype":"BYTES","shape":[2],"data":["a","\u00fc"]}],"outputs":[{"name":"p"}]})";

TEST(Tensors, OutOfJsonAsTheEngineWantsThem) {
  const auto manifest = described();
  const auto got = parse_infer(kBody, std::nullopt, limits_of(manifest));
  ASSERT_TRUE(got) << got.error().message;
  ASSERT_TRUE(check_outputs(manifest, got->outputs));
  const auto asked = tensors_asked(manifest, *got);
  ASSERT_TRUE(asked) << asked.error().message;
  EXPECT_EQ(std::vector<std::size_t>{1}, asked->outputs);
  ASSERT_EQ(3u, asked->inputs.size());
  const auto x = floats(asked->inputs[0].bytes);
  EXPECT_EQ(1, x[0]);
  EXPECT_TRUE(std::isnan(x[1]));
  EXPECT_TRUE(std::isinf(x[2]) && x[2] < 0);
  EXPECT_EQ(0.1f, x[3]);
  EXPECT_EQ("\xc3\xbc", asked->inputs[1].texts[1]);
  std::int64_t sr = 0;
  std::memcpy(&sr, asked->inputs[2].bytes.data(), 8);
  EXPECT_EQ(9007199254740993, sr) << "more than a double holds";
}

TEST(Tensors, BinaryOnesAreViewsOfTheBody) {
  const auto manifest = described();
  std::string body = R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}},)"
                     R"({"name":"who","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":6}},)"
                     R"({"name":"sr","datatype":"INT64","shape":[],"parameters":{"binary_data_size":8}}]})";
  const auto json = body.size();
  const float numbers[] = {3, 4};
  body.append(reinterpret_cast<const char*>(numbers), 8);
  body.append("\2\0\0\0\xff\0", 6);
  body.append(8, '\0');
  const auto got = parse_infer(body, json, limits_of(manifest));
  ASSERT_TRUE(got) << got.error().message;
  const auto asked = tensors_asked(manifest, *got);
  ASSERT_TRUE(asked) << asked.error().message;
  EXPECT_EQ(body.data() + json, asked->inputs[0].bytes.data());
  EXPECT_EQ(std::string_view("\xff\0", 2), asked->inputs[1].texts[0]) << "any bytes";
}

TEST(Tensors, MistakesAreNamed) {
  const auto manifest = described();
  struct Case {
    const char* inputs;
    const char* reason;
  };
  const Case cases[] = {
      {R"({"name":"x","datatype":"FP32","shape":[1,2],"data":[1]})", "v2.bad_data"},
      {R"({"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2,3]})", "v2.bad_data"},
      {R"({"name":"x","datatype":"FP32","shape":[1,2],"data":[1,null]})", "v2.bad_data"},
      {R"({"name":"x","datatype":"FP32","shape":[1,2],"data":[1,1e39]})", "v2.bad_data"},
      {R"({"name":"x","datatype":"FP32","shape":[1,2],"data":[1,"2"]})", "v2.bad_data"},
      {R"({"name":"x","datatype":"INT8","shape":[1,2],"data":[1,128]})", "v2.bad_data"},
      {R"({"name":"x","datatype":"UINT64","shape":[1],"data":[-1]})", "v2.bad_data"},
      {R"({"name":"x","datatype":"BOOL","shape":[1],"data":[1]})", "v2.bad_data"},
      {R"({"name":"x","datatype":"FP32","shape":[1,-1],"data":[1]})", "v2.bad_shape"},
      {R"({"name":"x","datatype":"FP32","shape":[1099511627776,1099511627776],"data":[1]})", "v2.bad_shape"},
      {R"({"name":"x","datatype":"FP32","shape":[0,1099511627776,1099511627776],"data":[]})", "v2.bad_shape"},
      {R"({"name":"x","datatype":"FP32","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data":[1]})", "v2.bad_shape"},
      {R"({"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]})", "model.missing_input"},
      {R"({"name":"y","datatype":"FP32","shape":[1,2],"data":[1,2]})", "model.unknown_input"},
      {R"({"name":"x","datatype":"FP64","shape":[1,2],"data":[1,2]})", "model.wrong_datatype"},
      {R"({"name":"x","datatype":"FP32","shape":[2],"data":[1,2]})", "model.wrong_shape"},
  };
  for (const auto& each : cases) {
    const auto body = std::string(R"({"inputs":[)") + each.inputs + "]}";
    const auto got = parse_infer(body, std::nullopt, limits_of(manifest));
    if (!got) {
      EXPECT_EQ(each.reason, got.error().reason) << each.inputs << got.error().message;
      continue;
    }
    const auto asked = tensors_asked(manifest, *got);
    ASSERT_FALSE(asked) << each.inputs;
    EXPECT_EQ(each.reason, asked.error().reason) << each.inputs;
    EXPECT_EQ(Code::invalid_argument, asked.error().code);
  }
  EXPECT_FALSE(check_outputs(manifest, std::vector<WantedOutput>{{"prediction_id"}})) << "of rows alone";
}

struct Answers {
  float numbers[4] = {0.25f, 0.75f, 1, std::nanf("")};
  serve::AnsweredTensors both;
  Answers() {
    both.answer.outputs.push_back({.shape = {2}, .bytes = {}, .texts = {"cat", "dog"}});
    both.answer.outputs.push_back(
        {.shape = {2, 2}, .bytes = {reinterpret_cast<const char*>(numbers), sizeof numbers}, .texts = {}});
  }
};

TEST(Tensors, AreAnsweredInJsonAndBinary) {
  const auto manifest = described();
  Answers answers;
  InferRequest request{.id = "q"};
  const std::size_t all[] = {0, 1};
  auto text = render_tensors("m", 3, manifest.tensors.outputs, request, all, answers.both);
  ASSERT_TRUE(text);
  EXPECT_EQ(text->json_bytes, text->body.size());
  EXPECT_NE(std::string::npos,
            text->body.find(R"("name":"label","datatype":"BYTES","shape":[2],"data":["cat","dog"])"));
  EXPECT_NE(std::string::npos,
            text->body.find(R"("name":"p","datatype":"FP32","shape":[2,2],"data":[0.25,0.75,1,null])"));
  EXPECT_NE(std::string::npos, text->body.find(R"("prediction_id":")"));
  request.outputs = {{"label", true}, {"p", true}};
  text = render_tensors("m", 3, manifest.tensors.outputs, request, all, answers.both);
  ASSERT_TRUE(text);
  EXPECT_EQ(14u + 16u, text->body.size() - text->json_bytes);
  EXPECT_EQ(0, std::memcmp(text->body.data() + text->json_bytes + 14, answers.numbers, 16));
  EXPECT_NE(std::string::npos, text->body.find(R"("binary_data_size":14)"));
  answers.both.answer.outputs[0].texts[1] = "\xff";
  EXPECT_TRUE(render_tensors("m", 3, manifest.tensors.outputs, request, all, answers.both));
  request.outputs[0].binary = false;
  EXPECT_EQ("v2.not_text", render_tensors("m", 3, manifest.tensors.outputs, request, all, answers.both).error().reason);
  EXPECT_NE(std::string::npos, render_model("m", manifest, std::vector<std::int64_t>{3})
                                   .find(R"("shape":[-1,2],"parameters":{"class.0":"cat","class.1":"dog"}})"));
}

std::vector<std::string> fields_of(std::string_view message, std::uint32_t number) {
  std::vector<std::string> out;
  EXPECT_TRUE(each_field(message, [&](const ProtoField& field) -> Result<void> {
    if (field.is_bytes(number)) out.emplace_back(field.bytes);
    return {};
  }));
  return out;
}

TEST(Tensors, GoOverGrpcRawAndTyped) {
  auto manifest = described();
  Answers answers;
  const std::size_t all[] = {0, 1};
  const auto raw = grpc_infer_tensors("m", 3, manifest.tensors.outputs, {}, true, all, answers.both, false);
  ASSERT_EQ(2u, fields_of(raw, 6).size());
  EXPECT_EQ(std::string("\3\0\0\0cat\3\0\0\0dog", 14), fields_of(raw, 6)[0]);
  EXPECT_EQ(16u, fields_of(raw, 6)[1].size());
  const auto typed = grpc_infer_tensors("m", 3, manifest.tensors.outputs, {}, false, all, answers.both, true);
  EXPECT_TRUE(fields_of(typed, 6).empty());
  const auto tensors = fields_of(typed, 5);
  ASSERT_EQ(2u, tensors.size());
  EXPECT_EQ((std::vector<std::string>{"cat", "dog"}), fields_of(fields_of(tensors[0], 5)[0], 8));
  EXPECT_EQ(0, std::memcmp(fields_of(fields_of(tensors[1], 5)[0], 6)[0].data(), answers.numbers, 16));
  manifest.tensors.outputs[1].datatype = Datatype::fp16;
  answers.both.answer.outputs[1].bytes = answers.both.answer.outputs[1].bytes.substr(0, 8);
  EXPECT_EQ(
      2u,
      fields_of(grpc_infer_tensors("m", 3, manifest.tensors.outputs, {}, false, all, answers.both, false), 6).size())
      << "FP16 has no typed form";

  // A request without a shape has no axes; typed contents become what the engine wants.
  ProtoWriter sr, contents, message;
  contents.packed(3, std::vector<std::int64_t>{16000});
  sr.text(1, "sr");
  sr.text(2, "INT64");
  sr.message(5, contents);
  message.text(1, "m");
  message.message(5, sr);
  const auto bytes = message.take();
  const auto got = parse_grpc_infer(bytes, limits_of(manifest));
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_TRUE(got->request.inputs[0].shape.empty());
  std::int64_t value = 0;
  std::memcpy(&value, got->request.inputs[0].bytes.data(), 8);
  EXPECT_EQ(16000, value);
}

TEST(Tensors, ComeInMlflowsForms) {
  const auto signature = described().tensors;
  const auto shapes = [&](std::string_view body) {
    const auto tensors = mlflow::tensors_of(body, signature);
    if (!tensors) return tensors.error().reason;
    if (!*tensors) return std::string("rows");
    std::string out;
    for (const auto& tensor : **tensors) out += tensor.name + model::shape_text(tensor.shape);
    return out;
  };
  EXPECT_EQ("x[2,2]who[2]sr[]", shapes(R"({"inputs":{"x":[[1,2],[3,4]],"who":["a","b"],"sr":5}})"));
  EXPECT_EQ("x[2,2]who[2]", shapes(R"({"instances":[{"x":[1,2],"who":"a"},{"who":"b","x":[3,4]}]})"));
  EXPECT_EQ("rows", shapes(R"({"dataframe_split":{"columns":["x"],"data":[[1]]}})"));
  EXPECT_EQ("mlflow.bad_form", shapes(R"({"inputs":[[1,2]]})")) << "which input?";
  EXPECT_EQ("mlflow.bad_form", shapes(R"({"instances":[{"x":[1,2],"who":"a"},{"x":[3,4]}]})"));
  EXPECT_EQ("mlflow.bad_form", shapes(R"({"inputs":[],"instances":[]})"));
  EXPECT_EQ("model.unknown_input", shapes(R"({"inputs":{"y":[1]}})"));
  EXPECT_EQ("v2.bad_data", shapes(R"({"inputs":{"x":[[1,2],[3]]}})"));
  EXPECT_EQ("v2.bad_data", shapes(R"({"inputs":{"x":[[1,"2"]]}})"));
  EXPECT_EQ("api.bad_json", shapes("{"));
  model::TensorSignature column{.inputs = {{.name = "x", .datatype = Datatype::fp32, .shape = {-1, 1}}}, .outputs = {}};
  const auto flat = mlflow::tensors_of(R"({"instances":[1,2,3]})", column);
  ASSERT_TRUE(flat && *flat);
  EXPECT_EQ((std::vector<std::int64_t>{3, 1}), (**flat)[0].shape) << "a column's last axis";
  Answers answers;
  const auto whole = mlflow::render_tensors(signature, answers.both, "m:1");
  ASSERT_TRUE(whole);
  EXPECT_EQ(0u, whole->find(R"({"predictions":{"label":["cat","dog"],"p":[[0.25,0.75],[1,null]]},"id":")")) << *whole;
}

}  // namespace
}  // namespace millrace::api::v2
