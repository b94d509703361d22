#include "model/loaded.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <thread>

#include "model/artifact.hpp"
#include "model/testing/models.hpp"

namespace millrace::model {
namespace {

using testing::sample_artifact;
using testing::sample_rows;

constexpr TaskType kTasks[] = {TaskType::binary, TaskType::multiclass, TaskType::regression};

std::shared_ptr<const LoadedModel> loaded(TaskType task, std::uint64_t seed = 1, int rounds = 20) {
  auto bytes = sample_artifact(task, seed, rounds);
  EXPECT_TRUE(bytes) << bytes.error().message;
  auto model = LoadedModel::load(*bytes);
  EXPECT_TRUE(model) << model.error().message;
  return *model;
}

TEST(Loaded, TheSameTrainingGivesTheSameArtifact) {
  for (const auto task : kTasks) EXPECT_EQ(*sample_artifact(task), *sample_artifact(task)) << task_name(task);
}

TEST(Loaded, AnswersFitTheTask) {
  EncodeStats stats;
  const auto rows = sample_rows(3, 50);
  auto binary = loaded(TaskType::binary)->predict(rows, stats);
  ASSERT_TRUE(binary);
  for (const auto& a : *binary) {
    EXPECT_NEAR(1 / (1 + std::exp(-static_cast<double>(a.margin))), a.score, 1e-15);
    EXPECT_EQ(a.score >= 0.5 ? "yes" : "no", a.label);
  }
  auto multiclass = loaded(TaskType::multiclass)->predict(rows, stats);
  ASSERT_TRUE(multiclass);
  for (const auto& a : *multiclass) {
    ASSERT_EQ(3u, a.probabilities.size());
    EXPECT_NEAR(1, a.probabilities[0] + a.probabilities[1] + a.probabilities[2], 1e-12);
    for (const double p : a.probabilities) EXPECT_LE(p, a.score);
  }
  auto regression = loaded(TaskType::regression)->predict(rows, stats);
  ASSERT_TRUE(regression);
  for (const auto& a : *regression) EXPECT_EQ(static_cast<double>(a.margin), a.score);
  EXPECT_GT(stats.unseen, 0u);
  EXPECT_GT(stats.missing, 0u);
}

TEST(Loaded, OneRowManyRowsAndManyThreadsAreBitEqual) {
  const auto rows = sample_rows(4, 3000);
  for (const auto task : kTasks) {
    const auto model = loaded(task);
    EncodeStats stats;
    auto all = model->predict(rows, stats);
    ASSERT_TRUE(all);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        EncodeStats own;
        for (std::size_t i = t; i < rows.size(); i += 8) {
          const std::size_t count = i % 7 == 0 ? std::min<std::size_t>(33, rows.size() - i) : 1;
          const std::vector<table::Row> part(rows.begin() + static_cast<std::ptrdiff_t>(i),
                                             rows.begin() + static_cast<std::ptrdiff_t>(i + count));
          auto some = model->predict(part, own);
          for (std::size_t k = 0; k < count; ++k) wrong += !some || (*some)[k] != (*all)[i + k];
        }
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(0, wrong.load()) << task_name(task);
  }
}

TEST(Loaded, MoreThreadsPerCallAndLargeBatchesChangeNothing) {
  const auto bytes = sample_artifact(TaskType::multiclass, 2, 20);
  ASSERT_TRUE(bytes);
  auto one = LoadedModel::load(*bytes), two = LoadedModel::load(*bytes, {.threads = 2});
  ASSERT_TRUE(one && two);
  const auto rows = sample_rows(5, 40'000);  // several calls of the engine
  EncodeStats stats;
  auto a = (*one)->predict(rows, stats), b = (*two)->predict(rows, stats);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(*a, *b);
  EncodeStats own;
  EXPECT_EQ((*one)->predict({rows[39'999]}, own)->at(0), a->back());
}

TEST(Loaded, ContributionsSumToTheMarginAlsoWhilePredicting) {
  for (const auto task : kTasks) {
    const auto model = loaded(task);
    std::atomic<bool> stop{false};
    std::thread traffic([&] {
      EncodeStats own;
      const auto rows = sample_rows(8, 20);
      while (!stop) EXPECT_TRUE(model->predict(rows, own));
    });
    for (const auto& row : sample_rows(6, 40)) {
      auto why = model->explain(row);
      ASSERT_TRUE(why) << why.error().message;
      double sum = why->bias;
      for (const auto& c : why->contributions) sum += c.amount;
      EXPECT_NEAR(why->answer.margin, sum, 1e-3 * std::max(1.0, std::fabs(sum)));
      EXPECT_EQ(model->encoder().features(), static_cast<int>(why->contributions.size()));
    }
    stop = true;
    traffic.join();
  }
}

TEST(Loaded, AModelThatAnswersOtherwiseThanItsGoldenRowsIsRefused) {
  auto one = sample_artifact(TaskType::binary, 1), two = sample_artifact(TaskType::binary, 2);
  ASSERT_TRUE(one && two);
  auto a = read_artifact(*one), b = read_artifact(*two);
  ASSERT_TRUE(a && b);
  auto crossed = write_artifact(a->manifest, b->engine_file);
  ASSERT_TRUE(crossed);
  auto refused = LoadedModel::load(*crossed);
  ASSERT_FALSE(refused);
  EXPECT_EQ("model.golden_mismatch", refused.error().reason);

  Manifest nearly = a->manifest;
  nearly.golden[0].outputs[0] = std::nextafter(nearly.golden[0].outputs[0], 1e9f);
  auto last_bit = LoadedModel::load(*write_artifact(nearly, a->engine_file));
  ASSERT_FALSE(last_bit) << "bit by bit where the engine is the one of the training";
  EXPECT_EQ("model.golden_mismatch", last_bit.error().reason);
  nearly.engine.version = "3.2.9";
  EXPECT_TRUE(LoadedModel::load(*write_artifact(nearly, a->engine_file))) << "within the tolerance elsewhere";
}

TEST(Loaded, EngineFilesThatDoNotFitAreRefused) {
  auto bytes = sample_artifact(TaskType::binary);
  ASSERT_TRUE(bytes);
  auto artifact = read_artifact(*bytes);
  ASSERT_TRUE(artifact);
  const std::string engine(artifact->engine_file);
  const auto reason = [&](Manifest manifest, std::string_view file) {
    auto written = write_artifact(std::move(manifest), file);
    if (!written) return written.error().reason;
    auto model = LoadedModel::load(*written);
    return model ? std::string("loaded") : model.error().reason;
  };
  Manifest m = artifact->manifest;
  EXPECT_EQ("loaded", reason(m, engine));
  EXPECT_EQ("model.bad_engine_file", reason(m, ""));
  EXPECT_EQ("model.bad_engine_file", reason(m, "no trees"));
  EXPECT_EQ("model.bad_engine_file", reason(m, "{}"));
  EXPECT_EQ("model.bad_engine_file", reason(m, engine.substr(0, engine.size() / 2)));
  Manifest narrow = m;
  narrow.inputs.pop_back();
  narrow.golden.clear();
  EXPECT_EQ("model.bad_engine_file", reason(narrow, engine));
  Manifest wide = testing::sample_manifest(TaskType::multiclass);
  EXPECT_EQ("model.bad_engine_file", reason(wide, engine));
  Manifest value = testing::sample_manifest(TaskType::regression);
  EXPECT_EQ("model.bad_engine_file", reason(value, engine)) << "trained for another task";
  Manifest other = m;
  other.engine.name = "catboost";
  EXPECT_EQ("model.unknown_engine", reason(other, engine));
}

TEST(Loaded, AMissingLibraryIsSaid) {
  auto bytes = sample_artifact(TaskType::binary);
  ASSERT_TRUE(bytes);
  auto model = LoadedModel::load(*bytes, {.libraries = {.xgboost = "/nowhere/libxgboost.so"}});
  ASSERT_FALSE(model);
  EXPECT_EQ("model.engine_missing", model.error().reason);
  EXPECT_EQ(Code::unavailable, model.error().code);
}

TEST(Loaded, ConstantsAnswerTheSameToAll) {
  auto bytes = testing::constant_artifact(TaskType::binary, 0.25);
  ASSERT_TRUE(bytes) << bytes.error().message;
  auto model = LoadedModel::load(*bytes);
  ASSERT_TRUE(model);
  EncodeStats stats;
  const auto rows = sample_rows(1, 5);
  auto answers = (*model)->predict(rows, stats);
  ASSERT_TRUE(answers);
  for (const auto& a : *answers) {
    EXPECT_NEAR(0.25, a.score, 1e-7);
    EXPECT_EQ("no", a.label);
  }
  auto why = (*model)->explain(rows[0]);
  ASSERT_TRUE(why);
  EXPECT_FLOAT_EQ(why->answer.margin, static_cast<float>(why->bias));
}

TEST(Loaded, JsonAndRowsAreBitEqual) {
  const auto rows = sample_rows(12, 300);
  const auto model = loaded(TaskType::binary);
  std::string text = "[";
  for (const auto& row : rows) text += (text.size() > 1 ? "," : "") + testing::json_row(model->manifest().inputs, row);
  auto parsed = model->parser().parse_json(text + "]");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EncodeStats stats;
  EXPECT_EQ(*model->predict(rows, stats), *model->predict(parsed->rows, stats));
}

}  // namespace
}  // namespace millrace::model
