#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "base/clock.hpp"
#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/rng.hpp"
#include "model/artifact.hpp"
#include "model/loaded.hpp"
#include "train/testing/memory_data.hpp"
#include "train/trainer.hpp"

namespace millrace::train {
namespace {

using table::Type;
using table::Value;
using testing::MemoryData;
using testing::MemoryLog;

constexpr const char* kSecretText = "PLANTED-7f3a91";
constexpr double kSecretNumber = 918273645.5;

// What a runner gives, with a switch to cancel after so many looks.
struct Runner {
  RealFs fs;
  SystemClock clock;
  SeededRng rng{1};
  Faults faults;
  std::unique_ptr<Log> log = null_log();
  Env env{fs, clock, rng, faults, *log};
  int looks_left = -1;
  std::vector<TaskProgress> progress;
  Task task{.env = env,
            .progress = [this](const TaskProgress& p) { progress.push_back(p); },
            .cancelled = [this] { return looks_left >= 0 && looks_left-- == 0; }};
};

table::Schema schema() {
  return {{{"id", Type::text},
           {"x", Type::float64},
           {"n", Type::int64},
           {"color", Type::text},
           {"flag", Type::boolean},
           {"when", Type::date},
           {"note", Type::text},
           {"score", Type::float64},
           {"kind", Type::text},
           {"level", Type::int64}}};
}

std::vector<table::Row> rows(std::size_t count, std::uint64_t seed = 3) {
  static const char* kColors[] = {"red", "green", "blue"};
  static const char* kKinds[] = {"no", "yes"};
  SeededRng rng(seed);
  std::vector<table::Row> out;
  for (std::size_t i = 0; i < count; ++i) {
    const double x = rng.unit() * 10;
    const auto n = static_cast<std::int64_t>(rng.below(20));
    const auto color = rng.below(3);
    const double truth = std::sin(x) * 3 + static_cast<double>(n) / 5 + (color == 1 ? 2 : 0) + rng.unit();
    out.push_back({"id" + std::to_string(i), rng.below(10) == 0 ? Value{} : Value{x}, n, std::string(kColors[color]),
                   rng.below(2) == 0, table::Date{static_cast<std::int32_t>(18'000 + rng.below(900))},
                   std::string(i == 5 ? kSecretText : "free text " + std::to_string(i)), truth,
                   std::string(kKinds[truth > 3.5]),
                   static_cast<std::int64_t>(truth > 5   ? 10
                                             : truth > 2 ? 9
                                                         : 1)});
  }
  return out;
}

MemoryData data(std::size_t count = 800, std::size_t part_rows = 100) {
  std::vector<bool> validation(count);
  for (std::size_t i = 0; i < count; ++i) validation[i] = i % 5 == 0;
  return {schema(), rows(count), std::move(validation), part_rows};
}

TrainInput input(const std::string& task, std::map<std::string, std::string> parameters = {}) {
  TrainInput in{.name = "sample",
                .task = task,
                .target = task == "regression" ? "score"
                          : task == "binary"   ? "kind"
                                               : "level"};
  in.inputs = {{.name = "x"}, {.name = "n"}, {.name = "color"}, {.name = "flag"}, {.name = "when"}};
  in.key = "id";
  in.ignored = {"note"};
  in.parameters = std::move(parameters);
  in.parameters.emplace("rounds", "40");
  in.created = "2026-11-20T09:40:00.000000Z";
  in.checkpoint_rounds = 0;
  in.checkpoint_seconds = 0;
  return in;
}

Result<TrainOutput> train(const TrainInput& in, TrainingData& from, MemoryLog* log = nullptr,
                          std::string_view checkpoint = {}, Runner* runner = nullptr) {
  Runner own;
  MemoryLog own_log;
  auto trainer = make_trainer(in.trainer, {});
  if (!trainer) return fail(trainer.error());
  return (*trainer)->train(in, from, log ? *log : own_log, (runner ? *runner : own).task, checkpoint);
}

TEST(BoostedTrees, LearnsEachTask) {
  for (const std::string task : {"binary", "multiclass", "regression"}) {
    auto d = data();
    MemoryLog log;
    Runner runner;
    auto out = train(input(task), d, &log, {}, &runner);
    ASSERT_TRUE(out) << task << ": " << out.error().message;
    ASSERT_EQ(1u, log.metrics.size());
    const auto& curve = log.metrics.begin()->second;
    EXPECT_EQ("validation." + out->facts.metric, log.metrics.begin()->first);
    EXPECT_EQ(out->facts.rounds_run, static_cast<int>(curve.size()));
    EXPECT_LT(*out->facts.validation_score, curve.front().second * 0.7) << task;
    EXPECT_EQ(640, out->facts.rows);
    EXPECT_EQ(160, out->facts.validation_rows);
    ASSERT_FALSE(out->facts.importance.empty());
    EXPECT_TRUE(out->facts.importance[0].feature == "x" || out->facts.importance[0].feature == "n")
        << out->facts.importance[0].feature;
    const TaskProgress& last = runner.progress.back();
    EXPECT_EQ("train", last.phase);
    EXPECT_EQ(out->facts.rounds_run, last.step);
    ASSERT_EQ(3u, last.metrics.size());
    EXPECT_GT(last.metrics[1].second, 0) << "rows/s";
    EXPECT_GT(last.metrics[2].second, 1e6) << "memory";
    auto model = model::LoadedModel::load(out->artifact);
    ASSERT_TRUE(model) << model.error().message;
    EXPECT_EQ(task == "multiclass" ? (std::vector<std::string>{"1", "9", "10"})
              : task == "binary"   ? (std::vector<std::string>{"no", "yes"})
                                   : std::vector<std::string>{},
              (*model)->manifest().classes);
  }
}

TEST(BoostedTrees, TheSameInputGivesTheSameBytes) {
  const std::map<std::string, std::string> settings[] = {
      {}, {{"subsample", "0.7"}, {"colsample", "0.6"}}, {{"grow_policy", "lossguide"}, {"max_leaves", "9"}}};
  for (const auto& parameters : settings) {
    auto one = data(), two = data();
    auto a = train(input("multiclass", parameters), one), b = train(input("multiclass", parameters), two);
    ASSERT_TRUE(a && b);
    EXPECT_TRUE(a->artifact == b->artifact);
  }
  auto one = data(), cut = data(800, 37);
  EXPECT_TRUE(train(input("binary"), one)->artifact == train(input("binary"), cut)->artifact)
      << "however the data is cut into parts";
  auto other = input("binary", {{"subsample", "0.7"}});
  auto a = train(other, one);
  other.seed = 2;
  EXPECT_FALSE(a->artifact == train(other, one)->artifact) << "the seed matters";
}

TEST(BoostedTrees, TheWeightOfThePositiveClass) {
  auto d = data();
  auto trained = [&](const char* weight) {
    auto in = input("binary", {{"positive_weight", weight}});
    auto out = train(in, d);
    EXPECT_TRUE(out) << out.error().message;
    return *std::move(out);
  };
  auto balanced = trained("balanced");
  auto read = model::read_artifact(balanced.artifact);
  ASSERT_TRUE(read);
  const auto& rows = balanced.facts.class_rows;
  ASSERT_EQ(2u, rows.size());
  ASSERT_NE(rows[0], rows[1]);
  const std::string said = read->manifest.provenance.parameters.at("positive_weight");
  ASSERT_TRUE(said.starts_with("balanced (")) << said;
  const std::string number = said.substr(10, said.size() - 11);
  EXPECT_DOUBLE_EQ(static_cast<double>(rows[0]) / static_cast<double>(rows[1]), std::stod(number));
  EXPECT_TRUE(read->engine_file == model::read_artifact(trained(number.c_str()).artifact)->engine_file)
      << "the same as that number by hand";
  EXPECT_FALSE(read->engine_file == model::read_artifact(trained("1").artifact)->engine_file);
  auto many = input("multiclass", {{"positive_weight", "balanced"}});
  EXPECT_EQ("train.bad_parameter", train(many, d).error().reason);
}

TEST(BoostedTrees, TwoThreadsGiveTheSameTreesWithoutSampling) {
  auto d = data();
  auto in = input("binary");
  auto one = train(in, d);
  in.nthread = 2;
  auto two = train(in, d);
  ASSERT_TRUE(one && two);
  EXPECT_TRUE(model::read_artifact(one->artifact)->engine_file == model::read_artifact(two->artifact)->engine_file);
}

// Killed after each round in turn, and each time taken up from the last checkpoint.
TEST(BoostedTrees, ResumedAtAnyRoundTheBytesAreTheSame) {
  const std::map<std::string, std::string> settings[] = {
      {{"rounds", "25"}},
      {{"rounds", "25"}, {"subsample", "0.6"}, {"colsample", "0.5"}},
      {{"rounds", "60"}, {"learning_rate", "0.6"}, {"early_stopping_rounds", "5"}},
      {{"rounds", "20"},
       {"grow_policy", "lossguide"},
       {"max_leaves", "9"},
       {"gamma", "0.01"},
       {"max_bin", "64"},
       {"max_delta_step", "0.7"},
       {"colsample_level", "0.7"},
       {"colsample_node", "0.6"}}};
  for (const std::string task : {"binary", "multiclass", "regression"}) {
    for (const auto& parameters : settings) {
      auto in = input(task, parameters);
      auto d = data(300);
      auto whole = train(in, d);
      ASSERT_TRUE(whole) << whole.error().message;
      in.checkpoint_rounds = 1;
      MemoryLog log;
      auto watched = train(in, d, &log);
      ASSERT_TRUE(watched);
      ASSERT_TRUE(watched->artifact == whole->artifact) << "checkpoints change nothing";
      ASSERT_EQ(static_cast<std::size_t>(whole->facts.rounds_run) - 1, log.checkpoints.size());
      for (std::size_t k = 0; k < log.checkpoints.size(); ++k) {
        auto resumed = train(in, d, nullptr, log.checkpoints[k]);
        ASSERT_TRUE(resumed) << resumed.error().message;
        EXPECT_EQ(static_cast<int>(k) + 1, resumed->resumed_at);
        ASSERT_TRUE(resumed->artifact == whole->artifact) << task << " resumed at round " << k + 1;
      }
    }
  }
}

TEST(BoostedTrees, ResumedAgainAndAgain) {
  auto in = input("multiclass", {{"subsample", "0.8"}, {"rounds", "30"}});
  auto d = data(300);
  auto whole = train(in, d);
  ASSERT_TRUE(whole);
  in.checkpoint_rounds = 4;
  std::string checkpoint;
  for (int attempt = 0; attempt < 50; ++attempt) {
    MemoryLog log;
    Runner runner;
    runner.looks_left = 13;  // reading takes eight looks, so each attempt gets a few rounds on
    auto out = train(in, d, &log, checkpoint, &runner);
    if (!log.checkpoints.empty()) checkpoint = log.checkpoints.back();
    if (!out) {
      ASSERT_EQ("train.cancelled", out.error().reason);
      continue;
    }
    EXPECT_GT(attempt, 3);
    EXPECT_TRUE(out->artifact == whole->artifact);
    return;
  }
  FAIL() << "never came to its end";
}

TEST(BoostedTrees, AnothersOrABrokenCheckpointIsPassedOver) {
  auto in = input("binary");
  auto d = data(300);
  auto whole = train(in, d);
  in.checkpoint_rounds = 10;
  MemoryLog log;
  ASSERT_TRUE(train(in, d, &log));
  ASSERT_FALSE(log.checkpoints.empty());
  in.seed = 9;
  auto other = train(in, d, nullptr, log.checkpoints[0]);
  ASSERT_TRUE(other);
  EXPECT_EQ(0, other->resumed_at);
  in.seed = 1;
  for (const std::string& broken :
       {std::string("x"), std::string("{}\n"), log.checkpoints[0].substr(0, 500), log.checkpoints[0] + "x"}) {
    auto out = train(in, d, nullptr, broken);
    ASSERT_TRUE(out);
    EXPECT_EQ(0, out->resumed_at);
    EXPECT_TRUE(out->artifact == whole->artifact);
  }
}

TEST(BoostedTrees, StopsEarlyAndKeepsTheBestRound) {
  auto d = data(200);
  MemoryLog log;
  auto out = train(input("regression", {{"rounds", "2000"}, {"learning_rate", "0.5"}, {"early_stopping_rounds", "7"}}),
                   d, &log);
  ASSERT_TRUE(out);
  EXPECT_LT(out->facts.rounds_run, 2000);
  EXPECT_EQ(out->facts.rounds + 7, out->facts.rounds_run);
  const auto& curve = log.metrics.at("validation.rmse");
  for (const auto& [step, score] : curve) EXPECT_GE(score, *out->facts.validation_score);
  EXPECT_EQ(curve[static_cast<std::size_t>(out->facts.rounds) - 1].second, *out->facts.validation_score);
}

TEST(BoostedTrees, IsCancelledWithinARound) {
  auto d = data();
  Runner runner;
  runner.looks_left = 25;
  MemoryLog log;
  auto out = train(input("binary", {{"rounds", "100000"}}), d, &log, {}, &runner);
  ASSERT_FALSE(out);
  EXPECT_EQ(Code::cancelled, out.error().code);
  EXPECT_EQ("train.cancelled", out.error().reason);
  EXPECT_LT(log.metrics.begin()->second.size(), 25u);
}

TEST(BoostedTrees, ThirtyRowsWithoutValidationWork) {
  for (const std::string task : {"binary", "multiclass", "regression"}) {
    MemoryData tiny(schema(), rows(30), std::vector<bool>(30), 7);
    auto out = train(input(task), tiny);
    ASSERT_TRUE(out) << task << ": " << out.error().message;
    EXPECT_EQ(40, out->facts.rounds);
    EXPECT_FALSE(out->facts.validation_score);
  }
}

TEST(BoostedTrees, NothingOfLeftOutColumnsOrRareValuesIsInTheArtifact) {
  auto table = rows(300);
  table[7][0] = std::string(kSecretText);
  table[9][3] = std::string(kSecretText);  // a category of one row
  table[11][1] = kSecretNumber;
  MemoryData d(schema(), table, std::vector<bool>(300));
  for (const std::string trainer : {"boosted-trees", "baseline"}) {
    auto in = input("binary");
    in.trainer = trainer;
    if (trainer == "baseline") in.parameters.clear();
    auto out = train(in, d);
    ASSERT_TRUE(out);
    for (const std::string& planted : {std::string(kSecretText), std::string("918273645"), std::string("9.182736"),
                                       std::string("free text"), std::string("id11")}) {
      EXPECT_EQ(std::string::npos, out->artifact.find(planted)) << trainer << ": " << planted;
    }
  }
}

TEST(BoostedTrees, AnswersOfTheArtifactAreThoseOfTheTraining) {
  auto d = data(400);
  auto out = train(input("binary"), d);
  auto model = model::LoadedModel::load(out->artifact);
  ASSERT_TRUE(model);
  auto batch = table::Batch::from_rows(schema(), d.rows());
  ASSERT_TRUE(batch);
  model::EncodeStats stats;
  auto answers = (*model)->predict(*batch, stats);
  ASSERT_TRUE(answers) << answers.error().message;
  double loss = 0;
  int count = 0;
  for (std::size_t i = 0; i < d.rows().size(); i += 5, ++count) {
    const double p = (*answers)[i].score;
    loss -= std::log(std::get<std::string>(d.rows()[i][8]) == "yes" ? p : 1 - p);
  }
  EXPECT_NEAR(*out->facts.validation_score, loss / count, 1e-6);
}

TEST(Trainers, RefuseWithReasons) {
  struct Case {
    const char* reason;
    std::function<void(TrainInput&)> change;
  };
  const Case cases[] = {
      {"train.unknown_trainer", [](TrainInput& in) { in.trainer = "forest"; }},
      {"train.unknown_parameter", [](TrainInput& in) { in.parameters["learning_rat"] = "0.1"; }},
      {"train.unknown_parameter", [](TrainInput& in) { in.parameters["max_depth"] = "3"; }},
      {"train.bad_parameter", [](TrainInput& in) { in.parameters["learning_rate"] = "0"; }},
      {"train.bad_parameter", [](TrainInput& in) { in.parameters["learning_rate"] = "fast"; }},
      {"train.bad_parameter", [](TrainInput& in) { in.parameters["learning_rate"] = "nan"; }},
      {"train.bad_parameter", [](TrainInput& in) { in.parameters["depth"] = "2.5"; }},
      {"train.bad_parameter", [](TrainInput& in) { in.parameters["depth"] = "31"; }},
      {"train.bad_parameter", [](TrainInput& in) { in.parameters["grow_policy"] = "sideways"; }},
      {"train.bad_parameter", [](TrainInput& in) { in.nthread = 0; }},
      {"model.bad_task", [](TrainInput& in) { in.task = "ranking"; }},
      {"train.unknown_column", [](TrainInput& in) { in.target = "kinds"; }},
      {"train.unknown_column", [](TrainInput& in) { in.inputs[0].name = "X"; }},
      {"train.target_is_input", [](TrainInput& in) { in.inputs[0].name = "kind"; }},
      {"train.no_inputs", [](TrainInput& in) { in.inputs.clear(); }},
      {"train.bad_input", [](TrainInput& in) { in.inputs[0].unseen = "guess"; }},
      {"model.bad_encoding", [](TrainInput& in) { in.inputs[0].encoding = "onehot"; }},
      {"model.bad_input", [](TrainInput& in) { in.inputs[2].encoding = "number"; }},
      {"train.bad_target", [](TrainInput& in) { in.task = "regression"; }},
      {"train.too_many_classes", [](TrainInput& in) { in.target = "level"; }},
      {"train.unknown_class", [](TrainInput& in) { in.classes = {"no", "maybe"}; }},
      {"train.unknown_class", [](TrainInput& in) { in.positive = "perhaps"; }},
  };
  for (const auto& c : cases) {
    auto in = input("binary");
    c.change(in);
    auto d = data(100);
    auto out = train(in, d);
    ASSERT_FALSE(out) << c.reason;
    EXPECT_EQ(c.reason, out.error().reason) << out.error().message;
  }
}

TEST(Trainers, OneClassAndNoRowsAreRefused) {
  auto same = rows(60);
  for (auto& row : same) row[8] = std::string("yes");
  for (const std::string trainer : {"boosted-trees", "baseline"}) {
    auto in = input("binary");
    in.trainer = trainer;
    if (trainer == "baseline") in.parameters.clear();
    MemoryData one(schema(), same, std::vector<bool>(60));
    auto out = train(in, one);
    ASSERT_FALSE(out);
    EXPECT_EQ("train.one_class", out.error().reason);
    auto unlabelled = rows(60);
    for (auto& row : unlabelled) row[8] = Value{};
    MemoryData none(schema(), unlabelled, std::vector<bool>(60));
    out = train(in, none);
    ASSERT_FALSE(out);
    EXPECT_EQ("train.no_rows", out.error().reason);
    MemoryData empty(schema(), {}, {});
    out = train(in, empty);
    ASSERT_FALSE(out);
    EXPECT_EQ("train.no_rows", out.error().reason);
  }
}

TEST(Trainers, UnlabelledRowsAreLeftOutAndCounted) {
  auto some = rows(200);
  for (std::size_t i = 0; i < 50; ++i) some[i][8] = Value{};
  MemoryData d(schema(), some, std::vector<bool>(200));
  auto out = train(input("binary"), d);
  ASSERT_TRUE(out);
  EXPECT_EQ(150, out->facts.rows);
  EXPECT_EQ(50, out->facts.unlabelled_rows);
}

TEST(Trainers, ThePositiveClassIsTheSecond) {
  auto d = data(200);
  auto in = input("binary");
  in.positive = "no";
  auto out = train(in, d);
  ASSERT_TRUE(out);
  auto model = model::LoadedModel::load(out->artifact);
  EXPECT_EQ((std::vector<std::string>{"yes", "no"}), (*model)->manifest().classes);
}

TEST(Baseline, AnswersSharesAndMean) {
  auto d = data();
  double mean = 0;
  int yes = 0, count = 0;
  for (std::size_t i = 0; i < d.rows().size(); ++i) {
    if (i % 5 == 0) continue;
    mean += std::get<double>(d.rows()[i][7]);
    yes += std::get<std::string>(d.rows()[i][8]) == "yes";
    ++count;
  }
  for (const std::string task : {"binary", "multiclass", "regression"}) {
    auto in = input(task);
    in.trainer = "baseline";
    in.parameters.clear();
    auto out = train(in, d);
    ASSERT_TRUE(out) << out.error().message;
    auto model = model::LoadedModel::load(out->artifact);
    ASSERT_TRUE(model);
    auto batch = table::Batch::from_rows(schema(), {d.rows()[0], d.rows()[1]});
    model::EncodeStats stats;
    auto answers = (*model)->predict(*batch, stats);
    ASSERT_TRUE(answers);
    EXPECT_EQ((*answers)[0], (*answers)[1]);
    if (task == "binary") {
      EXPECT_NEAR(static_cast<double>(yes) / count, (*answers)[0].score, 1e-6);
    }
    if (task == "regression") {
      EXPECT_NEAR(mean / count, (*answers)[0].score, 1e-5);
    }
    if (task == "multiclass") {
      const auto& p = (*answers)[0].probabilities;
      EXPECT_NEAR(1, p[0] + p[1] + p[2], 1e-9);
    }
  }
}

}  // namespace
}  // namespace millrace::train
