#include "loop/log_layout.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/rng.hpp"
#include "base/testing/reason.hpp"
#include "base/testing/sim_clock.hpp"

namespace millrace::loop {
namespace {

using serve::LoggedPrediction;
using serve::LogSchema;
using table::Type;

std::vector<std::string> names(const LogLayout& layout) {
  std::vector<std::string> out;
  for (const auto& field : layout.schema) out.push_back(field.name + " " + field.type);
  return out;
}

TEST(LogLayout, ColumnsAndWhatTheyAreCalled) {
  LogLayout layout;
  EXPECT_TRUE(extend(layout, {"churn", 1, {{"age", Type::int64}, {"Plan", Type::text}}, {"No", "Yes"}}, 1));
  EXPECT_FALSE(extend(layout, {"churn", 1, {{"age", Type::int64}, {"Plan", Type::text}}, {"No", "Yes"}}, 1));
  EXPECT_EQ(names(layout),
            (std::vector<std::string>{"prediction_id text", "time timestamp", "version int64", "key text",
                                      "decision text", "score.Yes float64", "age int64", "Plan text"}));
  // A version like another needs a line only; one with more classes and inputs adds its columns behind.
  EXPECT_TRUE(extend(layout, {"churn", 2, {{"age", Type::int64}, {"Plan", Type::text}}, {"No", "Yes"}}, 1));
  EXPECT_EQ(layout.kinds.size(), 1u);
  EXPECT_TRUE(extend(layout, {"churn", 3, {{"age", Type::float64}, {"spend", Type::float64}}, {"No", "Yes", "?"}}, 3));
  auto now = names(layout);
  EXPECT_EQ(std::vector<std::string>(now.begin() + 8, now.end()),
            (std::vector<std::string>{"score.No float64", "score.? float64", "input.age float64", "spend float64"}));
}

TEST(LogLayout, NamesThatAreTaken) {
  struct Case {
    const char* what;
    std::vector<table::Field> inputs;
    std::vector<std::string> classes;
    std::vector<std::string> expected;  // behind the five
  };
  const Case cases[] = {
      {"ours", {{"time", Type::text}, {"KEY", Type::int64}}, {}, {"value", "input.time", "input.KEY"}},
      {"the score's", {{"value", Type::text}}, {}, {"value", "input.value"}},
      {"upper and lower case", {{"a", Type::text}, {"A", Type::text}}, {}, {"value", "a", "input.A"}},
      {"the prefix is a name too",
       {{"input.time", Type::text}, {"time", Type::text}},
       {},
       {"value", "input.time", "input.time:text"}},
      {"everything is taken",
       {{"x", Type::text}, {"input.X", Type::text}, {"INPUT.x:text", Type::text}, {"X", Type::text}},
       {},
       {"value", "x", "input.X", "INPUT.x:text", "input.X:text_2"}},
      {"classes that differ in case", {}, {"a", "A", "b"}, {"score.a", "score.score.A", "score.b"}},
      {"a class without a name", {{"", Type::text}}, {"", "x"}, {"score.x", "input."}},
  };
  for (const auto& c : cases) {
    LogLayout layout;
    extend(layout, {"m", 1, c.inputs, c.classes}, c.classes.size() == 2 || c.classes.empty() ? 1 : c.classes.size());
    std::vector<std::string> got;
    for (std::size_t i = 5; i < layout.schema.size(); ++i) got.push_back(layout.schema[i].name);
    EXPECT_EQ(got, c.expected) << c.what;
  }
}

TEST(LogLayout, WhyComesWithTheFirstLineThatSaysSo) {
  LogLayout layout;
  const LogSchema schema{"m", 1, {{"why", Type::text}}, {}};
  extend(layout, schema, 1);
  LoggedPrediction line{.scores = {1}, .inputs = {std::string("because")}};
  EXPECT_FALSE(extend(layout, line));
  EXPECT_EQ(names(layout).size(), 7u);
  line.why = serve::Why::shadow;
  line.live = *Id::parse("01JQ8ZK3V7XW6N2M4R5T9Y0BCD");
  EXPECT_TRUE(extend(layout, line));
  EXPECT_FALSE(extend(layout, line));
  EXPECT_EQ(names(layout).at(7), "logged.why text") << "an input has the shorter name";
  EXPECT_EQ(names(layout).at(8), "live_id text");
  const LogRows rows(layout, "m");
  auto back = *rows.line_of(*rows.row_of(schema, line), true);
  EXPECT_EQ(back.line.why, serve::Why::shadow);
  EXPECT_EQ(back.line.live, line.live);
  line.why = serve::Why::current;
  line.live.reset();
  back = *rows.line_of(*rows.row_of(schema, line), true);
  EXPECT_EQ(back.line.why, serve::Why::current);
  EXPECT_FALSE(back.line.live);
}

TEST(LogLayout, DatasetsOfModels) {
  EXPECT_EQ(predictions_dataset("churn"), "churn.predictions");
  EXPECT_EQ(model_of_predictions("churn.predictions"), "churn");
  EXPECT_FALSE(model_of_predictions("predictions"));
  EXPECT_FALSE(model_of_predictions(".predictions"));
  EXPECT_FALSE(model_of_predictions("churn"));
}

// Equal to the bit: NaN is NaN, -0.0 is not 0.0.
bool same(const table::Value& a, const table::Value& b) {
  const auto* x = std::get_if<double>(&a);
  const auto* y = std::get_if<double>(&b);
  if (x && y)
    return (std::isnan(*x) && std::isnan(*y)) || std::bit_cast<std::uint64_t>(*x) == std::bit_cast<std::uint64_t>(*y);
  return a == b;
}

TEST(LogLayout, EveryLineComesBack) {
  SeededRng rng(5);
  SimClock clock;
  IdMaker ids(clock, rng);
  const Type types[] = {Type::boolean, Type::int64, Type::float64, Type::text, Type::date, Type::timestamp};
  auto value = [&](Type type) -> table::Value {
    if (rng.below(4) == 0) return {};
    switch (type) {
      case Type::boolean:
        return rng.below(2) == 0;
      case Type::int64:
        return rng.below(3) == 0 ? std::numeric_limits<std::int64_t>::min()
                                 : static_cast<std::int64_t>(rng.below(1u << 30)) * 4'000'000'123;
      case Type::float64: {
        const double some[] = {0.1,
                               -0.0,
                               1e308,
                               std::numeric_limits<double>::quiet_NaN(),
                               -std::numeric_limits<double>::infinity(),
                               std::numeric_limits<double>::denorm_min()};
        return some[rng.below(6)];
      }
      case Type::text: {
        const char* some[] = {"", "☃", "a\nb", "\"quoted\", 'so'", "null"};
        return std::string(some[rng.below(5)]);
      }
      case Type::date:
        return table::Date{static_cast<std::int32_t>(rng.below(100'000)) - 50'000};
      case Type::timestamp:
        return table::Timestamp{static_cast<std::int64_t>(rng.below(1u << 30)) * 4'000'001 - 1'000'000'000'000'000};
    }
    return {};
  };
  LogLayout layout;
  std::vector<LogSchema> schemas;
  for (int version = 1; version <= 12; ++version) {
    LogSchema schema{"m", version, {}, {}};
    const char* inputs[] = {"a", "b", "A", "time", "c"};
    for (const char* name : inputs) {
      if (rng.below(3) > 0) schema.inputs.push_back({name, types[rng.below(6)]});
    }
    const char* classes[] = {"x", "X", "y", ""};
    for (std::size_t i = 0; i < (version % 3) * 2u; ++i) schema.classes.push_back(classes[i]);
    extend(layout, schema, schema.classes.size() == 4 ? 4 : 1);
    schemas.push_back(schema);
  }
  const LogRows rows(layout, "m");
  for (int i = 0; i < 2000; ++i) {
    const auto& schema = schemas[rng.below(static_cast<std::uint32_t>(schemas.size()))];
    LoggedPrediction line;
    line.id = ids.make();
    line.time = TimePoint(Duration(static_cast<std::int64_t>(rng.below(1u << 30)) * 1'000'000 + 7));
    if (rng.below(2) == 0) line.key = "k ☃";
    for (std::size_t s = 0; s < (schema.classes.size() == 4 ? 4u : 1u); ++s)
      line.scores.push_back(rng.below(9) == 0 ? -0.0f : static_cast<float>(rng.below(1000)) / 7);
    line.decision = schema.classes.empty()
                        ? -1
                        : static_cast<std::int32_t>(rng.below(static_cast<std::uint32_t>(schema.classes.size())));
    for (const auto& input : schema.inputs) line.inputs.push_back(value(input.type));
    auto row = rows.row_of(schema, line);
    ASSERT_TRUE(row) << row.error().message;
    auto back = rows.line_of(*row, true);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->schema->inputs, schema.inputs);
    EXPECT_EQ(back->schema->classes, schema.classes);
    EXPECT_EQ(back->schema->version, schema.version);
    EXPECT_EQ(back->line.id, line.id);
    EXPECT_EQ(back->line.time, line.time);
    EXPECT_EQ(back->line.key, line.key);
    EXPECT_EQ(back->line.scores, line.scores);
    EXPECT_EQ(back->line.decision, line.decision);
    EXPECT_TRUE(std::ranges::equal(back->line.inputs, line.inputs, same));
    table::Row light;  // as a reader of only these columns sees it
    for (const auto& field : rows.light_schema().fields)
      light.push_back((*row)[static_cast<std::size_t>(rows.schema().index_of(field.name))]);
    auto narrow = rows.line_of(light, false);
    ASSERT_TRUE(narrow);
    EXPECT_EQ(narrow->line.id, line.id);
    EXPECT_EQ(narrow->line.scores, line.scores);
    EXPECT_EQ(narrow->line.decision, line.decision);
    EXPECT_TRUE(narrow->line.inputs.empty());
  }
}

TEST(LogLayout, WhatHasNoPlaceIsRefused) {
  LogLayout layout;
  LogSchema schema{"m", 1, {{"a", Type::int64}}, {}};
  extend(layout, schema, 1);
  const LogRows rows(layout, "m");
  LoggedPrediction line;
  line.scores = {1};
  line.inputs = {std::string("text")};
  EXPECT_EQ(reason_of(rows.row_of(schema, line)), "loop.log_row");
  line.inputs = {std::int64_t{1}};
  EXPECT_TRUE(rows.row_of(schema, line));
  schema.version = 2;
  EXPECT_EQ(reason_of(rows.row_of(schema, line)), "loop.log_row");
}

// A folder put together from two moments: the number of a version stands for two models.
TEST(LogLayout, OneNumberForTwoModels) {
  LogLayout layout;
  LogSchema one{"m", 1, {{"a", Type::int64}, {"b", Type::int64}}, {}},
      other{"m", 1, {{"b", Type::int64}, {"a", Type::text}}, {}};
  extend(layout, one, 1);
  extend(layout, other, 1);
  const LogRows rows(layout, "m");
  LoggedPrediction line;
  line.scores = {1};
  line.inputs = {std::int64_t{5}, std::string("t")};
  auto row = rows.row_of(other, line);
  ASSERT_TRUE(row) << row.error().message;
  auto back = rows.line_of(*row, true);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->line.inputs, (table::Row{{}, std::int64_t{5}, std::string("t")}));
  EXPECT_EQ(back->schema->inputs.size(), 3u);
}

}  // namespace
}  // namespace millrace::loop
