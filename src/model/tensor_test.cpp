#include "model/tensor.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>

#include "model/bare_onnx.hpp"
#include "model/onnx_proof_internal.hpp"
#include "model/tensor_rows.hpp"
#include "model/testing/models.hpp"

namespace millrace::model {
namespace {

TensorSignature signature() {
  return {.inputs = {{.name = "x", .datatype = Datatype::fp32, .shape = {-1, 2}},
                     {.name = "who", .datatype = Datatype::bytes, .shape = {-1}},
                     {.name = "sr", .datatype = Datatype::int64, .shape = {}}},
          .outputs = {{.name = "y", .datatype = Datatype::fp32, .shape = {-1, 1}}}};
}

struct Sent {
  std::string name;
  Datatype datatype;
  std::vector<std::int64_t> shape;
  std::string bytes;
  std::vector<std::string_view> texts;
  TensorView view() const {
    return {.name = name, .datatype = datatype, .shape = shape, .bytes = bytes, .texts = texts};
  }
};

TEST(Tensors, AreCheckedAgainstTheSignature) {
  const std::vector<Sent> right = {{"sr", Datatype::int64, {}, std::string(8, 'x'), {}},
                                   {"x", Datatype::fp32, {3, 2}, std::string(24, '\0'), {}},
                                   {"who", Datatype::bytes, {1}, "", {"me"}}};
  const auto checked = [&](const std::vector<Sent>& sent) {
    std::vector<TensorView> views;
    for (const auto& each : sent) views.push_back(each.view());
    const auto result = check_tensors(signature(), views);
    if (!result) return result.error().reason;
    EXPECT_EQ("x", result->at(0).name);
    EXPECT_EQ("who", result->at(1).name);
    return std::string("right");
  };
  EXPECT_EQ("right", checked(right));
  const auto with = [&](std::size_t at, auto change) {
    auto sent = right;
    change(sent[at]);
    return checked(sent);
  };
  EXPECT_EQ("right", with(0, [](Sent& s) { s.shape = {1}; })) << "nobody knows how many axes it has";
  EXPECT_EQ("model.wrong_size", with(0, [](Sent& s) { s.shape = {2}; }));
  EXPECT_EQ("model.unknown_input", with(0, [](Sent& s) { s.name = "rs"; }));
  EXPECT_EQ("model.wrong_datatype", with(1, [](Sent& s) { s.datatype = Datatype::int32; }));
  EXPECT_EQ("model.wrong_shape", with(1, [](Sent& s) { s.shape = {6, 1}; }));
  EXPECT_EQ("model.wrong_shape", with(1, [](Sent& s) { s.shape = {6}; }));
  EXPECT_EQ("model.wrong_size", with(1, [](Sent& s) { s.bytes += 'x'; }));
  EXPECT_EQ("model.wrong_size", with(1, [](Sent& s) { s.bytes.resize(20); }));
  EXPECT_EQ("model.wrong_size", with(2, [](Sent& s) { s.texts.clear(); }));
  auto twice = right;
  twice.push_back(right[0]);
  EXPECT_EQ("model.wrong_shape", checked(twice));
  EXPECT_EQ("model.missing_input", checked({right[1], right[2]}));
}

TEST(Tensors, NumbersArePackedAsTheirDatatypeHoldsThem) {
  const auto packed = [](Datatype type, double x) {
    std::string out;
    return pack_number(type, x, out) ? out.size() : 0;
  };
  EXPECT_EQ(1u, packed(Datatype::int8, -128));
  EXPECT_EQ(0u, packed(Datatype::int8, 128));
  EXPECT_EQ(0u, packed(Datatype::uint16, -1));
  EXPECT_EQ(0u, packed(Datatype::int32, 0.5));
  EXPECT_EQ(0u, packed(Datatype::int32, std::nan("")));
  EXPECT_EQ(8u, packed(Datatype::uint64, 0x1p63));
  EXPECT_EQ(0u, packed(Datatype::uint64, 0x1p64));
  EXPECT_EQ(0u, packed(Datatype::fp16, 70'000));
  EXPECT_EQ(0u, packed(Datatype::fp32, 1e39));
  EXPECT_EQ(0u, packed(Datatype::boolean, 2));
  EXPECT_EQ(4u, packed(Datatype::fp32, std::numeric_limits<double>::infinity()));
  // Every half precision number comes back.
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const double x = from_half(static_cast<std::uint16_t>(bits));
    std::string out;
    ASSERT_TRUE(pack_number(Datatype::fp16, x, out));
    std::uint16_t back = 0;
    std::memcpy(&back, out.data(), 2);
    if (std::isnan(x)) {
      ASSERT_TRUE(std::isnan(from_half(back)));
    } else {
      ASSERT_EQ(bits, back);
    }
    out.clear();
    const double y = from_bfloat(static_cast<std::uint16_t>(bits));
    ASSERT_TRUE(pack_number(Datatype::bf16, y, out));
    std::memcpy(&back, out.data(), 2);
    if (!std::isnan(y)) {
      ASSERT_EQ(bits, back);
    }
  }
}

TEST(Tensors, AreWrittenAsJson) {
  const float numbers[] = {1, 0.1f, std::nanf(""), -2, 1e30f, 4};
  TensorAnswer::Output tensor{
      .shape = {2, 1, 3}, .bytes = {reinterpret_cast<const char*>(numbers), sizeof numbers}, .texts = {}};
  std::string out;
  EXPECT_TRUE(append_json_elements(out, Datatype::fp32, tensor, 0, 6));
  EXPECT_EQ("1,0.1,null,-2,1e+30,4", out);
  out.clear();
  EXPECT_TRUE(append_json_nested(out, Datatype::fp32, tensor, 0, 0));
  EXPECT_EQ("[[[1,0.1,null]],[[-2,1e+30,4]]]", out);
  EXPECT_FALSE(all_finite(Datatype::fp32, tensor));
  tensor = {.shape = {2}, .bytes = {}, .texts = {"a\"", "\xff"}};
  out.clear();
  EXPECT_TRUE(append_json_elements(out, Datatype::bytes, tensor, 0, 1));
  EXPECT_EQ(R"("a\"")", out);
  EXPECT_FALSE(append_json_elements(out, Datatype::bytes, tensor, 0, 2));
}

TEST(TensorRows, ColumnsBecomeTensors) {
  TensorSignature columns{.inputs = {{.name = "age", .datatype = Datatype::fp32, .shape = {-1, 1}},
                                     {.name = "city", .datatype = Datatype::bytes, .shape = {-1, 1}},
                                     {.name = "n", .datatype = Datatype::int32, .shape = {-1}}},
                          .outputs = {}};
  ASSERT_EQ(3u, row_inputs(columns).size());
  EXPECT_EQ("city", row_inputs(columns)[1].name);
  std::vector<table::Row> rows = {{1.5, "Lima", std::int64_t{7}}, {table::Value(), "", std::int64_t{-1}}};
  auto tensors = tensors_of_rows(columns, rows);
  ASSERT_TRUE(tensors) << tensors.error().message;
  EXPECT_TRUE(check_tensors(columns, tensors->views));
  EXPECT_EQ("Lima", tensors->views[1].texts[0]);
  rows[1][2] = table::Value();
  EXPECT_EQ("model.missing_input", tensors_of_rows(columns, rows).error().reason);
  rows[1][2] = std::int64_t{1} << 40;
  EXPECT_EQ("model.out_of_range", tensors_of_rows(columns, rows).error().reason);
  columns.inputs[2].shape = {-1, 4};
  EXPECT_TRUE(row_inputs(columns).empty()) << "columns and a matrix are no row";
  columns.inputs.resize(1);
  columns.inputs[0].shape = {1, 3};
  EXPECT_EQ(3u, row_inputs(columns).size());
  EXPECT_TRUE(one_row_at_a_time(columns));
}

TEST(OnnxProof, MadeUpInputsFitTheSignature) {
  auto s = signature();
  s.inputs[0].axes = {"batch", ""};
  s.inputs.push_back({.name = "state", .datatype = Datatype::fp16, .shape = {2, -1, -1}, .axes = {"", "batch", "k"}});
  const auto made = made_up_inputs(s, {.rows = 3, .size = 5, .pattern = 1});
  EXPECT_TRUE(check_tensors(s, made.views));
  EXPECT_EQ(3, made.views[0].shape[0]);
  EXPECT_EQ(3, made.views[3].shape[1]) << "the same axis has the same size";
  EXPECT_EQ(5, made.views[3].shape[2]);
}

TEST(OnnxProof, GoldenFilesAreRead) {
  const auto reason = [](std::string_view text) {
    const auto cases = parse_golden_tensors(text);
    return cases ? std::to_string(cases->size()) : cases.error().reason;
  };
  const std::string one =
      R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[[1,null]]}],"outputs":[{"name":"y","datatype":"BYTES","shape":[1],"data":["a"]}]})";
  EXPECT_EQ("1", reason(one));
  EXPECT_EQ("2", reason("{\"cases\":[" + one + "," + one + "]}"));
  for (const auto* bad : {"", "[]", "{}", R"({"cases":[]})", R"({"inputs":[],"outputs":[]})",
                          R"({"inputs":[{"name":"x","datatype":"FP99","shape":[1],"data":[1]}],"outputs":[]})",
                          R"({"inputs":[{"name":"x","datatype":"INT8","shape":[1],"data":[1.5]}],"outputs":[]})",
                          R"({"inputs":[{"name":"x","datatype":"INT8","shape":[2],"data":[1]}],"outputs":[]})",
                          R"({"inputs":[{"name":"x","datatype":"INT8","shape":[-1],"data":[1]}],"outputs":[]})"}) {
    EXPECT_EQ("model.bad_golden", reason(bad)) << bad;
  }
}

// The engine as it is: y = x W + b, softmaxed by nobody.
TEST(BareOnnx, AnswersByItsOwnNamesFromAnyThread) {
  const auto file = testing::linear_onnx(2, {2, 0, -1, 1}, {10, 0.5f}, false, "y");
  const auto loaded = load_bare_onnx({"m", file, ""}, {});
  ASSERT_TRUE(loaded) << loaded.error().message;
  const auto& manifest = (*loaded)->manifest();
  ASSERT_TRUE(manifest.takes_tensors());
  const auto& tensors = manifest.tensors;
  EXPECT_EQ(2u, manifest.inputs.size()) << "it takes rows besides";
  const auto* model = (*loaded)->runtime().tensors();
  ASSERT_NE(nullptr, model);
  // At every place in memory: where its numbers do not lie as the engine wants them they are copied.
  alignas(8) char room[64] = {};
  const float x[] = {1.5f, 2, -1, 0.25f};
  const std::int64_t shape[] = {2, 2};
  const auto ask = [&](std::size_t offset) {
    std::memcpy(room + offset, x, sizeof x);
    const TensorView view{.name = tensors.inputs[0].name,
                          .datatype = Datatype::fp32,
                          .shape = shape,
                          .bytes = {room + offset, sizeof x},
                          .texts = {}};
    const std::size_t outputs[] = {0};
    auto answer = model->run(std::span(&view, 1), outputs);
    EXPECT_TRUE(answer) << answer.error().message;
    std::vector<float> out(4);
    std::memcpy(out.data(), answer->outputs[0].bytes.data(), 16);
    return out;
  };
  const std::vector<float> wanted = {11, 2.5f, 7.75f, 0.75f};
  for (std::size_t offset = 0; offset < 8; ++offset) EXPECT_EQ(wanted, ask(offset));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      const TensorView view{.name = tensors.inputs[0].name,
                            .datatype = Datatype::fp32,
                            .shape = shape,
                            .bytes = {reinterpret_cast<const char*>(x), sizeof x},
                            .texts = {}};
      const std::size_t outputs[] = {0};
      for (int i = 0; i < 100; ++i)
        EXPECT_EQ(0, std::memcmp(model->run(std::span(&view, 1), outputs)->outputs[0].bytes.data(), wanted.data(), 16));
    });
  }
  for (auto& thread : threads) thread.join();
  std::vector<float> none;
  EXPECT_EQ("model.takes_tensors", (*loaded)->runtime().predict(none, 0, none).error().reason);
}

TEST(BareOnnx, IsProven) {
  const auto file = testing::linear_onnx(2, {2, -1}, {10}, false, "y");
  const auto golden = [](float answer, double tolerance) {
    return std::format(
        R"({{"inputs":[{{"name":"input","datatype":"FP32","shape":[1,2],"data":[1,2]}}],"outputs":[{{"name":"y","datatype":"FP32","shape":[1,1],"data":[{}]}}],"tolerance":{}}})",
        answer, tolerance);
  };
  const auto reason = [&](const std::string& bytes, const std::string& text) {
    const auto loaded = load_bare_onnx({"m", bytes, text}, {});
    return loaded ? std::string("served") : loaded.error().reason;
  };
  const auto input = load_bare_onnx({"m", file, ""}, {});
  ASSERT_TRUE(input);
  auto named = [&](std::string text) {
    const auto& name = (*input)->manifest().tensors.inputs[0].name;
    return text.replace(text.find("input\",\"datatype"), 5, name);
  };
  EXPECT_EQ("served", reason(file, named(golden(10, 0))));
  EXPECT_EQ("served", reason(file, named(golden(10.5f, 0.6))));
  EXPECT_EQ("model.golden_mismatch", reason(file, named(golden(10.5f, 0.4))));
  EXPECT_EQ("model.bad_golden", reason(file, "{"));
  EXPECT_EQ("model.bad_engine_file", reason(file.substr(0, file.size() / 2), ""));
  EXPECT_EQ("model.bad_engine_file", reason("no", ""));
  const auto infinite = testing::linear_onnx(1, {1}, {std::numeric_limits<float>::infinity()}, false, "y");
  EXPECT_EQ("model.not_finite", reason(infinite, ""));
}

}  // namespace
}  // namespace millrace::model
