#include "model/bare.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "model/artifact.hpp"
#include "model/export.hpp"
#include "model/testing/models.hpp"

namespace millrace::model {
namespace {

using testing::sample_artifact;

constexpr TaskType kTasks[] = {TaskType::binary, TaskType::multiclass, TaskType::regression};

std::string engine_file(TaskType task, std::string_view format = "ubj", std::uint64_t seed = 1) {
  return *export_model(*sample_artifact(task, seed, 20), format, {});
}

std::vector<float> some_features(std::size_t rows, std::size_t width) {
  std::vector<float> out;
  for (std::size_t i = 0; i < rows * width; ++i)
    out.push_back(i % 11 == 0 ? NAN : static_cast<float>((i * 7919) % 97) - 20);
  return out;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::ranges::equal(
      a, b, [](float x, float y) { return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y); });
}

TEST(Bare, AnswersAsXgboostPredictsBitByBit) {
  for (const auto task : kTasks) {
    for (const auto* format : {"ubj", "xgboost-json"}) {
      const auto file = engine_file(task, format);
      const auto ours = load_bare({"m", file, ""}, {.explains = false});
      const auto theirs = load_bare({"m", file, ""}, {.own_trees = false});
      ASSERT_TRUE(ours) << ours.error().message;
      ASSERT_TRUE(theirs) << theirs.error().message;
      EXPECT_TRUE((*ours)->runtime().own_trees()) << task_name(task);
      EXPECT_FALSE((*theirs)->runtime().own_trees());
      EXPECT_EQ(task == TaskType::multiclass ? 3 : 1, output_count((*ours)->manifest()));
      const auto width = (*ours)->manifest().inputs.size();
      const auto features = some_features(500, width);
      std::vector<float> a, b;
      ASSERT_TRUE((*ours)->runtime().predict(features, 500, a));
      ASSERT_TRUE((*theirs)->runtime().predict(features, 500, b));
      EXPECT_TRUE(same_bits(a, b)) << task_name(task);
      if (task != TaskType::regression) {
        for (const float p : a) EXPECT_TRUE(p > 0 && p < 1);
      }
    }
  }
}

TEST(Bare, RowsAreArraysOrObjectsOfItsFeatures) {
  const auto model = *load_bare({"m", engine_file(TaskType::multiclass), ""}, {});
  const auto& inputs = model->manifest().inputs;
  std::string array, object;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    array += (i ? "," : "") + (i == 1 ? std::string("null") : std::to_string(i) + ".5");
    object += (i ? ",\"" : "\"") + inputs[i].name + "\":" + (i == 1 ? "null" : std::to_string(i) + ".5");
  }
  const auto one = model->parser().parse_json("[" + array + "]");
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_TRUE(one->single);
  const auto many = model->parser().parse_json("{\"rows\":[[" + array + "],[" + array + "]]}");
  ASSERT_TRUE(many) << many.error().message;
  EXPECT_FALSE(many->single);
  ASSERT_EQ(2u, many->rows.size());
  const auto named = model->parser().parse_json("[{" + object + "},[" + array + "]]");
  ASSERT_TRUE(named) << named.error().message;
  EXPECT_EQ(named->rows[0], named->rows[1]);
  EXPECT_EQ(one->rows[0], many->rows[1]);
  EXPECT_EQ(one->rows[0], named->rows[0]);
  EncodeStats stats;
  const auto answers = model->predict(one->rows, stats);
  ASSERT_TRUE(answers);
  EXPECT_EQ(3u, (*answers)[0].probabilities.size());

  for (const auto& [text, reason] :
       std::vector<std::pair<std::string, std::string>>{{"[1,2]", "model.wrong_width"},
                                                        {"[" + array + ",1]", "model.wrong_width"},
                                                        {"[[" + array + "],[1]]", "model.wrong_width"},
                                                        {"[1,[2]]", "model.wrong_width"},
                                                        {"[[1,[2]]]", "model.wrong_type"},
                                                        {"[[\"a\"]]", "model.wrong_type"},
                                                        {"[\"a\"]", "model.wrong_type"},
                                                        {"[]", "model.no_rows"},
                                                        {"{\"nobody\":1}", "model.unknown_column"}}) {
    const auto rows = model->parser().parse_json(text);
    ASSERT_FALSE(rows) << text;
    EXPECT_EQ(reason, rows.error().reason) << text << ": " << rows.error().message;
  }
}

TEST(Bare, AFileThatIsCutShortAnywhereIsRefused) {
  for (const auto* format : {"ubj", "xgboost-json"}) {
    const auto file = engine_file(TaskType::binary, format);
    ASSERT_TRUE(load_bare({"m", file, ""}, {}));
    for (std::size_t bytes = 0; bytes < file.size(); bytes += 1 + file.size() / 60) {
      const auto cut = load_bare({"m", std::string_view(file).substr(0, bytes), ""}, {});
      ASSERT_FALSE(cut) << format << " cut to " << bytes << " of " << file.size();
      EXPECT_EQ("model.bad_engine_file", cut.error().reason) << cut.error().message;
    }
  }
  EXPECT_FALSE(load_bare({"m", *sample_artifact(TaskType::binary), ""}, {}));
  EXPECT_FALSE(load_bare({"m", "{}", ""}, {}));
  EXPECT_FALSE(load_bare({"m", "[1]", ""}, {}));
}

TEST(Bare, GoldenRowsDecide) {
  const auto file = engine_file(TaskType::regression);
  const auto model = *load_bare({"m", file, ""}, {});
  const auto width = model->manifest().inputs.size();
  std::vector<float> out;
  const std::vector<float> zeros(width);
  ASSERT_TRUE(model->runtime().predict(zeros, 1, out));
  std::string row;
  for (std::size_t i = 0; i < width; ++i) row += i ? ",0" : "0";
  const auto golden = [&](double expected, const std::string& more) {
    return "{\"inputs\":[[" + row + "]],\"outputs\":[" + std::to_string(expected) + "]" + more + "}";
  };
  const auto load = [&](const std::string& text) { return load_bare({"m", file, text}, {}); };
  const auto value = static_cast<double>(out[0]);
  EXPECT_TRUE(load(golden(value, ",\"tolerance\":0.001")));
  const auto other = load(golden(value + 1, ",\"tolerance\":0.001"));
  ASSERT_FALSE(other);
  EXPECT_EQ("model.golden_mismatch", other.error().reason);
  for (const std::string text :
       {"{", "{}", "{\"inputs\":[[1]],\"outputs\":[]}", "{\"inputs\":[[1]],\"outputs\":[1]}"}) {
    const auto bad = load(text);
    ASSERT_FALSE(bad) << text;
    EXPECT_EQ("model.bad_golden", bad.error().reason) << text;
  }
}

}  // namespace
}  // namespace millrace::model
