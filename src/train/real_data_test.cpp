// The data sets that people will try first.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/digest.hpp"
#include "base/testing/env.hpp"
#include "model/loaded.hpp"
#include "train/testing/memory_data.hpp"

namespace millrace::train {
namespace {

struct Loaded {
  table::Schema schema;
  std::vector<table::Row> rows;
};

Result<Loaded> read(const std::string& path) {
  RealFs fs;
  TRY(auto file, fs.open_read(path));
  TRY(auto reader, table::open_file(std::shared_ptr<const ReadableFile>(std::move(file))));
  Loaded out{.schema = reader->schema()};
  while (true) {
    TRY(auto batch, reader->next());
    if (!batch) return out;
    for (std::int64_t i = 0; i < batch->rows(); ++i) out.rows.push_back(batch->row(i));
  }
}

// Trains on all inputs but `left_out`; a fifth of the rows is validation, chosen by digest.
Result<TrainOutput> train_on(const Loaded& data, TrainInput input, const std::vector<std::string>& left_out) {
  TestEnv env;
  for (const auto& field : data.schema.fields) {
    if (field.name != input.target && std::ranges::find(left_out, field.name) == left_out.end())
      input.inputs.push_back({.name = field.name});
  }
  input.name = "real";
  std::vector<bool> validation;
  for (const auto& row : data.rows) {
    std::string text;
    for (const auto& value : row) text += table::to_text(value) + "\n";
    validation.push_back(sha256(text).head() % 5 == 0);
  }
  testing::MemoryData rows(data.schema, data.rows, std::move(validation), 10'000);
  testing::MemoryLog log;
  Task task{.env = env.env, .scratch_dir = env.dir};
  TRY(auto trainer, make_trainer("boosted-trees", {}));
  return trainer->train(input, rows, log, task);
}

std::string shared(const std::string& name) {
  const char* folder = std::getenv("MILLRACE_SHARED");
  return folder && *folder ? std::string(folder) + "/data/" + name : "";
}

TEST(RealData, Titanic) {
  const std::string path = shared("titanic.csv.gz");
  if (path.empty()) GTEST_SKIP() << "MILLRACE_SHARED is not set";
  auto data = read(path);
  ASSERT_TRUE(data) << data.error().message;
  auto out = train_on(*data, {.task = "binary", .target = "Survived"}, {"PassengerId", "Name", "Ticket"});
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_LT(*out->facts.validation_score, 0.5) << "logloss; the shares alone give 0.67";
}

TEST(RealData, CaliforniaHousing) {
  const std::string path = shared("california_housing.csv.gz");
  if (path.empty()) GTEST_SKIP() << "MILLRACE_SHARED is not set";
  auto data = read(path);
  ASSERT_TRUE(data) << data.error().message;
  auto out =
      train_on(*data, {.task = "regression", .target = "median_house_value", .parameters = {{"rounds", "60"}}}, {});
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_LT(*out->facts.validation_score, 60'000) << "rmse; the mean alone gives 115,000";
}

TEST(RealData, Digits) {
  auto data = read("/data/digits.csv.gz");
  if (!data) GTEST_SKIP() << data.error().message;
  const std::string target = data->schema.fields.back().name;
  auto out = train_on(*data, {.task = "multiclass", .target = target, .parameters = {{"rounds", "40"}}}, {});
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_LT(*out->facts.validation_score, 0.25);
  EXPECT_EQ(10u, out->facts.class_rows.size());
}

}  // namespace
}  // namespace millrace::train
