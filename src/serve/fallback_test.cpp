#include "serve/fallback.hpp"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/testing/env.hpp"
#include "blob/testing/memory.hpp"
#include "model/testing/models.hpp"
#include "serve/predictor.hpp"
#include "serve/statistics_text.hpp"

namespace millrace::serve {
namespace {

using model::TaskType;
using model::testing::constant_artifact;

TEST(Fallback, AConstantIsAnAnswerOfTheTask) {
  const auto regression = model::testing::sample_manifest(TaskType::regression);
  EXPECT_EQ(constant_answer(regression, "-1.5")->score, -1.5);
  EXPECT_EQ(constant_answer(regression, "-1.5")->decision, -1);
  const auto binary = model::testing::sample_manifest(TaskType::binary);
  EXPECT_EQ(constant_answer(binary, "no")->score, 0);
  EXPECT_EQ(constant_answer(binary, "yes")->score, 1);
  EXPECT_EQ(constant_answer(binary, "yes")->label, "yes");
  EXPECT_EQ(constant_answer(binary, "yes")->decision, 1);
  const auto multi = model::testing::sample_manifest(TaskType::multiclass);
  EXPECT_EQ(constant_answer(multi, "car")->probabilities, (std::vector{0.0, 1.0, 0.0}));
  EXPECT_EQ(constant_answer(multi, "car")->score, 1);
  for (const auto& [manifest, value] : std::vector<std::pair<model::Manifest, std::string>>{{regression, "cheap"},
                                                                                            {regression, ""},
                                                                                            {regression, "1 "},
                                                                                            {regression, "inf"},
                                                                                            {regression, "nan"},
                                                                                            {binary, "maybe"},
                                                                                            {binary, "1"},
                                                                                            {multi, "Car"}}) {
    EXPECT_EQ(constant_answer(manifest, value).error().reason, "serve.bad_fallback") << value;
  }
}

TEST(Fallback, StandsInWhoReadsNoMore) {
  const auto asked = model::testing::sample_manifest(TaskType::binary);
  const auto with = [&](auto change) {
    auto other = asked;
    change(other);
    return stands_in(other, asked);
  };
  EXPECT_EQ(stands_in(asked, asked)->size(), asked.inputs.size());
  EXPECT_EQ(with([](auto& m) { m.inputs = {m.inputs[2], m.inputs[0]}; }), (std::vector<std::size_t>{2, 0}));
  EXPECT_FALSE(with([](auto& m) { m.inputs[1].name = "another"; }));
  EXPECT_FALSE(with([](auto& m) { m.inputs[1].type = table::Type::text; }));
  EXPECT_FALSE(with([](auto& m) { m.classes = {"no", "perhaps"}; }));
  EXPECT_FALSE(with([](auto& m) { m.task = TaskType::multiclass; }));
}

struct FallbackWishes final : WantedSource {
  Result<std::vector<WantedModel>> wanted() override { return models; }
  std::vector<WantedModel> models;
};

// The version on probation, or the candidate, fails at a fault point; others do not.
struct PredictorFallbackTest : ::testing::Test {
  VersionRef put(std::int64_t number, const std::string& bytes) {
    auto writer = *blobs.create();
    EXPECT_TRUE(writer->append(bytes));
    return {number, writer->commit()->digest};
  }
  void SetUp() override {
    constexpr auto regression = TaskType::regression;
    wishes.models = {{.name = "fare",
                      .current = put(2, *constant_artifact(regression, 8)),
                      .previous = put(1, *constant_artifact(regression, 7))}};
    wishes.models.front().probation = true;
    ASSERT_TRUE(t.faults.arm("serve.answer.candidate=error"));
  }
  void serve(Fallback fallback) {
    wishes.models.front().fallback = std::move(fallback);
    ASSERT_TRUE(predictor.reconcile());
  }
  std::string ask(const Choice& choice = {}, std::optional<std::int64_t> version = {}) {
    const auto row = model::testing::json_row(model::testing::sample_inputs(), model::testing::sample_rows(1, 1)[0]);
    PredictRequest request{"fare", row};
    request.choice = choice;
    request.version = version;
    request.fell_back_to = &fell_back_to;
    fell_back_to.reset();
    Problem problem;
    auto answer = predictor.predict(request, &problem);
    if (!answer) return answer.error().reason;
    const auto at = answer->find("\"model\":\"") + 9;
    const bool told = answer->find("\"fallback\":true") != std::string::npos;
    EXPECT_EQ(told, fell_back_to.has_value()) << *answer;
    const auto prediction = answer->substr(14, answer->find(',') - 14);
    return prediction + " of " + answer->substr(at, answer->find('"', at) - at);
  }
  std::map<std::int64_t, VersionCounts> counts() {
    std::map<std::int64_t, VersionCounts> out;
    for (const auto& one : predictor.statistics().front().versions) out[one.number] = one.counts;
    return out;
  }
  std::vector<std::pair<std::int64_t, LoggedPrediction>> lines() {
    std::vector<std::pair<std::int64_t, LoggedPrediction>> out;
    EXPECT_TRUE(read_prediction_log(t.env.fs, t.path("log"), [&](const LogSchema& schema, LoggedPrediction&& line) {
      EXPECT_EQ(schema.inputs.size(), line.inputs.size());
      out.emplace_back(schema.version, std::move(line));
      return ok();
    }));
    return out;
  }

  TestEnv t;
  blob::MemoryStore blobs{t.clock};
  std::unique_ptr<PredictionLog> log = *PredictionLog::open({t.path("log"), 1 << 20}, t.env);
  FallbackWishes wishes;
  BlobVersions blob_versions{blobs};
  Predictor predictor{{}, t.env, wishes, blob_versions, log.get()};
  std::optional<std::int64_t> fell_back_to;
};

TEST_F(PredictorFallbackTest, WithoutOneTheErrorIsTheAnswer) {
  serve({});
  EXPECT_EQ(ask(), "fault.injected");
  EXPECT_EQ(lines().size(), 0u);
  EXPECT_EQ(counts()[2].broke, 1u);
  EXPECT_EQ(predictor.statistics().front().fallbacks, 0u);
}

TEST_F(PredictorFallbackTest, TheVersionBeforeAnswers) {
  serve({Fallback::Kind::previous, ""});
  EXPECT_EQ(ask(), "7 of fare:1");
  EXPECT_EQ(fell_back_to, 1);
  const auto all = lines();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].first, 1);
  EXPECT_EQ(all[0].second.why, Why::fallback);
  EXPECT_EQ(all[0].second.scores, std::vector{7.0f});
  EXPECT_EQ(counts()[2].broke, 1u);
  EXPECT_EQ(counts()[2].failed, 1u);
  EXPECT_EQ(counts()[2].succeeded, 0u);
  EXPECT_EQ(counts()[1].succeeded, 1u);
  EXPECT_EQ(counts()[1].failed, 0u);
  const auto report = predictor.statistics();
  EXPECT_EQ(report.front().fallbacks, 1u);
  EXPECT_NE(prometheus_text(report, 10).find("millrace_serve_fallback_total{model=\"fare\"} 1\n"), std::string::npos);
}

TEST_F(PredictorFallbackTest, WhoNamesAVersionGetsItOrTheError) {
  serve({Fallback::Kind::constant, "0.5"});
  EXPECT_EQ(ask({Choice::Kind::number, 1}), "7 of fare:1");
  EXPECT_EQ(ask({}, 1), "7 of fare:1");
  EXPECT_EQ(ask(), "0.5 of fare:0");
}

TEST_F(PredictorFallbackTest, AClientsMistakeIsItsOwn) {
  serve({Fallback::Kind::constant, "0.5"});
  Problem problem;
  EXPECT_EQ(predictor.predict({"fare", "{\"age\":\"old\"}"}, &problem).error().code, Code::invalid_argument);
  EXPECT_EQ(predictor.statistics().front().fallbacks, 0u);
  EXPECT_EQ(counts()[2].broke, 0u);
}

TEST_F(PredictorFallbackTest, AConstantIsNoVersion) {
  serve({Fallback::Kind::constant, "0.5"});
  EXPECT_EQ(ask(), "0.5 of fare:0");
  EXPECT_EQ(fell_back_to, 0);
  const auto all = lines();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].first, kConstantVersion);
  EXPECT_EQ(all[0].second.scores, std::vector{0.5f});
  EXPECT_EQ(all[0].second.why, Why::fallback);
  t.faults.arm("").value();
  EXPECT_EQ(ask(), "8 of fare:2");
  EXPECT_EQ(lines().back().second.why, Why::probation);
}

TEST_F(PredictorFallbackTest, OneThatDoesNotFitIsNoAnswer) {
  serve({Fallback::Kind::constant, "cheap"});
  EXPECT_EQ(ask(), "fault.injected");
}

TEST_F(PredictorFallbackTest, ACandidatesPlaceIsTakenByCurrent) {
  auto& model = wishes.models.front();
  model.probation = false;
  model.release = WantedRelease{"r", put(3, *constant_artifact(TaskType::regression, 9)), 1};
  for (const auto& fallback : {Fallback{Fallback::Kind::previous, ""}, Fallback{Fallback::Kind::constant, "1"}}) {
    serve(fallback);
    EXPECT_EQ(ask(), "8 of fare:2");
    EXPECT_EQ(ask({Choice::Kind::candidate}), "fault.injected");
  }
  EXPECT_EQ(counts()[3].broke, 4u);
}

// What is logged and answered is what the version before reads of the row.
TEST_F(PredictorFallbackTest, TheVersionBeforeMayReadFewerColumns) {
  auto manifest = model::testing::sample_manifest(TaskType::regression);
  manifest.inputs = {manifest.inputs[3], manifest.inputs[0]};
  wishes.models.front().previous = put(1, *constant_artifact(manifest, 6));
  serve({Fallback::Kind::previous, ""});
  EXPECT_EQ(ask(), "6 of fare:1");
  const auto all = lines();
  ASSERT_EQ(all.size(), 1u);
  const auto row = model::testing::sample_rows(1, 1)[0];
  EXPECT_EQ(all[0].second.inputs, (table::Row{row[3], row[0]}));
}

}  // namespace
}  // namespace millrace::serve
