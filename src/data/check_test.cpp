#include "data/check.hpp"

#include <gtest/gtest.h>

#include "table/testing/make.hpp"

namespace millrace::data {
namespace {

std::string print(const CheckReport& report) {
  std::string out;
  for (const CheckResult& r : report.results) out += r.level + " " + r.column + " " + r.rule + ": " + r.message + "\n";
  return out;
}

CheckReport check(const std::string& csv, const CheckConfig& config, const std::string& key = "",
                  const std::string& known = "") {
  auto reader = table::open_file(table::testing::memory_file(csv)).value();
  Checker checker(reader->schema(), config, key);
  if (!known.empty()) {
    auto before =
        table::conform(table::open_file(table::testing::memory_file(known)).value(), reader->schema()).value();
    while (auto batch = before->next().value()) checker.add(*batch, true);
  }
  while (auto batch = reader->next().value()) checker.add(*batch, false);
  return checker.finish();
}

const std::string csv =
    "id,age,country,when\n1,15,PT,2020-01-01\n2,10,PT,2020-01-01\n2,40,,x\n4,200,XX,2020-01-01\n,,PT,2020-01-01\n";

TEST(Check, EachRule) {
  CheckConfig config;
  config.rows_min = 6;
  config.rows_max = 10;
  config.columns = {
      {.column = "age", .type = "int", .min = 16, .max = 110, .nulls_max = 0.1},
      {.column = "country", .type = "category", .nulls_max = 0.2, .values = {"PT", "ES"}},
      {.column = "when", .type = "date"},
      {.column = "id", .unique = true},
      {.column = "gone", .type = "int"},
  };
  const auto report = check(csv, config);
  EXPECT_FALSE(report.passed());
  EXPECT_EQ(print(report),
            "error  rows: 5 rows (wanted: >= 6)\n"
            "ok  rows: 5 rows (wanted: <= 10)\n"
            "ok age type: 0 of 5 values not of type int\n"
            "error age min: 2 of 5 values below 16 (allowed: min = 16)   rows 1-2\n"
            "error age max: 1 of 5 values above 110 (allowed: max = 110)   rows 4\n"
            "error age nulls: 1 of 5 values missing (allowed: 10 %)   rows 5\n"
            "ok country type: 0 of 5 values not of type category\n"
            "ok country nulls: 1 of 5 values missing (allowed: 20 %)\n"
            "error country values: 1 of 5 values not among the allowed ones   rows 4\n"
            "error when type: 1 of 5 values not of type date   rows 3\n"
            "error id unique: 1 of 5 values are there already in an earlier row   rows 3\n"
            "error gone exists: there is no such column\n");
  const CheckResult& min = report.results[3];
  EXPECT_EQ(min.samples, (std::vector<std::string>{"15", "10"}));
  EXPECT_EQ(min.rows, std::vector<RowRange>({{1, 2}}));
}

TEST(Check, NoRulesPass) {
  const auto report = check(csv, {});
  EXPECT_TRUE(report.passed());
  EXPECT_TRUE(report.results.empty());
}

TEST(Check, KeyIsThereAndUnique) {
  const auto report = check(csv, {}, "id");
  EXPECT_EQ(print(report),
            "error id nulls: 1 of 5 values missing (it is the key: every row needs one)   rows 5\n"
            "warn id unique: 1 of 5 values of the key are there already in an earlier row   rows 3\n");
  EXPECT_EQ(print(check(csv, {}, "no_such")), "error no_such exists: there is no such column\n");
}

TEST(Check, NewValuesAgainstTheRowsBefore) {
  CheckConfig config;
  config.columns = {{.column = "country", .new_values = "fail"}};
  EXPECT_EQ(print(check("country,n\nPT,1\nXX,2\nYY,3\nXX,4\n", config, "", "country,n\nPT,1\nES,2\n")),
            "error country new_values: 3 of 6 values the version before did not have   rows 4-6\n");
  EXPECT_TRUE(check("country,n\nPT,1\n", config).passed()) << "a first version has only new values";
}

TEST(Check, RangesAreFewAndCountsExact) {
  std::string many = "n\n";
  for (int i = 0; i < 100; i++) many += i % 2 ? "-1\n" : "1\n";
  CheckConfig config;
  config.columns = {{.column = "n", .min = 0}};
  const auto report = check(many, config);
  EXPECT_EQ(report.results[0].bad, 50);
  EXPECT_EQ(report.results[0].rows.size(), 5u);
  EXPECT_EQ(report.results[0].message, "50 of 100 values below 0 (allowed: min = 0)   rows 2, 4, 6, 8, 10, ...");
}

}  // namespace
}  // namespace millrace::data
