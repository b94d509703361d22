#include "api/mlflow/scoring.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/testing/models.hpp"

namespace millrace::api::mlflow {
namespace {

// Inputs a (a number) and c (text); `note` may be carried along, `who` is the key.
model::Manifest small() {
  auto manifest = model::testing::sample_manifest(model::TaskType::binary);
  manifest.inputs.resize(2);
  manifest.inputs[0] = {.name = "a", .type = table::Type::float64, .encoding = model::Encoding::number};
  manifest.inputs[1] = {.name = "c\"", .type = table::Type::boolean, .encoding = model::Encoding::boolean};
  manifest.key = "who";
  manifest.ignored = {"note"};
  return manifest;
}

std::string rows(std::string_view body) {
  const auto got = rows_of(body, small(), {.rows_max = 3});
  return got ? *got : got.error().reason;
}

TEST(Scoring, FourFormsOfTheSameRows) {
  const std::string same = R"([{"a":1.50,"c\"":true},{"a":null,"c\"":false}])";
  for (const std::string body : {
           R"({"dataframe_split": {"index":[0,1], "data":[[1.50,true],[NaN,false]], "columns":["a","c\""]}})",
           R"({"dataframe_records": [{"a":1.50,"c\"":true},{"a":null,"c\u0022":false}]})",
           R"({"instances": [[1.50,true],[NaN,false]], "params": {}})",
           R"({"params": null, "instances": [{"a":[1.50],"c\"":true},{"a":NaN,"c\"":[false]}]})",
           R"({"inputs": {"a":[1.50,null], "c\"":[[true],[false]]}})",
           R"({"inputs": [[1.50,true],[null,false]]})",
       }) {
    EXPECT_EQ(same, rows(body)) << body;
  }
  EXPECT_EQ(R"([{"a":1,"c\"":true}])", rows(R"({"inputs": {"a":1, "c\"":true}})"));
  EXPECT_EQ(R"([{"who":"x","a":1}])", rows(R"({"dataframe_split": {"columns":["who","a"],"data":[["x",1]]}})"));
  EXPECT_EQ("[]", rows(R"({"instances": []})")) << "the parser of rows says what is wrong with it";
}

TEST(Scoring, Refusals) {
  struct Case {
    std::string reason, body;
  };
  const std::vector<Case> cases = {
      {"api.bad_json", ""},
      {"api.bad_json", "[]"},
      {"api.bad_json", R"({"instances": [[1,true]})"},
      {"api.bad_json", R"({"instances": [[1,true]]} x)"},
      {"api.bad_json", "{\"instances\": [[1,\"\xFF\"]]}"},
      {"api.bad_json", R"({"instances": 1})"},
      {"api.bad_json", R"({"instances": [[1,{}]]})"},
      {"api.bad_json", R"({"instances": [[1,[1,2]]]})"},
      {"api.bad_json", R"({"instances": [[1,[]]]})"},
      {"api.bad_json", R"({"dataframe_records": [[1,2]]})"},
      {"api.bad_json", R"({"dataframe_split": []})"},
      {"api.bad_json", R"({"dataframe_split": {"columns":[1],"data":[[1]]}})"},
      {"mlflow.bad_form", "{}"},
      {"mlflow.bad_form", R"({"rows": [[1,true]]})"},
      {"mlflow.bad_form", R"({"inputs": [[1,true]], "instances": [[1,true]]})"},
      {"mlflow.bad_form", R"({"inputs": [[1,true]], "inputs": [[1,true]]})"},
      {"mlflow.bad_form", R"({"inputs": [[1,true]], "params": {"a":1}})"},
      {"mlflow.bad_form", R"({"instances": [[1]]})"},
      {"mlflow.bad_form", R"({"instances": [[1,true,2]]})"},
      {"mlflow.bad_form", R"({"dataframe_split": {"columns":["a"],"data":[[1,2]]}})"},
      {"mlflow.bad_form", R"({"dataframe_split": {"columns":["a"]}})"},
      {"mlflow.bad_form", R"({"dataframe_split": {"data":[[1]]}})"},
      {"mlflow.bad_form", R"({"dataframe_split": {"columns":["a"],"data":[[1]],"dtype":1}})"},
      {"mlflow.bad_form", R"({"inputs": {"a":[1,2], "c":[true]}})"},
      {"mlflow.bad_form", R"({"inputs": {"a":1, "b":1, "c":1, "d":1, "e":1}})"},
      {"model.too_many_rows", R"({"inputs": {"a":[1,2,3,4]}})"},
      {"model.too_many_rows", R"({"instances": [[1,true],[1,true],[1,true],[1,true]]})"},
  };
  for (const auto& c : cases) EXPECT_EQ(c.reason, rows(c.body)) << c.body;

  const std::string long_name =
      R"({"dataframe_split": {"columns":[")" + std::string(1000, 'x') + R"("],"data":[[1],[1],[1]]}})";
  EXPECT_EQ("model.too_large", rows_of(long_name, small(), {.bytes_max = 2000}).error().reason);
}

// Whatever is cut off or changed, the answer is a refusal or rows, never a crash: run under ASan.
TEST(Scoring, CutAndChanged) {
  const std::string body =
      R"({"dataframe_split":{"columns":["a","c\u0022"],"data":[[1e2,true],[NaN,[false]]]},"params":{}})";
  for (std::size_t i = 0; i < body.size(); ++i) {
    EXPECT_FALSE(rows_of(std::string(body.data(), i), small())) << i;
    for (const char c : {'\0', '"', '[', '}', '9', '\\', '\xFF'}) {
      auto changed = body;
      changed[i] = c;
      (void)rows_of(changed, small());
    }
  }
}

TEST(Scoring, Answers) {
  auto manifest = small();
  serve::Answered answered;
  answered.answers.resize(2);
  answered.answers[0].label = "no\n";
  answered.answers[1].label = "yes";
  answered.answers[1].score = 0.25;
  const std::string none = Id().text();
  answered.ids.resize(2);
  EXPECT_EQ(R"({"predictions":["no\u000a","yes"],"ids":[")" + none + R"(",")" + none + R"("],"model":"m:3"})",
            render_answer(manifest, answered, "m:3"));
  answered.unlogged = {false, true};
  EXPECT_THAT(render_answer(manifest, answered, "m:3"), testing::EndsWith(R"(,"model":"m:3","logged":false})"));
  answered.unlogged.clear();
  manifest.task = model::TaskType::regression;
  EXPECT_EQ(R"({"predictions":[0,0.25],"ids":[")" + none + R"(",")" + none + R"("],"model":"m:3"})",
            render_answer(manifest, answered, "m:3"));
  EXPECT_EQ(R"({"error_code":"BAD_REQUEST","message":"a \"b\""})",
            render_error({Code::invalid_argument, "x.y", "a \"b\""}));
}

}  // namespace
}  // namespace millrace::api::mlflow
