#include "data/infer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "base/rng.hpp"
#include "base/testing/reason.hpp"
#include "data/profile.hpp"
#include "data/testing/place.hpp"
#include "table/testing/make.hpp"

namespace millrace::data {
namespace {

using testing::role_of;

Result<Inference> infer_csv(const std::string& csv, const InferRequest& request) {
  auto reader = table::open_file(table::testing::memory_file(csv)).value();
  Profiler profiler(reader->schema(), {.all_values_of = request.target});
  RowSample sample(5000);
  while (auto batch = reader->next().value()) {
    profiler.add(*batch);
    sample.add(*batch);
  }
  const std::int64_t rows = profiler.rows();
  return infer(profiler.finish(), rows, sample.finish(), request);
}

// A CSV of one column `y` and a filler, `rows` long.
std::string column(int rows, const std::function<std::string(int)>& value) {
  std::string out = "y,filler\n";
  for (int i = 0; i < rows; i++) out += value(i) + "," + std::to_string(i * 31 % 7) + "\n";
  return out;
}

struct TaskCase {
  const char* what;
  std::string csv;
  const char* task;  // or the reason of the error
  const char* positive;
};

TEST(Infer, Tasks) {
  const auto n = [](int i) { return std::to_string(i); };
  const TaskCase cases[] = {
      {"truth", column(20, [](int i) { return i % 3 ? "true" : "false"; }), "binary", "true"},
      {"two words", column(20, [](int i) { return i % 3 ? "Yes" : "No"; }), "binary", "Yes"},
      {"two numbers", column(20, [](int i) { return i % 3 ? "1" : "2"; }), "binary", "2"},
      {"minus one and one", column(20, [](int i) { return i % 3 ? "-1" : "1"; }), "binary", "1"},
      {"the rarer", column(20, [](int i) { return i % 3 ? "red" : "blue"; }), "binary", "blue"},
      {"as many: the later", column(20, [](int i) { return i % 2 ? "red" : "blue"; }), "binary", "red"},
      {"not", column(20, [](int i) { return i % 3 ? "not churned" : "churned"; }), "binary", "churned"},
      {"says no", column(20, [](int i) { return i % 3 ? "fine" : "neg"; }), "binary", "fine"},
      {"income", column(20, [](int i) { return i % 3 ? ">50K." : "<=50K."; }), "binary", ">50K."},
      {"words", column(30, [](int i) { return std::string(1, static_cast<char>('a' + i % 3)); }), "multiclass", ""},
      {"few numbers", column(100, [&](int i) { return n(i % 10); }), "multiclass", ""},
      {"more than 50 numbers", column(1000, [&](int i) { return n(i % 60); }), "regression", ""},
      {"mostly distinct numbers", column(30, [&](int i) { return n(i * 7 % 29); }), "regression", ""},
      {"fractions", column(100, [&](int i) { return n(i % 15) + ".5"; }), "regression", ""},
      {"few fractions", column(100, [&](int i) { return n(i % 5) + ".5"; }), "multiclass", ""},
      {"floats that are whole", column(100, [&](int i) { return n(i % 3) + ".0"; }), "multiclass", ""},
      {"one value", column(20, [](int) { return "x"; }), "data.bad_target", ""},
      {"none", column(20, [](int) { return ""; }), "data.bad_target", ""},
      {"dates", column(20, [&](int i) { return "2020-01-" + n(10 + i); }), "data.bad_target", ""},
      {"too many classes", column(1200, [&](int i) { return "w" + n(i); }), "data.bad_target", ""},
  };
  for (const TaskCase& c : cases) {
    const auto got = infer_csv(c.csv, {.target = "y"});
    EXPECT_EQ(got ? got->task : got.error().reason, c.task)
        << c.what << ": " << (got ? got->task_why : got.error().message);
    if (got) {
      EXPECT_EQ(got->positive, c.positive) << c.what << ": " << got->positive_why;
    }
  }
}

TEST(Infer, WhatIsGivenWins) {
  const std::string csv = column(40, [](int i) { return std::to_string(i % 2); });
  EXPECT_EQ(infer_csv(csv, {.target = "y", .positive = "0"})->positive, "0");
  EXPECT_EQ(reason_of(infer_csv(csv, {.target = "y", .positive = "5"})), "data.bad_target");
  EXPECT_EQ(infer_csv(csv, {.target = "y", .task = "regression"})->task, "regression");
  EXPECT_EQ(reason_of(infer_csv(csv, {.target = "filler", .task = "binary"})), "data.bad_target");
  EXPECT_EQ(reason_of(infer_csv(csv, {.target = "y", .inputs = {"filer"}})), "data.no_column");
  EXPECT_EQ(reason_of(infer_csv(csv, {.target = "y", .key = "nope"})), "data.no_column");
  EXPECT_EQ(infer_csv(csv, {})->task, "");
}

TEST(Infer, RolesOfColumns) {
  std::string csv = "row,email,note,code,same,gone,size,plan,since,ok,y,other_id\n";
  SeededRng rng(3);
  for (int i = 0; i < 200; i++) {
    csv += std::to_string(1000 + i) + ",u" + std::to_string(i * 7) + "@x.org,\"" +
           std::string(60 + static_cast<std::size_t>(i % 5), 'n') + " " + std::to_string(i % 4) + "\",c" +
           std::to_string(rng.below(170)) + "-" + std::to_string(i) + ",5,," + std::to_string(rng.below(50)) +
           (rng.below(3) ? ",basic" : ",pro") + ",2020-01-" + std::to_string(10 + rng.below(15)) +
           (rng.below(2) ? ",true" : ",false") + (rng.below(4) ? ",no" : ",yes") + "," +
           std::to_string((i * 7919) % 100'003) + "\n";
  }
  const auto got = infer_csv(csv, {.target = "y"});
  ASSERT_TRUE(got) << got.error().message;
  std::string roles;
  for (const InputColumn& c : got->columns)
    roles += c.name + " " + c.role + (c.encoding.empty() ? "" : " " + c.encoding) + "\n";
  EXPECT_EQ(roles,
            "row key\nemail left out\nnote left out\ncode left out\nsame left out\ngone left out\nsize input "
            "number\nplan input category\n"
            "since input date_parts\nok input boolean\ny target\nother_id left out\n");
  EXPECT_TRUE(got->key_proposed);
  EXPECT_TRUE(got->leaks.empty());
  // A named input stays one, whatever it looks like.
  const auto asked = infer_csv(csv, {.target = "y", .inputs = {"row", "note", "size"}});
  EXPECT_EQ(role_of(*asked, "row").role, "input");
  EXPECT_EQ(role_of(*asked, "note").encoding, "category");
  EXPECT_EQ(role_of(*asked, "plan").role, "left out");
  EXPECT_EQ(role_of(*infer_csv(csv, {.target = "y", .key = "email"}), "email").role, "key");
  EXPECT_EQ(role_of(*infer_csv(csv, {.target = "y", .exclude = {"size"}}), "size").why, "excluded");
}

TEST(Infer, NotesNameWhatIsOdd) {
  const auto got =
      infer_csv(column(60, [](int i) { return i < 3    ? "rare"
                                              : i < 10 ? ""
                                              : i % 2  ? "a"
                                                       : "b"; }), {.target = "y"});
  ASSERT_TRUE(got);
  EXPECT_EQ(got->rows_without_target, 7);
  std::string notes;
  for (const std::string& note : got->notes) notes += note + "\n";
  EXPECT_NE(notes.find("class 'rare' has only 3 rows"), std::string::npos) << notes;
  EXPECT_NE(notes.find("7 rows have no target"), std::string::npos) << notes;
}

TEST(Infer, LocalDatesArePointedAt) {
  const auto noted = [](const std::string& value) {
    const auto got = infer_csv("when,more,y\n" + value + ",1,a\n" + value + ",2,b\n", {.target = "y"});
    return std::ranges::any_of(got->notes, [](const std::string& note) { return note.contains("looks like dates"); });
  };
  for (const char* date : {"31/12/2020", "1.2.99", "12-31-2020", "2020/12/31"}) EXPECT_TRUE(noted(date)) << date;
  for (const char* other : {"2020-12-31", "1.2.3.4", "12/2020", "1/2-2020", "a/b/c", "5"})
    EXPECT_FALSE(noted(other)) << other;
}

TEST(Infer, LeaksAreNamedAndNoiseIsNot) {
  SeededRng rng(11);
  std::string csv = "copy,inverse,word,middle,missing,noise,many,y\n";
  for (int i = 0; i < 2000; i++) {
    const bool y = rng.below(3) == 0;
    csv += std::to_string(y ? 5 : 3) + "," + std::to_string(100 - (y ? 50 : 0) - static_cast<int>(rng.below(10))) +
           (y ? ",closed" : ",open") + "," +
           std::to_string(y ? 40 + rng.below(20) : (rng.below(2) ? rng.below(30) : 70 + rng.below(30))) +
           (y ? ",1," : ",,") + std::to_string(rng.below(1000)) + ",w" + std::to_string(rng.below(900)) +
           (y ? ",yes" : ",no") + "\n";
  }
  const auto got = infer_csv(csv, {.target = "y"});
  ASSERT_TRUE(got);
  EXPECT_EQ(got->leaks, (std::vector<std::string>{"copy", "inverse", "word", "middle", "missing"}));
  EXPECT_EQ(role_of(*got, "copy").role, "input");
}

TEST(Infer, LeaksOfClassesAndNumbers) {
  SeededRng rng(12);
  std::string csv = "exact,close,noise,class,value\n";
  for (int i = 0; i < 2000; i++) {
    const auto c = rng.below(4);
    const auto v = rng.below(100'000);
    csv += std::to_string(c * 10) + "," + std::to_string(v * 2 + rng.below(50)) + "," + std::to_string(rng.below(100)) +
           ",k" + std::to_string(c) + "," + std::to_string(v) + "\n";
  }
  EXPECT_EQ(infer_csv(csv, {.target = "class"})->leaks, std::vector<std::string>{"exact"});
  EXPECT_EQ(infer_csv(csv, {.target = "value"})->leaks, std::vector<std::string>{"close"});
}

TEST(Infer, DescribedInAFewLines) {
  Analysis analysis;
  analysis.rows = 1200;
  analysis.inference = *infer_csv(column(1200, [](int i) { return i % 4 ? "no" : "yes"; }), {.target = "y"});
  EXPECT_EQ(describe(analysis), (std::vector<std::string>{"1,200 rows, 2 columns: 1 number, 1 target",
                                                          "task: binary (25.0 % positive, 'yes': the word says so)"}));
}

TEST(Infer, RulesArePrinted) {
  EXPECT_GT(inference_rules().size(), 10u);
  for (const InferenceRule& rule : inference_rules()) EXPECT_FALSE(rule.rule.empty());
}

}  // namespace
}  // namespace millrace::data
