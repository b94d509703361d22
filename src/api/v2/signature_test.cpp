#include "api/v2/signature.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <format>

#include "api/v2/render.hpp"
#include "model/testing/models.hpp"

namespace millrace::api::v2 {
namespace {

Tensor column(std::string name, Datatype type, std::vector<table::Value> elements) {
  const auto rows = static_cast<std::int64_t>(elements.size());
  return {std::move(name), type, {rows}, std::move(elements)};
}
table::Value text(const char* value) { return std::string(value); }
constexpr std::int64_t one = 1;

model::Manifest sample() { return model::testing::sample_manifest(model::TaskType::binary); }

// All columns are numbers: a (float64), n (int64), b (boolean).
model::Manifest numbers() {
  auto manifest = sample();
  manifest.inputs.resize(3);
  manifest.inputs[0] = {.name = "a", .type = table::Type::float64, .encoding = model::Encoding::number};
  manifest.inputs[1] = {.name = "n", .type = table::Type::int64, .encoding = model::Encoding::number};
  manifest.inputs[2] = {.name = "b", .type = table::Type::boolean, .encoding = model::Encoding::boolean};
  return manifest;
}

std::string reason(const model::Manifest& manifest, std::vector<Tensor> inputs) {
  const auto rows = rows_of(manifest, std::move(inputs));
  return rows ? "" : rows.error().reason;
}

TEST(Signature, AColumnEach) {
  auto got = rows_of(
      sample(),
      {column("age", Datatype::int32, {one, std::int64_t{2}}), column("income", Datatype::fp32, {0.5, table::Value()}),
       column("member", Datatype::boolean, {true, false}), column("city", Datatype::bytes, {text("Lima"), text("")}),
       column("joined", Datatype::bytes, {text("2026-11-20"), table::Value()}),
       column("customer", Datatype::int64, {std::int64_t{17}, std::int64_t{18}}),
       column("note", Datatype::bytes, {text("x"), text("y")})});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ((std::vector<std::string>{"17", "18"}), got->keys);
  const auto inputs = model::testing::sample_inputs();
  model::Problem problem;
  const model::RowParser parser(sample());
  const auto same = parser.parse_json(R"([
    {"age":1,"income":0.5,"member":true,"city":"Lima","joined":"2026-11-20","customer":17,"note":"x"},
    {"age":2,"income":null,"member":false,"city":"","joined":null,"customer":18,"note":"y"}])",
                                      {}, &problem);
  ASSERT_TRUE(same) << same.error().message;
  EXPECT_EQ(same->rows, got->rows);
  EXPECT_EQ(same->keys, got->keys);
}

TEST(Signature, Refusals) {
  const auto age = column("age", Datatype::int64, {one});
  struct Case {
    std::string reason;
    std::vector<Tensor> inputs;
  };
  Case cases[] = {
      {"", {age}},
      {"v2.unknown_input", {column("ages", Datatype::int64, {one})}},
      {"v2.unknown_input", {column("input-0", Datatype::int64, {one})}},  // not all columns are numbers
      {"v2.wrong_datatype", {column("age", Datatype::bytes, {text("1")})}},
      {"v2.wrong_datatype", {column("age", Datatype::boolean, {true})}},
      {"v2.wrong_datatype", {column("city", Datatype::int64, {one})}},
      {"v2.wrong_datatype", {column("joined", Datatype::fp64, {0.5})}},
      {"v2.bad_data", {column("joined", Datatype::bytes, {text("yesterday")})}},
      {"v2.bad_data", {column("joined", Datatype::bytes, {text("")})}},
      {"v2.bad_data", {column("age", Datatype::fp64, {1.5})}},
      {"v2.bad_data", {column("age", Datatype::uint64, {1.8e19})}},
      {"v2.bad_data", {column("member", Datatype::int8, {std::int64_t{2}})}},
      {"", {column("member", Datatype::fp32, {1.0})}},
      {"v2.bad_shape", {age, column("income", Datatype::fp64, {1.0, 2.0})}},
      {"v2.bad_shape", {Tensor{"age", Datatype::int64, {1, 2}, {one, one}}}},
      {"v2.missing_input", {column("note", Datatype::bytes, {text("x")})}},
  };
  auto free = sample();
  for (auto& input : free.inputs) input.required = false;
  for (auto& c : cases)
    EXPECT_EQ(c.reason, reason(free, c.inputs)) << c.inputs[0].name << datatype_name(c.inputs[0].datatype);
  auto needs = free;
  needs.inputs[1].required = true;
  EXPECT_EQ("v2.missing_input", reason(needs, {age}));
}

TEST(Signature, AMatrix) {
  ASSERT_TRUE(takes_matrix(numbers()));
  EXPECT_FALSE(takes_matrix(sample()));
  const Tensor matrix{"input-0", Datatype::fp64, {2, 3}, {0.5, 7.0, 1.0, 1.5, table::Value(), 0.0}};
  auto got = rows_of(numbers(), {matrix, column("customer", Datatype::bytes, {text("k"), text("l")})});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ((table::Row{0.5, std::int64_t{7}, true}), got->rows[0]);
  EXPECT_EQ((table::Row{1.5, table::Value(), false}), got->rows[1]);
  EXPECT_EQ("l", got->keys[1]);
  auto narrow = matrix;
  narrow.shape = {3, 2};
  EXPECT_EQ("v2.bad_shape", reason(numbers(), {narrow}));
  EXPECT_EQ("v2.bad_shape", reason(numbers(), {matrix, column("a", Datatype::fp64, {1.0, 2.0})})) << "twice";
  auto half = matrix;
  half.elements[1] = 7.5;
  EXPECT_EQ("v2.bad_data", reason(numbers(), {half}));
}

TEST(Signature, AnInputThatIsTheKey) {
  auto manifest = numbers();
  manifest.key = "n";
  const auto alone = rows_of(manifest, {column("n", Datatype::int64, {std::int64_t{7}, table::Value()})});
  ASSERT_TRUE(alone) << alone.error().message;
  EXPECT_EQ((std::vector<std::string>{"7", ""}), alone->keys);
  EXPECT_EQ(table::Value(std::int64_t{7}), alone->rows[0][1]);
  const auto matrix = rows_of(manifest, {Tensor{"input-0", Datatype::int64, {1, 3}, {one, std::int64_t{9}, one}}});
  ASSERT_TRUE(matrix) << matrix.error().message;
  EXPECT_EQ(std::vector<std::string>{"9"}, matrix->keys);
}

TEST(Signature, Outputs) {
  const WantedOutput some[] = {{"probability"}, {"prediction_id"}};
  EXPECT_TRUE(check_outputs(sample(), some));
  const WantedOutput unknown[] = {{"probabilty"}};
  EXPECT_EQ("v2.unknown_output", check_outputs(sample(), unknown).error().reason);
  const WantedOutput twice[] = {{"prediction"}, {"prediction"}};
  EXPECT_EQ("v2.unknown_output", check_outputs(sample(), twice).error().reason);
  EXPECT_FALSE(check_outputs(model::testing::sample_manifest(model::TaskType::regression), some));
}

serve::Answered answered() {
  serve::Answered out;
  out.answers = {{.score = 0.25, .decision = 0, .label = "no"}, {.score = 0.75, .decision = 1, .label = "y\"es"}};
  out.ids.resize(2);
  return out;
}

TEST(Render, Json) {
  const auto id = Id{}.text();
  auto got = render_infer("churn", 3, sample(), {.id = "q\n1"}, answered());
  EXPECT_EQ(R"({"model_name":"churn","model_version":"3","id":"q\u000a1","parameters":{"prediction_ids":")" + id + "," +
                id +
                R"("},"outputs":[{"name":"prediction","datatype":"BYTES","shape":[2],"data":["no","y\"es"]},)"
                R"({"name":"probability","datatype":"FP64","shape":[2],"data":[0.75,0.75]},)"
                R"({"name":"probabilities","datatype":"FP64","shape":[2,2],"data":[0.75,0.25,0.25,0.75]}]})",
            got.body);
  EXPECT_EQ(got.body.size(), got.json_bytes);
}

TEST(Render, BinaryWhereAskedFor) {
  auto some = answered();
  some.unlogged = {false, true};
  const auto got = render_infer("churn", 3, sample(),
                                {.outputs = {{"prediction", true}, {"prediction_id"}, {"probability", true}}}, some);
  const auto json = got.body.substr(0, got.json_bytes);
  EXPECT_NE(json.npos, json.find(R"("logged":false},"outputs":[{"name":"prediction","datatype":"BYTES","shape":[2],)"
                                 R"("parameters":{"binary_data_size":14}},{"name":"prediction_id")"))
      << json;
  EXPECT_NE(json.npos, json.find(R"("shape":[2],"parameters":{"binary_data_size":16}}]})")) << json;
  EXPECT_EQ(std::string("\2\0\0\0no\5\0\0\0y\"es", 15).substr(0, 6), got.body.substr(got.json_bytes, 6));
  EXPECT_EQ(30u, got.body.size() - got.json_bytes);
}

TEST(Render, Metadata) {
  const std::int64_t versions[] = {2, 3};
  const auto text = render_model("churn", numbers(), versions);
  EXPECT_EQ(0u, text.find(R"({"name":"churn","versions":["2","3"],"platform":"millrace_)")) << text;
  EXPECT_NE(text.npos, text.find(R"({"name":"n","datatype":"INT64","shape":[-1],"parameters":{"optional":true}})"))
      << text;
  EXPECT_NE(text.npos, text.find(R"("parameters":{"matrix_input":"input-0","matrix_columns":3,"key_input":"customer",)"
                                 R"("class.0":"no","class.1":"yes"})"))
      << text;
}

TEST(Render, Index) {
  serve::Predictor::ModelState churn{.name = "churn", .error = "churn:4 can't be loaded: \"x\""};
  churn.versions.resize(2);
  churn.versions[0].version = 3;
  churn.versions[0].loaded = true;
  churn.versions[1].version = 4;
  churn.versions[1].error = churn.error;
  const serve::Predictor::ModelState all[] = {churn, {.name = "fare"}};
  EXPECT_EQ(R"([{"name":"churn","version":"3","state":"READY","reason":""},)"
            R"({"name":"churn","version":"4","state":"UNAVAILABLE","reason":"churn:4 can't be loaded: \"x\""},)"
            R"({"name":"fare","version":"","state":"UNAVAILABLE","reason":"no version is to be served yet"}])",
            render_index(index_of(all, false)));
  EXPECT_EQ(R"([{"name":"churn","version":"3","state":"READY","reason":""}])", render_index(index_of(all, true)));
}

TEST(Signature, ABareModelHasOneMatrixInAndOneOut) {
  model::Manifest bare;
  bare.inputs = {{"f0"}, {"f1"}};
  bare.task = model::TaskType::regression;
  bare.bare_outputs = 3;
  ASSERT_EQ(1u, inputs_of(bare).size());
  EXPECT_EQ("input-0", inputs_of(bare)[0].name);
  EXPECT_EQ(Datatype::fp32, inputs_of(bare)[0].datatype);
  EXPECT_EQ((std::vector<std::int64_t>{-1, 2}), inputs_of(bare)[0].shape);
  ASSERT_EQ(1u, outputs_of(bare).size());
  EXPECT_EQ("predict", outputs_of(bare)[0].name);
  EXPECT_EQ(Datatype::fp32, outputs_of(bare)[0].datatype);
  EXPECT_EQ((std::vector<std::int64_t>{-1, 3}), outputs_of(bare)[0].shape);
  serve::Answered answered;
  model::Answer answer;
  answer.probabilities = {static_cast<double>(0.1f), 0.5, 2};
  answered.answers = {answer};
  answered.ids.resize(1);
  const auto text = render_infer("m", 1, bare, {}, answered).body;
  EXPECT_NE(std::string::npos, text.find(R"({"name":"predict","datatype":"FP32","shape":[1,3],"data":[0.1,0.5,2]})"))
      << text;
  const auto binary = render_infer("m", 1, bare, {.binary_outputs = true}, answered);
  EXPECT_EQ(12u, binary.body.size() - binary.json_bytes);
}

TEST(Signature, ABareModelsMatrixStaysAsItIs) {
  model::Manifest bare;
  bare.inputs = {{.name = "f0", .type = table::Type::float64}, {.name = "f1", .type = table::Type::float64}};
  bare.task = model::TaskType::regression;
  bare.bare_outputs = 1;
  const auto asked = [&](std::string_view name, std::string_view datatype, std::string_view shape,
                         std::string_view data, std::string_view more = "") {
    return *parse_infer(std::format(R"({{"inputs":[{{"name":"{}","datatype":"{}","shape":{},"data":{},)"
                                    R"("parameters":{{"null_is_missing":true}}}}]{}}})",
                                    name, datatype, shape, data, more),
                        std::nullopt, limits_of(bare));
  };
  auto request = asked("input-0", "FP32", "[2,2]", "[[1.5,null],[3,0.1]]");
  const auto matrix = matrix_of(bare, request);
  ASSERT_TRUE(matrix);
  EXPECT_EQ(2u, matrix->rows);
  ASSERT_EQ(4u, matrix->features.size());
  const auto rows = rows_of(bare, std::move(request.inputs));
  ASSERT_TRUE(rows) << rows.error().message;
  for (std::size_t i = 0; i < 4; ++i) {
    const auto& value = rows->rows[i / 2][i % 2];
    EXPECT_EQ(table::is_null(value), std::isnan(matrix->features[i])) << i;
    if (!table::is_null(value)) EXPECT_EQ(std::get<double>(value), static_cast<double>(matrix->features[i])) << i;
  }
  // As bytes, wherever they begin.
  const std::string json =
      R"({"inputs":[{"name":"input-0","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]})";
  for (const auto* const padding : {"", " ", "  "}) {
    const auto head = padding + json;
    const auto body = head + std::string("\0\0\x80\x3f\0\0\0\xc0", 8);
    const auto binary = parse_infer(body, head.size(), limits_of(bare));
    ASSERT_TRUE(binary) << binary.error().message;
    EXPECT_EQ((std::vector<float>{1, -2}), matrix_of(bare, *binary)->features);
  }
  // Everything else goes by rows: other names and datatypes, the id as an output, what rows refuse.
  EXPECT_FALSE(matrix_of(bare, asked("f0", "FP32", "[1]", "[1]")));
  EXPECT_FALSE(matrix_of(bare, asked("input-0", "FP64", "[1,2]", "[1,2]")));
  EXPECT_FALSE(matrix_of(bare, asked("input-0", "FP32", "[1,2]", "[1,2]", R"(,"outputs":[{"name":"prediction_id"}])")));
  EXPECT_TRUE(matrix_of(bare, asked("input-0", "FP32", "[1,2]", "[1,2]", R"(,"outputs":[{"name":"predict"}])")));
  auto infinite = asked("input-0", "FP32", "[1,2]", "[1,Infinity]");
  EXPECT_FALSE(matrix_of(bare, infinite));
  const auto refused = rows_of(bare, std::move(infinite.inputs));
  ASSERT_FALSE(refused);
  EXPECT_EQ("input 'input-0': element 1 is infinite; send NaN for a missing number", refused.error().message);
  auto rows_model = numbers();
  EXPECT_FALSE(matrix_of(rows_model, asked("input-0", "FP32", "[1,2]", "[1,2]")));
}

}  // namespace
}  // namespace millrace::api::v2
