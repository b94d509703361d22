#include "cli/loadtest_rows.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/testing/reason.hpp"

namespace millrace::cli {
namespace {

using Protocol = LoadProtocol;

api::ModelExamples examples() {
  return {"churn",
          3,
          {{"age", "int64"}, {"fare", "float64"}, {"sex", "text"}, {"vip", "boolean"}},
          {{"41", "7.25", "male", "true"}, {std::nullopt, std::nullopt, "fe\"male", "false"}}};
}

std::vector<std::string> bodies_of(const Result<std::vector<LoadBody>>& bodies) {
  std::vector<std::string> out;
  EXPECT_TRUE(bodies) << bodies.error().message;
  if (!bodies) return out;
  for (const auto& body : *bodies) out.push_back(body.bytes);
  return out;
}

TEST(LoadtestRows, ExamplesAsPredictBodies) {
  const auto rows = example_rows(examples());
  EXPECT_EQ(rows.origin, "2 example rows of churn:3");
  EXPECT_EQ(bodies_of(load_bodies(rows, Protocol::predict, 1)),
            (std::vector<std::string>{R"({"age":41,"fare":7.25,"sex":"male","vip":true})",
                                      R"({"age":null,"fare":null,"sex":"fe\"male","vip":false})"}));
  // Several in one: the rows in turn, beginning again.
  EXPECT_EQ(bodies_of(load_bodies(rows, Protocol::predict, 3)).front(),
            R"([{"age":41,"fare":7.25,"sex":"male","vip":true},)"
            R"({"age":null,"fare":null,"sex":"fe\"male","vip":false},)"
            R"({"age":41,"fare":7.25,"sex":"male","vip":true}])");
}

TEST(LoadtestRows, AsTensorsInJson) {
  EXPECT_EQ(bodies_of(load_bodies(example_rows(examples()), Protocol::v2, 2)).front(),
            R"({"parameters":{"null_is_missing":true},"inputs":[)"
            R"({"name":"age","datatype":"INT64","shape":[2],"data":[41,null]},)"
            R"({"name":"fare","datatype":"FP64","shape":[2],"data":[7.25,null]},)"
            R"({"name":"sex","datatype":"BYTES","shape":[2],"data":["male","fe\"male"]},)"
            R"({"name":"vip","datatype":"BOOL","shape":[2],"data":[true,false]}]})");
}

TEST(LoadtestRows, AsBinaryTensors) {
  const auto bodies = load_bodies(example_rows(examples()), Protocol::v2_binary, 2);
  ASSERT_TRUE(bodies) << bodies.error().message;
  const auto& body = bodies->front();
  EXPECT_EQ(body.content_type, "application/octet-stream");
  // A whole number that is missing somewhere goes as FP64: NaN says so.
  EXPECT_EQ(body.bytes.substr(0, body.json_bytes),
            R"({"parameters":{"binary_data_output":true,"missing_text":""},"inputs":[)"
            R"({"name":"age","datatype":"FP64","shape":[2],"parameters":{"binary_data_size":16}},)"
            R"({"name":"fare","datatype":"FP64","shape":[2],"parameters":{"binary_data_size":16}},)"
            R"({"name":"sex","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":19}},)"
            R"({"name":"vip","datatype":"BOOL","shape":[2],"parameters":{"binary_data_size":2}}]})");
  const auto tensors = std::string_view(body.bytes).substr(body.json_bytes);
  ASSERT_EQ(tensors.size(), 53u);
  double numbers[4];
  std::memcpy(numbers, tensors.data(), sizeof numbers);
  EXPECT_EQ(numbers[0], 41);
  EXPECT_TRUE(std::isnan(numbers[1]));
  EXPECT_EQ(numbers[2], 7.25);
  EXPECT_TRUE(std::isnan(numbers[3]));
  using namespace std::string_view_literals;
  EXPECT_EQ(tensors.substr(32), "\x04\0\0\0male\x07\0\0\0fe\"male\x01\0"sv);
}

TEST(LoadtestRows, FromMetadataAlone) {
  SeededRng rng(1), same(1);
  constexpr auto metadata = R"({"name":"m","versions":["1"],"platform":"x","inputs":[
    {"name":"input-0","datatype":"FP32","shape":[-1,3]},{"name":"word","datatype":"BYTES","shape":[-1]}],"outputs":[]})";
  const auto rows = made_up_rows(metadata, rng);
  ASSERT_TRUE(rows) << rows.error().message;
  ASSERT_EQ(rows->rows.size(), 16u);
  EXPECT_EQ(rows->rows.front().size(), 4u);
  EXPECT_EQ(rows->rows, made_up_rows(metadata, same)->rows);
  const auto body = bodies_of(load_bodies(*rows, Protocol::v2, 2)).front();
  EXPECT_TRUE(body.contains(R"("name":"input-0","datatype":"FP32","shape":[2,3],"data":[)")) << body;
  const auto binary = load_bodies(*rows, Protocol::v2_binary, 2);
  ASSERT_TRUE(binary);
  EXPECT_EQ(binary->front().bytes.size() - binary->front().json_bytes, 2 * 3 * 4 + 2 * 5u);
  EXPECT_EQ(reason_of(load_bodies(*rows, Protocol::predict, 1)), "cli.bad_rows");  // no rows of named values
  for (const char* bad : {"", "[]", "{}", R"({"inputs":[]})"})
    EXPECT_EQ(reason_of(made_up_rows(bad, rng)), "cli.bad_metadata") << bad;
}

TEST(LoadtestRows, FilesOfRows) {
  const auto known = example_rows(examples()).columns;
  const std::vector<std::string> want{R"({"age":41,"sex":"ma,le"})", R"({"age":null,"sex":"?"})"};
  const auto predict = [&](std::string_view text, const char* file) {
    const auto rows = file_rows(text, file, std::string_view(file).ends_with(".csv"), known);
    EXPECT_TRUE(rows) << rows.error().message;
    return rows ? bodies_of(load_bodies(*rows, Protocol::predict, 1)) : std::vector<std::string>();
  };
  EXPECT_EQ(predict("age,survived,sex\n41,1,\"ma,le\"\r\nNA,0,\"?\"\n\n", "rows.csv"), want);  // the target is left out
  EXPECT_EQ(predict("{\"age\":41,\"sex\":\"ma,le\"}\n\n{\"sex\":\"?\"}\n", "rows.jsonl"), want);
  EXPECT_EQ(predict("[{\"age\":41,\"sex\":\"ma,le\"},{\"age\":null,\"sex\":\"?\"}]", "rows.json"), want);
  // Without knowing the model: as the file has it.
  const auto rows = file_rows("{\"x\":1}\n{\"x\":1.5}", "r", false, {});
  ASSERT_TRUE(rows);
  EXPECT_EQ(rows->columns.front().datatype, "FP64");

  for (const auto& [text, file] : std::vector<std::pair<std::string, std::string>>{{"", "a.csv"},
                                                                                   {"  \n", "a.json"},
                                                                                   {"who,what\n1,2\n", "a.csv"},
                                                                                   {"age,sex\n41\n", "a.csv"},
                                                                                   {"age,sex\n", "a.csv"},
                                                                                   {"{\"age\":[1]}", "a.json"},
                                                                                   {"[]", "a.json"},
                                                                                   {"{}", "a.json"}})
    EXPECT_EQ(reason_of(file_rows(text, file, file.ends_with(".csv"), known)), "cli.bad_rows") << text;
  EXPECT_EQ(reason_of(file_rows("{\"age\":", "a.json", false, known)), "tree.malformed");
}

}  // namespace
}  // namespace millrace::cli
