#include "api/native/diff.hpp"

#include <gtest/gtest.h>

namespace millrace::api {
namespace {

std::string text(const Difference& difference) {
  std::string out;
  for (const auto& line : difference.lines)
    out += line.section + " " + line.name + ": '" + line.before + "' '" + line.after + "'\n";
  return out;
}

TEST(Diff, RunsByWhatTheyWereAndTook) {
  api::Run one;
  one.id = "a";
  one.state = "finished";
  one.params = {{"depth", "6"}, {"rounds", "300"}};
  one.metrics = {{"test.auc", 0.8}};
  one.inputs = {{"dataset", "s@1"}};
  api::Run other = one;
  EXPECT_EQ(text(diff(one, other)), "");
  other.id = "b";
  other.state = "failed";
  other.failure = "time: too long";
  other.params = {{"depth", "8"}, {"rounds", "300"}, {"seed", "2"}};
  other.metrics.clear();
  other.inputs = {{"dataset", "s@2"}};
  EXPECT_EQ(text(diff(one, other)),
            "outcome failure: '' 'time: too long'\noutcome state: 'finished' 'failed'\nparams depth: '6' '8'\n"
            "params seed: '' '2'\nmetrics test.auc: '0.8' ''\ninputs dataset: 's@1' 's@2'\n");
  EXPECT_EQ(diff(one, other).one, "a");
}

TEST(Diff, VersionsByTheirVerdictToo) {
  ModelVersion one;
  one.model = "m";
  one.number = 1;
  one.verdict = "passed";
  one.bytes = 10;
  one.gates = {{"auc", ">= 0.7", "0.8", true, ""}};
  auto other = one;
  other.number = 2;
  other.verdict = "failed";
  other.gates = {{"auc", ">= 0.7", "0.6", false, "too low"}, {"ece", "< 0.1", "", false, "no rows"}};
  EXPECT_EQ(text(diff(one, other)),
            "outcome verdict: 'passed' 'failed'\ngates auc >= 0.7: '0.8 passed' '0.6 failed'\n"
            "gates ece < 0.1: '' 'no rows failed'\n");
  EXPECT_EQ(diff(one, other).other, "m:2");
}

}  // namespace
}  // namespace millrace::api
