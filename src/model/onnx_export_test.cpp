// Exported graphs, answered by ONNX Runtime, against the models that they are made of.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include "base/testing/reason.hpp"
#include "model/artifact.hpp"
#include "model/bare_onnx.hpp"
#include "model/export.hpp"
#include "model/onnx_export_internal.hpp"
#include "model/testing/models.hpp"
#include "model/testing/shapes.hpp"
#include "model/trees_proof_internal.hpp"

namespace millrace::model {
namespace {

constexpr std::int64_t kNoTime = std::numeric_limits<std::int64_t>::min();

template <class T>
void append(T value, std::string& out) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

// A column as the exported file takes it: a text, a double or an int64.
struct Column {
  std::string bytes;
  std::vector<std::string> texts;
  std::vector<std::string_view> views;

  void add(const Input& input, const table::Value& value) {
    if (input.type == table::Type::text) {
      texts.push_back(table::is_null(value) ? onnx_missing_text(input) : std::get<std::string>(value));
    } else if (input.encoding == Encoding::number || input.type == table::Type::boolean) {
      append(number(value), bytes);
    } else {
      append(whole(value), bytes);
    }
  }
  static double number(const table::Value& value) {
    if (table::is_null(value)) return std::numeric_limits<double>::quiet_NaN();
    if (const auto* flag = std::get_if<bool>(&value)) return *flag ? 1 : 0;
    if (const auto* whole = std::get_if<std::int64_t>(&value)) return static_cast<double>(*whole);
    return std::get<double>(value);
  }
  static std::int64_t whole(const table::Value& value) {
    if (table::is_null(value)) return kNoTime;
    if (const auto* date = std::get_if<table::Date>(&value)) return date->days;
    if (const auto* time = std::get_if<table::Timestamp>(&value)) return time->us;
    return std::get<std::int64_t>(value);
  }
};

template <class T>
std::vector<T> elements(std::string_view bytes) {
  std::vector<T> out(bytes.size() / sizeof(T));
  std::memcpy(out.data(), bytes.data(), out.size() * sizeof(T));
  return out;
}

struct Exported {
  std::vector<std::string> labels;
  std::vector<double> values, probabilities;  // `prediction` of a regression or `probability`; row-major
};

// ONNX Runtime's answers to `rows`, all at once.
Result<Exported> answers(const std::string& file, const Manifest& manifest, const std::vector<table::Row>& rows) {
  TRY(const auto model, load_bare_onnx({.name = "exported", .bytes = file, .golden = ""}, {}));
  const auto& signature = model->manifest().tensors;
  std::vector<Column> columns(manifest.inputs.size());
  std::vector<TensorView> views;
  const std::int64_t shape[] = {static_cast<std::int64_t>(rows.size()), 1};
  for (std::size_t i = 0; i < columns.size(); ++i) {
    for (const auto& row : rows) columns[i].add(manifest.inputs[i], row[i]);
    columns[i].views.assign(columns[i].texts.begin(), columns[i].texts.end());
    EXPECT_EQ(manifest.inputs[i].name, signature.inputs[i].name);
    views.push_back({.name = manifest.inputs[i].name,
                     .datatype = signature.inputs[i].datatype,
                     .shape = shape,
                     .bytes = columns[i].bytes,
                     .texts = columns[i].views});
  }
  TRY(const auto checked, check_tensors(signature, views));
  const auto wanted = signature.plain_outputs();
  TRY(const auto got, model->runtime().tensors()->run(checked, wanted));
  Exported out;
  for (std::size_t k = 0; k < wanted.size(); ++k) {
    const auto& name = signature.outputs[wanted[k]].name;
    const auto& output = got.outputs[k];
    EXPECT_EQ(static_cast<std::int64_t>(rows.size()), output.shape[0]) << name;
    if (name == "probabilities") {
      out.probabilities = elements<double>(output.bytes);
    } else if (name == "probability" || manifest.task == TaskType::regression) {
      out.values = elements<double>(output.bytes);
    } else {
      out.labels.assign(output.texts.begin(), output.texts.end());
    }
  }
  return out;
}

// The largest difference of a number, relative where numbers are above 1. Decisions are equal.
double compare(const Manifest& manifest, const std::vector<Answer>& expected, const Exported& got) {
  double most = 0;
  const auto apart = [&](double a, double b) { most = std::max(most, std::fabs(a - b) / std::max(1.0, std::fabs(a))); };
  EXPECT_EQ(expected.size(), got.values.size());
  for (std::size_t i = 0; i < expected.size() && i < got.values.size(); ++i) {
    const auto& answer = expected[i];
    if (manifest.task == TaskType::regression) {
      apart(answer.score, got.values[i]);
      continue;
    }
    EXPECT_EQ(answer.label, got.labels[i]) << "row " << i << ", " << answer.score;
    auto probabilities = answer.probabilities;
    if (manifest.task == TaskType::binary) probabilities = {1 - answer.score, answer.score};
    apart(probabilities[static_cast<std::size_t>(answer.decision)], got.values[i]);
    for (std::size_t k = 0; k < probabilities.size(); ++k)
      apart(probabilities[k], got.probabilities.at(i * probabilities.size() + k));
  }
  return most;
}

double difference(const std::string& artifact, const std::vector<table::Row>& rows) {
  const auto model = LoadedModel::load(artifact);
  EXPECT_TRUE(model) << model.error().message;
  const auto file = export_model(artifact, "onnx", {});
  EXPECT_TRUE(file) << file.error().message;
  if (!model || !file) return 1e9;
  EncodeStats stats;
  const auto expected = (*model)->predict(rows, stats);
  const auto got = answers(*file, (*model)->manifest(), rows);
  EXPECT_TRUE(expected && got) << (expected ? got.error().message : expected.error().message);
  return expected && got ? compare((*model)->manifest(), *expected, *got) : 1e9;
}

constexpr TaskType kTasks[] = {TaskType::binary, TaskType::multiclass, TaskType::regression};

// The one difference: in the exported file an empty text is a missing one.
std::vector<table::Row> rows_for_onnx(std::uint64_t seed, std::size_t count) {
  auto rows = testing::sample_rows(seed, count);
  for (auto& row : rows) {
    for (auto& value : row) {
      if (const auto* text = std::get_if<std::string>(&value); text && text->empty()) value = std::monostate{};
    }
  }
  return rows;
}

TEST(OnnxExport, EveryEncodingAndTask) {
  for (const auto task : kTasks) {
    SCOPED_TRACE(std::string(task_name(task)));
    const auto artifact = testing::sample_artifact(task, 3, 40);
    ASSERT_TRUE(artifact) << artifact.error().message;
    EXPECT_LE(difference(*artifact, rows_for_onnx(11, 700)), 1e-15);
  }
}

// One row a category, and what is beside it.
TEST(OnnxExport, CategoriesOfEveryTypeAndFills) {
  using table::Type;
  Manifest manifest = testing::sample_manifest(TaskType::regression);
  const std::vector<std::string> texts = {"", "b", "ü"}, wholes = {"-4", "007", "12"}, flags = {"true"};
  manifest.inputs = {
      {.name = "_t", .type = Type::text, .encoding = Encoding::category, .categories = texts},
      {.name = "t2",
       .type = Type::text,
       .encoding = Encoding::category,
       .categories = {"b"},
       .unseen = UnseenRule::as_missing,
       .fill = -7},
      {.name = "t3", .type = Type::text, .encoding = Encoding::category},
      {.name = "i", .type = Type::int64, .encoding = Encoding::category, .categories = wholes},
      {.name = "b", .type = Type::boolean, .encoding = Encoding::category, .categories = flags, .fill = -1},
      {.name = "f", .type = Type::float64, .encoding = Encoding::number, .fill = 0.25},
      {.name = "g", .type = Type::boolean, .encoding = Encoding::boolean},
      {.name = "d", .type = Type::date, .encoding = Encoding::date_parts, .fill = 3},
      {.name = "s", .type = Type::timestamp, .encoding = Encoding::date_parts}};
  const auto text = [](const char* t) { return table::Value{std::string(t)}; };
  const table::Value none = std::monostate{};
  const auto day = [](int days) { return table::Value{table::Date{days}}; };
  const auto us = [](std::int64_t us) { return table::Value{table::Timestamp{us}}; };
  const auto whole = [](std::int64_t x) { return table::Value{x}; };
  const std::vector<table::Row> rows = {
      {text(""), text("b"), text("x"), whole(-4), true, 1e300, true, day(0), us(0)},
      {text("b"), text("a"), none, whole(7), false, -1e300, false, day(-1), us(-1)},
      {text("ü"), none, text("y"), whole(12), none, none, none, none, none},
      {none, text("c"), text(""), none, true, 0.1, true, day(-719'469), us(-62'162'208'000'000'001)},
      {text("z"), text("b"), text("b"), whole(13), false, 1e-310, false, day(19'782), us(1'709'164'799'999'999)},
      {text("B"), none, none, whole(-5), true, std::numeric_limits<double>::infinity(), true, day(19'783),
       us(1'709'164'800'000'000)},
      {none, none, none, none, none, std::numeric_limits<double>::quiet_NaN(), none, day(2'932'896),
       us(253'402'300'799'999'999)}};
  // The features themselves: the graph without trees.
  const Encoder encoder(manifest.inputs);
  OnnxGraph graph("__");
  const auto features = onnx_features(manifest.inputs, graph);
  ASSERT_TRUE(features);
  const auto missing = graph.node("IsNaN", {*features});
  const auto shown = graph.node("Where", {missing, graph.single(-12345), *features});
  graph.node("Cast", {shown}, {onnx_attribute("to", std::int64_t{11})}, "", "probabilities");
  const std::int64_t shape[] = {-1, encoder.features()};
  graph.output(onnx_value("probabilities", OnnxType::fp64, shape));
  const auto got = answers(graph.model("features", {}), manifest, rows);
  ASSERT_TRUE(got) << got.error().message;
  const auto names = feature_names(manifest.inputs);
  EncodeStats stats;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::vector<float> expected(names.size());
    auto row = rows[i];
    if (row[2] == text("")) row[2] = none;
    ASSERT_TRUE(encoder.encode_row(row, expected.data(), stats));
    for (std::size_t k = 0; k < names.size(); ++k) {
      const double value = got->probabilities.at(i * names.size() + k);
      EXPECT_EQ(std::isnan(expected[k]) ? -12345 : expected[k], value) << "row " << i << ", " << names[k];
    }
  }
}

TEST(OnnxExport, EveryShapeOfTrees) {
  // Nothing new in these, and they take long.
  const std::set<std::string> large = {"many features", "more than 255 thresholds", "depth 8", "depth 30"};
  for (const auto& shape : testing::shapes()) {
    if (large.contains(shape.name)) continue;
    SCOPED_TRACE(shape.name);
    const auto ubj = testing::train(shape);
    ASSERT_TRUE(ubj) << ubj.error().message;
    const auto artifact = build_artifact(testing::manifest_of(shape), *ubj, {});
    ASSERT_TRUE(artifact) << artifact.error().message;
    const auto forest = read_forest(*ubj);
    ASSERT_TRUE(forest);
    const std::size_t count = 400;
    const auto features = proof_rows(*forest, count, 5);
    std::vector<table::Row> rows;
    for (std::size_t i = 0; i < count; ++i) {
      auto& row = rows.emplace_back();
      for (std::size_t k = 0; k < shape.features; ++k) row.emplace_back(double{features[i * shape.features + k]});
    }
    EXPECT_LE(difference(*artifact, rows), value_transform(forest->objective) == Forest::Transform::exp ? 1e-6 : 1e-15)
        << "one thread adds in XGBoost's order";
  }
}

TEST(OnnxExport, BaselinesAreConstants) {
  for (const auto task : kTasks) {
    SCOPED_TRACE(std::string(task_name(task)));
    const auto artifact = testing::constant_artifact(task, 0.3);
    ASSERT_TRUE(artifact);
    EXPECT_LE(difference(*artifact, rows_for_onnx(2, 9)), 1e-6);
  }
}

TEST(OnnxExport, TheSameModelGivesTheSameBytes) {
  const auto artifact = *testing::sample_artifact(TaskType::binary);
  const auto once = export_model(artifact, "onnx", {});
  ASSERT_TRUE(once) << once.error().message;
  EXPECT_EQ(*once, *export_model(artifact, "onnx", {}));
  // Out of an artifact with XGBoost's JSON too.
  auto manifest = read_artifact(artifact)->manifest;
  manifest.engine.file = "model.json";
  const auto json = write_artifact(manifest, *export_model(artifact, "xgboost-json", {}));
  ASSERT_TRUE(json);
  const auto again = export_model(*json, "onnx", {});
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*once, *again);
}

TEST(OnnxExport, WhatNoGraphOfOursSays) {
  auto manifest = testing::sample_manifest(TaskType::regression);
  manifest.inputs = {{.name = "a"}, {.name = "b"}};
  manifest.inputs[0].fill = manifest.inputs[1].fill = 0;
  manifest.engine = {.name = "onnx", .file = "model.onnx"};
  const auto other = build_artifact(manifest, testing::linear_onnx(2, {1, 2}, {0}, false, "y"), {});
  ASSERT_TRUE(other) << other.error().message;
  const auto refused = export_model(*other, "onnx", {});
  EXPECT_EQ("model.no_onnx_form", reason_of(refused));
  EXPECT_NE(std::string::npos, refused.error().message.find("model.onnx")) << refused.error().message;
  EXPECT_EQ("model.no_onnx_form", reason_of(onnx_model(testing::sample_manifest(TaskType::regression), "no trees")));
  manifest.engine = {.name = "constant", .file = "model.json"};
  manifest.inputs.clear();
  EXPECT_EQ("model.no_onnx_form", reason_of(onnx_model(manifest, constant_engine_file({1}))));
  manifest.inputs = {{.name = "prediction"}};
  EXPECT_EQ("model.no_onnx_form", reason_of(onnx_model(manifest, constant_engine_file({1}))));
}

}  // namespace
}  // namespace millrace::model
