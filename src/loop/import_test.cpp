#include "loop/import.hpp"

#include <gtest/gtest.h>

#include <functional>

#include "base/testing/reason.hpp"

namespace millrace::loop {
namespace {

TEST(Import, WhatMayStandForTheProjectsModel) {
  struct Case {
    const char* name;
    std::function<void(model::Manifest&, ModelSpec&, data::ColumnNames&)> change;
    std::string reason;
  };
  const std::vector<Case> cases = {
      {"the same", [](auto&, auto&, auto&) {}, ""},
      {"more classes than the data has now", [](auto& m, auto&, auto&) { m.classes.push_back("perhaps"); }, ""},
      {"another task", [](auto& m, auto&, auto&) { m.task = model::TaskType::regression; }, "loop.other_task"},
      {"another target", [](auto& m, auto&, auto&) { m.target = "bought"; }, "loop.other_target"},
      {"a class it does not know", [](auto&, auto& s, auto&) { s.classes.push_back("maybe"); }, "loop.other_classes"},
      {"the other class is positive", [](auto& m, auto&, auto&) { m.positive = "no"; }, "loop.other_classes"},
      {"a column that is not there", [](auto& m, auto&, auto&) { m.inputs.push_back({.name = "income"}); },
       "loop.missing_inputs"},
      {"a sensitive column", [](auto&, auto&, auto& hidden) { hidden.insert("age"); }, "loop.sensitive_input"},
  };
  for (const auto& one : cases) {
    model::Manifest manifest;
    manifest.target = "churned";
    manifest.classes = {"no", "yes"};
    manifest.positive = "yes";
    manifest.inputs = {{.name = "age"}};
    ModelSpec spec{.name = "m", .task = "binary", .target = "churned", .classes = {"no", "yes"}, .positive = "yes"};
    spec.inputs = {{"other", "number"}};
    data::ColumnNames hidden;
    one.change(manifest, spec, hidden);
    auto adopted = adopt(manifest, spec, {{"age", "int64"}, {"churned", "text"}}, hidden);
    EXPECT_EQ(adopted ? "" : adopted.error().reason, one.reason) << one.name;
    if (!adopted) continue;
    ASSERT_EQ(adopted->inputs.size(), 1u);
    EXPECT_EQ(adopted->inputs[0].name, "age") << "the archive's own inputs";
    EXPECT_EQ(adopted->inputs[0].encoding, "number");
  }
}

}  // namespace
}  // namespace millrace::loop
