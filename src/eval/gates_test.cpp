#include "eval/gates.hpp"

#include <gtest/gtest.h>

#include "eval/evidence.hpp"
#include "eval/testing/scored.hpp"

namespace millrace::eval {
namespace {

using namespace testing;

struct Setting {
  Scored candidate;
  std::optional<Scored> current;
  std::optional<Scored> baseline;
  Facts facts;
  std::string current_cannot = {};
};

Verdict verdict_on(const Setting& setting, const std::vector<GateLine>& lines) {
  const auto gates = parse_gates(lines, setting.candidate.task);
  EXPECT_TRUE(gates) << gates.error().message;
  if (!gates) return {};
  Evaluation evaluation{.candidate = {"churn:2", setting.candidate, Latency{0.1, 0.2, 0.4, 100}, 1'400'000},
                        .bootstrap = {.resamples = 300}};
  if (setting.current) evaluation.current = Evaluated{"churn:1", *setting.current};
  evaluation.current_cannot = setting.current_cannot;
  evaluation.rivals["baseline"] = {"churn:baseline", setting.baseline.value_or(constant_answer(setting.candidate))};
  const auto evidence = gather(*gates, evaluation);
  EXPECT_TRUE(evidence) << evidence.error().message;
  return evidence ? judge(*gates, *evidence, setting.facts) : Verdict{};
}

GateResult one(const Setting& setting, const std::string& expression, const std::string& required) {
  const Verdict verdict = verdict_on(setting, {{expression, required}});
  return verdict.gates.empty() ? GateResult{} : verdict.gates[0];
}

Scored worse(Scored rows, std::size_t every) {
  for (std::size_t r = 0; r < rows.size(); r += every) rows.scores[r] = 0.5;
  return rows;
}

TEST(Gates, Table) {
  const Scored good = binary_rows(600, 2);
  const Setting alone{good}, against_worse{good, worse(good, 3)}, against_better{worse(good, 3), good},
      against_another{.candidate = good, .current_cannot = "a column is gone"};
  struct Case {
    const Setting& setting;
    const char *expression, *required;
    bool passed;
  };
  const Case cases[] = {
      {alone, "auc", ">= 0.80", true},
      {alone, "auc", ">= 0.99", false},
      {alone, "auc", "> 80%", true},
      {alone, "ece", "< 0.1", true},
      {alone, "log_loss", "<= 0.1", false},
      {alone, "auc - baseline.auc", "> error", true},
      {alone, "log_loss - baseline.log_loss", "< -error", true},
      {alone, "log_loss - baseline.log_loss", "< - error", true},
      {alone, "auc - baseline.auc", ">= 0.9", false},
      {alone, "auc - current.auc", ">= -0.005", true},
      {alone, "auc - current.auc", "> error", true},
      {alone, "auc - naive.auc", ">= 0", false},
      {against_worse, "auc - current.auc", ">= -0.005", true},
      {against_worse, "auc - current.auc", "> error", true},
      {against_better, "auc - current.auc", ">= -0.005", false},
      {against_another, "auc - current.auc", ">= -0.005", false},
      {against_better, "auc - current.auc", "> error", false},
      {alone, "auc where country = 'PT'", ">= 0.75", true},
      {alone, "auc where country = PT", ">= 0.75", true},
      {alone, "auc where country = 'ES'", ">= 0.75", false},
      {alone, "auc where contry = 'PT'", ">= 0.75", false},
      {against_worse, "auc - current.auc where country = 'PT'", ">= 0", true},
      {alone, "auc by country", ">= 0.75", true},
      {alone, "auc by country", ">= 0.95", false},
      {alone, "log_loss by country", "<= 0.7", true},
      {alone, "log_loss by country", "<= 0.3", false},
      {alone, "tpr_gap by country", "<= 0.2", true},
      {alone, "tpr_gap by country", "<= 0.0001", false},
      {alone, "selection_rate_gap by age", "<= 0.9", true},
      {alone, "recall by nothing", ">= 0", false},
      {alone, "latency.p99", "<= 20ms", true},
      {alone, "latency.p99", "<= 0.3", false},
      {alone, "latency.p99", "<= 300us", false},
      {alone, "latency.p50", "< 1s", true},
      {alone, "model.bytes", "<= 50MB", true},
      {alone, "model.bytes", "<= 1MB", false},
  };
  for (const Case& c : cases) {
    const GateResult result = one(c.setting, c.expression, c.required);
    EXPECT_EQ(result.passed, c.passed) << c.expression << " " << c.required << ": " << result.why;
    EXPECT_FALSE(result.why.empty()) << c.expression;
    EXPECT_EQ(result.expression, c.expression);
  }
}

TEST(Gates, RecallByTheTargetIsEachClassesOwn) {
  Scored rows = multiclass_rows(300, 0.9);
  SliceColumn kind{.name = "kind"};
  for (const double y : rows.y) kind.texts.emplace_back(rows.classes[static_cast<std::size_t>(y)]);
  rows.slices = {kind};
  for (std::size_t r = 0; r < rows.size(); ++r) {  // every b taken for c
    if (rows.y[r] == 1) std::swap(rows.scores[r * 3 + 1], rows.scores[r * 3 + 2]);
  }
  const Setting setting{rows};
  const auto result = one(setting, "recall by kind", ">= 0.80");
  EXPECT_FALSE(result.passed);
  EXPECT_LT(result.got.value_or(1), 0.2);
  EXPECT_NE(result.why.find("(b)"), std::string::npos) << result.why;
  EXPECT_TRUE(one(setting, "recall where kind = 'a'", ">= 0.8").passed);
}

TEST(Gates, SmallGroupsAreLeftOutAndNamed) {
  Scored rows = binary_rows(300, 2);
  for (std::size_t r = 0; r < 5; ++r) rows.slices[0].texts[r] = "LI";
  const auto result = one({rows}, "auc by country", ">= 0.75");
  EXPECT_TRUE(result.passed) << result.why;
  EXPECT_NE(result.why.find("LI (5)"), std::string::npos) << result.why;
}

TEST(Gates, TooManyGroupsAreRefused) {
  Scored rows = binary_rows(1200, 2);
  for (std::size_t r = 0; r < rows.size(); ++r) rows.slices[0].texts[r] = std::to_string(r);
  EXPECT_FALSE(one({rows}, "accuracy by country", ">= 0").passed);
}

// What `init` writes must be able to say no.
TEST(DefaultGates, AGoodModelPasses) {
  for (const Scored& rows : {binary_rows(400, 2), multiclass_rows(400, 0.8), regression_rows(400, 0.5)}) {
    const Verdict verdict = verdict_on({rows}, default_gates(rows.task));
    EXPECT_TRUE(verdict.passed) << task_name(rows.task) << ": " << summary(verdict);
    EXPECT_EQ(verdict.rows, 400u);
    EXPECT_EQ(verdict.rows_digest, digest_of_rows(rows));
    ASSERT_EQ(verdict.against.size(), 1u);
    EXPECT_EQ(verdict.against[0].model, "churn:baseline");
  }
}

TEST(DefaultGates, ShuffledTargetsAreRefused) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    for (const Scored& rows :
         {binary_rows(400, 2, seed), multiclass_rows(400, 0.8, seed), regression_rows(400, 0.5, seed)}) {
      const Verdict verdict = verdict_on({shuffled_truth(rows, seed)}, default_gates(rows.task));
      EXPECT_FALSE(verdict.passed) << task_name(rows.task) << " seed " << seed;
      EXPECT_FALSE(verdict.gates[0].passed);
    }
  }
}

TEST(DefaultGates, ConstantFeaturesAreRefused) {
  for (const Scored& rows : {binary_rows(400, 2), multiclass_rows(400, 0.8), regression_rows(400, 0.5)}) {
    const Verdict verdict =
        verdict_on({.candidate = constant_answer(rows), .facts = {.usable_inputs = 0}}, default_gates(rows.task));
    EXPECT_FALSE(verdict.passed);
    EXPECT_NE(verdict.gates[0].why.find("no better than baseline"), std::string::npos) << verdict.gates[0].why;
    ASSERT_EQ(verdict.reasons.size(), 1u);
    EXPECT_NE(verdict.reasons[0].find("no usable input"), std::string::npos);
  }
}

TEST(DefaultGates, ThirtyRowsAreRefused) {
  // A fifth of 30 rows is the test part.
  for (const Scored& rows : {binary_rows(6, 5), multiclass_rows(6, 0.99), regression_rows(6, 0.01)}) {
    const Verdict verdict = verdict_on({rows}, default_gates(rows.task));
    EXPECT_FALSE(verdict.passed);
    EXPECT_NE(verdict.gates[0].why.find("only 6 test rows"), std::string::npos) << verdict.gates[0].why;
    EXPECT_TRUE(verdict.gates.back().passed) << "latency needs no rows";
  }
}

TEST(DefaultGates, OneClassIsRefused) {
  Scored rows = binary_rows(100, 2);
  rows.y.assign(100, 0);
  const Verdict verdict = verdict_on({rows}, default_gates(rows.task));
  EXPECT_FALSE(verdict.passed);
  EXPECT_NE(verdict.gates[0].why.find("only one class (No)"), std::string::npos) << verdict.gates[0].why;
  rows.y[0] = rows.y[1] = 1;
  const Verdict two = verdict_on({rows}, default_gates(rows.task));
  EXPECT_NE(two.gates[0].why.find("only 2 of 100 test rows are of class Yes"), std::string::npos) << two.gates[0].why;
}

TEST(DefaultGates, ASampleTrainedVersionCantPass) {
  const Scored rows = binary_rows(400, 2);
  const Verdict verdict = verdict_on({.candidate = rows, .facts = {.sampled = true}}, default_gates(rows.task));
  EXPECT_FALSE(verdict.passed);
  for (const auto& gate : verdict.gates) EXPECT_TRUE(gate.passed);
  ASSERT_EQ(verdict.reasons.size(), 1u);
  EXPECT_NE(summary(verdict).find("--quick"), std::string::npos);
}

TEST(Judge, OtherRowsThanCurrentIsAFailure) {
  const Scored rows = binary_rows(100, 2);
  const auto gates = parse_gates(std::vector<GateLine>{{"auc - current.auc", ">= -1"}});
  ASSERT_TRUE(gates);
  auto evidence = gather(*gates, {.candidate = {"m:2", rows}, .current = Evaluated{"m:1", rows}});
  ASSERT_TRUE(evidence);
  EXPECT_TRUE(judge(*gates, *evidence).passed);
  evidence->current->rows_digest = "other";
  const Verdict verdict = judge(*gates, *evidence);
  EXPECT_FALSE(verdict.passed);
  EXPECT_NE(verdict.gates[0].why.find("same rows"), std::string::npos);
}

TEST(Judge, NoGatesPass) { EXPECT_TRUE(judge({}, {}).passed); }

TEST(Judge, VerdictAndEvidenceGoThroughJson) {
  const Scored rows = binary_rows(100, 2);
  const auto gates = parse_gates(default_gates(rows.task));
  ASSERT_TRUE(gates);
  const auto evidence = gather(*gates, {.candidate = {"m:2", rows, Latency{1, 2, 3, 4}, 99},
                                        .current = Evaluated{"m:1", rows},
                                        .rivals = {{"baseline", {"m:baseline", constant_answer(rows)}}}});
  ASSERT_TRUE(evidence);
  const auto read = parse_evidence(render_evidence(*evidence));
  ASSERT_TRUE(read) << read.error().message;
  const Verdict verdict = judge(*gates, *read);
  EXPECT_EQ(render_verdict(verdict), render_verdict(judge(*gates, *evidence)));
  const auto again = parse_verdict(render_verdict(verdict));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(render_verdict(*again), render_verdict(verdict));
  EXPECT_EQ(parse_verdict(R"({"format":9})").error().reason, "eval.newer_format");
}

TEST(GateParser, SaysWhereAndWhatIsNear) {
  struct Case {
    const char *expression, *required;
    int column;
    const char* says;
  };
  const Case cases[] = {
      {"acc", ">= 0.8", 1, "no metric 'acc'"},
      {"accurcy", ">= 0.8", 1, "did you mean 'accuracy'"},
      {"auc - current.accuracy", ">= 0", 15, "expected 'current.auc'"},
      {"auc - current.aucc", ">= 0", 15, "did you mean 'auc'"},
      {"auc - current", ">= 0", 7, "current.auc"},
      {"auc -", ">= 0", 6, "current.auc"},
      {"baseline.auc - auc", ">= 0", 1, "write 'auc - baseline.auc'"},
      {"auc were country = 'PT'", ">= 0", 5, "expected 'where'"},
      {"auc where country", ">= 0", 18, "expected '='"},
      {"auc where country > 3", ">= 0", 19, "expected '='"},
      {"auc where country = ", ">= 0", 21, "expected a value"},
      {"auc where country = 'PT", ">= 0", 21, "never closed"},
      {"auc by", ">= 0", 7, "expected a column"},
      {"tpr_gap", "<= 0.05", 1, "add 'by COLUMN'"},
      {"tpr_gpa by gender", "<= 0.05", 1, "no metric 'tpr_gpa'"},
      {"selection_rate by gender", "<= 0.05", 1, "selection_rate_gap by gender"},
      {"auc - current.auc by gender", ">= 0", 1, "'by' can't be used"},
      {"auc where a = 1 by gender", ">= 0", 1, "together"},
      {"latency.p98", "<= 20ms", 1, "did you mean 'latency.p9"},
      {"latency.p99 by country", "<= 20ms", 1, "stand alone"},
      {"", ">= 0", 1, "expected a metric"},
      {"auc auc", ">= 0", 5, "expected 'where'"},
      {"auc", "", 1, "expected what is required"},
      {"auc", "0.8", 1, "expected >="},
      {"auc", ">=", 3, "expected a number"},
      {"auc", ">= high", 4, "not a number"},
      {"auc", ">= 20ms", 4, "no unit"},
      {"auc", "> error", 3, "of a difference"},
      {"auc - baseline.auc", ">= error", 1, "'> error'"},
      {"auc - baseline.auc", "> -error", 1, "'> error'"},
      {"auc - baseline.auc", "> 2error", 3, "expected 'error'"},
      {"latency.p99", "<= 20MB", 4, "expected a duration"},
      {"model.bytes", "<= 20ms", 4, "not a size"},
      {"rmse", "<= 3", 1, "for a binary model"},
  };
  for (const Case& c : cases) {
    const auto gate = parse_gate({c.expression, c.required}, TaskType::binary);
    ASSERT_FALSE(gate) << c.expression << " " << c.required;
    EXPECT_EQ(gate.error().code, Code::invalid_argument);
    EXPECT_EQ(gate.error().reason, "eval.bad_gate");
    EXPECT_NE(gate.error().message.find("(column " + std::to_string(c.column) + ")"), std::string::npos)
        << gate.error().message;
    EXPECT_NE(gate.error().message.find(c.says), std::string::npos) << gate.error().message;
  }
}

TEST(GateParser, Quotes) {
  const auto gate = parse_gate({R"(auc where "default.payment next" = 'it''s')", ">= 1"});
  ASSERT_TRUE(gate) << gate.error().message;
  EXPECT_EQ(gate->where_column, "default.payment next");
  EXPECT_EQ(gate->where_value, "it's");
  const auto number = parse_gate({"auc where score = -3", ">= 1"});
  ASSERT_TRUE(number) << number.error().message;
  EXPECT_EQ(number->where_value, "-3");
  const std::vector<Gate> both{*gate, *number, *parse_gate({"tpr_gap by gender", "<= 1"})};
  EXPECT_EQ(columns_of(both), (std::vector<std::string>{"default.payment next", "score", "gender"}));
}

// The examples of the project file, each for its own task.
TEST(GateParser, ReadsTheExamples) {
  const std::pair<TaskType, GateLine> lines[] = {
      {TaskType::binary, {"auc", ">= 0.80"}},
      {TaskType::binary, {"auc - current.auc", ">= -0.005"}},
      {TaskType::binary, {"auc where country = 'PT'", ">= 0.75"}},
      {TaskType::binary, {"tpr_gap by gender", "<= 0.05"}},
      {TaskType::binary, {"latency.p99", "<= 20ms"}},
      {TaskType::binary, {"model.bytes", "<= 50MB"}},
      {TaskType::multiclass, {"accuracy", ">= 0.90"}},
      {TaskType::multiclass, {"accuracy - current.accuracy", ">= -0.002"}},
      {TaskType::multiclass, {"recall by kind", ">= 0.80"}},
      {TaskType::multiclass, {"accuracy - server.accuracy", ">= -0.01"}},
      {TaskType::multiclass, {"latency.p95", "<= 120ms"}},
      {TaskType::binary, {"accuracy - naive.accuracy", ">= 0.03"}},
  };
  for (const auto& [task, line] : lines) {
    const auto gate = parse_gate(line, task);
    EXPECT_TRUE(gate) << gate.error().message;
  }
  EXPECT_DOUBLE_EQ(parse_gate({"latency.p99", "<= 20ms"})->number, 20);
  EXPECT_DOUBLE_EQ(parse_gate({"model.bytes", "<= 50MB"})->number, 50e6);
}

}  // namespace
}  // namespace millrace::eval
