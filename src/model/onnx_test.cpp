#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "model/artifact.hpp"
#include "model/loaded.hpp"
#include "model/testing/models.hpp"

namespace millrace::model {
namespace {

Manifest onnx_manifest(TaskType task) {
  Manifest m = testing::sample_manifest(task);
  m.inputs = {{.name = "a", .type = table::Type::float64, .encoding = Encoding::number, .fill = 0.5},
              {.name = "b", .type = table::Type::int64, .encoding = Encoding::number, .fill = 0}};
  m.engine = {.name = "onnx", .file = "model.onnx"};
  return m;
}

const std::vector<table::Row> kRows = {
    {1.5, std::int64_t{2}}, {-0.25, std::int64_t{7}}, {table::Value{}, table::Value{}}};

std::shared_ptr<const LoadedModel> loaded(TaskType task, const std::string& file) {
  auto bytes = build_artifact(onnx_manifest(task), file, kRows);
  EXPECT_TRUE(bytes) << bytes.error().message;
  auto model = LoadedModel::load(*bytes);
  EXPECT_TRUE(model) << model.error().message;
  return *model;
}

TEST(Onnx, AnswersEachTask) {
  EncodeStats stats;
  const auto regression = loaded(TaskType::regression, testing::linear_onnx(2, {2, -1}, {10}, false, "y"));
  auto values = regression->predict(kRows, stats);
  ASSERT_TRUE(values);
  EXPECT_FLOAT_EQ(11, static_cast<float>(values->at(0).score));
  EXPECT_FLOAT_EQ(2.5, static_cast<float>(values->at(1).score));
  EXPECT_FLOAT_EQ(11, static_cast<float>(values->at(2).score)) << "missing is filled";

  const auto binary = loaded(TaskType::binary, testing::linear_onnx(2, {0, 1, 0, -1}, {0, 0.5}, true));
  auto chances = binary->predict(kRows, stats);
  ASSERT_TRUE(chances);
  EXPECT_NEAR(1 / (1 + std::exp(-(1.5 - 2 + 0.5))), chances->at(0).score, 1e-6);
  EXPECT_EQ("yes", chances->at(0).label);
  EXPECT_EQ("no", chances->at(1).label);

  const auto multiclass = loaded(TaskType::multiclass, testing::linear_onnx(2, {1, 0, 0, 0, 1, 0}, {0, 0, 1}, true));
  auto classes = multiclass->predict(kRows, stats);
  ASSERT_TRUE(classes);
  EXPECT_EQ("car", classes->at(0).label);
  EXPECT_EQ("tram", classes->at(2).label);
  auto why = multiclass->explain(kRows[0]);
  ASSERT_FALSE(why);
  EXPECT_EQ("model.no_contributions", why.error().reason);
}

TEST(Onnx, BatchesAndThreadsChangeNothing) {
  const auto model = loaded(TaskType::multiclass,
                            testing::linear_onnx(2, {0.1f, 0.7f, -0.3f, 0.2f, -0.9f, 0.4f}, {0, 0.1f, -0.1f}, true));
  std::vector<table::Row> rows;
  for (int i = 0; i < 300; ++i) rows.push_back({i * 0.37 - 50, std::int64_t{i % 13}});
  EncodeStats stats;
  auto all = model->predict(rows, stats);
  ASSERT_TRUE(all);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      EncodeStats own;
      for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_EQ((*all)[i], model->predict({rows[i]}, own)->at(0));
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST(Onnx, FilesThatDoNotFitAreRefused) {
  struct Case {
    const char* what;
    std::string file;
    TaskType task;
    const char* reason;
  };
  const std::string good = testing::linear_onnx(2, {1, 2}, {0}, false);
  const Case cases[] = {
      {"nothing", "", TaskType::regression, "model.bad_engine_file"},
      {"noise", "noise and more noise", TaskType::regression, "model.bad_engine_file"},
      {"cut short", good.substr(0, good.size() / 2), TaskType::regression, "model.bad_engine_file"},
      {"three features", testing::linear_onnx(3, {1, 2, 3}, {0}, false), TaskType::regression, "model.bad_engine_file"},
      {"two outputs for three classes", testing::linear_onnx(2, {1, 2, 3, 4}, {0, 0}, true), TaskType::multiclass,
       "model.bad_engine_file"},
      {"no probability for zeros", testing::linear_onnx(2, {1, 2}, {7}, false), TaskType::binary,
       "model.bad_engine_file"},
      {"no probability for some", testing::linear_onnx(2, {1, 2}, {0}, false), TaskType::binary, "model.engine"},
  };
  for (const auto& c : cases) {
    auto bytes = build_artifact(onnx_manifest(c.task), c.file, kRows);
    ASSERT_FALSE(bytes) << c.what;
    EXPECT_EQ(c.reason, bytes.error().reason) << c.what << ": " << bytes.error().message;
  }
}

}  // namespace
}  // namespace millrace::model
