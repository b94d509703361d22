#include "data/ingest.hpp"

#include <gtest/gtest.h>

#include <span>

#include "base/testing/reason.hpp"
#include "data/testing/place.hpp"
#include "table/testing/make.hpp"

namespace millrace::data {
namespace {

using table::testing::all_rows;
using table::testing::print_rows;
using testing::Place;
using testing::profile_of;
using testing::role_of;

std::string small_csv(int from, int to) {
  std::string out = "id,age,plan,churned\n";
  for (int i = from; i < to; i++) {
    out += std::to_string(i) + "," + (i % 10 == 0 ? "" : std::to_string(20 + i * 7 % 50)) + "," +
           (i % 3 ? "basic" : "pro") + "," + (i * 7919 % 13 < 4 ? "yes" : "no") + "\n";
  }
  return out;
}

TEST(Ingest, FirstVersion) {
  Place p;
  const auto out = p.ingest_text("a.csv", small_csv(0, 1000), {.target = "churned", .part_rows_max = 300});
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_EQ(out->new_rows, 1000);
  ASSERT_EQ(out->parts.size(), 4u);
  EXPECT_EQ(out->parts[0].rows, 300);
  EXPECT_EQ(out->parts[3].rows, 100);
  EXPECT_EQ(out->analysis.rows, 1000);
  EXPECT_EQ(out->analysis.inference.task, "binary");
  EXPECT_EQ(out->analysis.inference.positive, "yes");
  EXPECT_EQ(out->analysis.inference.key, "id");
  EXPECT_EQ(role_of(out->analysis.inference, "age").encoding, "number");
  EXPECT_EQ(role_of(out->analysis.inference, "plan").encoding, "category");
  EXPECT_EQ(profile_of(out->analysis, "age").nulls, 100);
  EXPECT_EQ(out->provenance.digest, sha256(small_csv(0, 1000)).hex());
  EXPECT_EQ(out->provenance.size, static_cast<std::int64_t>(small_csv(0, 1000).size()));
  EXPECT_FALSE(p.progress.empty());

  // The parts hold exactly the rows of the file, in their order.
  const auto rows = all_rows(read_parts(p.blobs, out->schema, out->parts));
  const auto direct = all_rows(table::open_file(table::testing::memory_file(small_csv(0, 1000))));
  EXPECT_TRUE(rows == direct);

  // The result survives JSON.
  const auto again = parse_ingest_output(render(*out));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(render(*again), render(*out));
}

TEST(Ingest, TwiceIsTheSameAndKnownBytesAreNothingNew) {
  Place p;
  const auto first = p.ingest_text("a.csv", small_csv(0, 500), {.target = "churned"});
  const auto second = p.ingest_text("b.csv", small_csv(0, 500), {.target = "churned"});
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->parts, second->parts);
  const auto known = p.ingest_text(
      "c.csv", small_csv(0, 500),
      {.parent_parts = first->parts, .parent_schema = first->schema, .parent_sources = {first->provenance.digest}});
  ASSERT_TRUE(known);
  EXPECT_TRUE(known->unchanged);
}

TEST(Ingest, AppendStoresOnlyTheNewPartAndJudgesAllRows) {
  Place p;
  const auto first = p.ingest_text("a.csv", small_csv(0, 500), {.target = "churned"});
  ASSERT_TRUE(first);
  // age has fractions now, a column is gone, one is new, one plan was never seen.
  const auto second =
      p.ingest_text("b.csv", "id,age,churned,more\n500,1.5,yes,x\n501,,no,y\n",
                    {.target = "churned", .parent_parts = first->parts, .parent_schema = first->schema});
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(second->new_parts, 1);
  EXPECT_EQ(second->new_rows, 2);
  ASSERT_EQ(second->parts.size(), first->parts.size() + 1);
  EXPECT_EQ(second->analysis.rows, 502);
  EXPECT_EQ(second->notes.size(), 3u);
  EXPECT_EQ(second->schema[1].type, "float64");
  const auto rows = all_rows(read_parts(p.blobs, second->schema, second->parts));
  ASSERT_EQ(rows.size(), 502u);
  EXPECT_EQ(print_rows({rows[1], rows[500], rows[501]}), "1|27|basic|yes|-\n500|1.5|-|yes|x\n501|-|-|no|y\n");

  // A column without any value keeps its type.
  const auto empty = p.ingest_text("d.csv", "id,age,plan,churned\n502,,pro,\n",
                                   {.parent_parts = first->parts, .parent_schema = first->schema});
  ASSERT_TRUE(empty) << empty.error().message;
  EXPECT_EQ(empty->schema, first->schema);

  const auto clash = p.ingest_text("c.csv", "id,age,plan,churned\n2020-01-01,1,x,yes\n",
                                   {.parent_parts = first->parts, .parent_schema = first->schema});
  EXPECT_EQ(reason_of(clash), "data.schema");
  const auto add = [&](const std::string& text, const std::string& key = {}) {
    return p.ingest_text("e.csv", text, {.key = key, .parent_parts = first->parts, .parent_schema = first->schema});
  };
  const auto word = add("id,age,plan,churned\n502,3,pro,no\n503,old,pro,no\n");
  EXPECT_EQ(reason_of(word), "table.bad_csv");
  EXPECT_NE(word.error().message.find("line 3"), std::string::npos) << word.error().message;
  EXPECT_EQ(reason_of(add("colour,weight\nred,3\n")), "data.schema");
  EXPECT_EQ(reason_of(add("age,plan,churned\n3,pro,no\n", "id")), "data.schema");
  EXPECT_TRUE(add("age,plan,churned\n3,pro,no\n"));
}

TEST(Ingest, ReplaceKeepsNothingButTellsNewValues) {
  Place p;
  const auto first = p.ingest_text("a.csv", small_csv(0, 500));
  ASSERT_TRUE(first);
  IngestInput input{.mode = "replace", .parent_parts = first->parts, .parent_schema = first->schema};
  input.checks.columns = {{.column = "plan", .new_values = "warn"}};
  const auto second = p.ingest_text("b.csv", "id,age,plan\n1,2,basic\n2,3,gold\n3,4,gold\n", input);
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(second->parts.size(), 1u);
  EXPECT_EQ(second->analysis.rows, 3);
  const CheckResult& check = second->analysis.checks.results.at(0);
  EXPECT_EQ(check.level, "warn");
  EXPECT_EQ(check.bad, 2);
  EXPECT_EQ(check.samples, std::vector<std::string>{"gold"});
  EXPECT_TRUE(second->analysis.checks.passed());
}

TEST(Ingest, AColumnThatIsExpectedAndGoneFailsTheChecks) {
  Place p;
  const auto out = p.ingest_text("b.csv", "id,age,plan\n1,2,basic\n", {.expected = {"age", "weight"}});
  ASSERT_TRUE(out) << out.error().message;
  ASSERT_EQ(out->analysis.checks.results.size(), 1u);
  EXPECT_EQ(out->analysis.checks.results[0].column, "weight");
  EXPECT_EQ(out->analysis.checks.results[0].rule, "exists");
  EXPECT_FALSE(out->analysis.checks.passed());
}

TEST(Ingest, AWordInAColumnOfNumbersThatModelsLearnedFromFailsTheChecks) {
  Place p;
  const std::vector<ColumnField> before{{"id", "int64"}, {"age", "int64"}, {"plan", "text"}};
  const std::string rows = "id,age,plan\n1,20,basic\n2,30,gold\n3,abc,gold\n4,40,7\n";
  const auto out =
      p.ingest_text("b.csv", rows, {.expected = {"age", "plan"}, .mode = "replace", .parent_schema = before});
  ASSERT_TRUE(out) << out.error().message;
  ASSERT_EQ(out->analysis.checks.results.size(), 1u);
  const auto& found = out->analysis.checks.results[0];
  EXPECT_EQ(found.column, "age");
  EXPECT_EQ(found.rule, "type");
  EXPECT_EQ(found.rows, (std::vector<RowRange>{{3, 3}}));
  EXPECT_EQ(found.samples, (std::vector<std::string>{"abc"}));
  EXPECT_FALSE(out->analysis.checks.passed());
  // Of a column that no model learned from it is a change like any other.
  const auto other = p.ingest_text("c.csv", rows, {.mode = "replace", .parent_schema = before});
  ASSERT_TRUE(other) << other.error().message;
  EXPECT_TRUE(other->analysis.checks.passed());
}

TEST(Ingest, Errors) {
  Place p;
  EXPECT_EQ(reason_of(p.ingest_text("a.csv", "a,b\n")), "data.no_rows");
  EXPECT_EQ(reason_of(p.ingest_text("a.csv", "a,b\n1,2\n", {.mode = "merge"})), "data.bad_input");
  EXPECT_EQ(reason_of(p.ingest_text("a.csv", "a,b\n1,2\n", {.csv = {.delimiter = ";;"}})), "data.bad_input");
  const auto typo = p.ingest_text("a.csv", small_csv(0, 20), {.target = "chured"});
  EXPECT_EQ(reason_of(typo), "data.no_column");
  EXPECT_NE(typo.error().message.find("'churned'"), std::string::npos);
  EXPECT_EQ(reason_of(ingest(p.task, p.blobs, {})), "data.bad_input");
  EXPECT_EQ(reason_of(ingest(p.task, p.blobs, {.path = p.t.path("none.csv")})), "fs.not_found");
  EXPECT_EQ(reason_of(ingest(p.task, p.blobs, {.blob = sha256("none").hex()})), "blob.not_found");
  p.stop = true;
  EXPECT_EQ(p.ingest_text("a.csv", small_csv(0, 20)).error().code, Code::cancelled);
}

TEST(Ingest, FromAnUploadedBlob) {
  Place p;
  const auto blob = p.blobs.put(small_csv(0, 100)).value();
  const auto out =
      ingest(p.task, p.blobs, {.blob = blob.digest.hex(), .uri = "upload:customers.csv", .changed = "etag-1"});
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_EQ(out->new_rows, 100);
  EXPECT_EQ(out->provenance,
            (Provenance{"upload:customers.csv", static_cast<std::int64_t>(blob.size), "etag-1", blob.digest.hex()}));
}

TEST(Ingest, AFaultLeavesNothingHalf) {
  Place p;
  p.blobs.fail_next(Error{Code::unavailable, "fs.io", "injected"}, 1);
  EXPECT_FALSE(p.ingest_text("a.csv", small_csv(0, 1000), {.part_rows_max = 300}));
  const auto out = p.ingest_text("a.csv", small_csv(0, 1000), {.part_rows_max = 300});
  ASSERT_TRUE(out);
  EXPECT_EQ(all_rows(read_parts(p.blobs, out->schema, out->parts)).size(), 1000u);
}

TEST(Ingest, AnalyseAgainForAnotherTarget) {
  Place p;
  const auto out = p.ingest_text("a.csv", small_csv(0, 400), {.target = "churned"}).value();
  const auto other =
      analyse(p.task, p.blobs, {.parts = out.parts, .schema = out.schema, .target = "plan", .exclude = {"age"}});
  ASSERT_TRUE(other) << other.error().message;
  EXPECT_EQ(other->columns.size(), out.analysis.columns.size());
  EXPECT_EQ(other->inference.target, "plan");
  EXPECT_EQ(role_of(other->inference, "age").why, "excluded");
  const auto again = parse_analysis(render(*other));
  ASSERT_TRUE(again);
  EXPECT_EQ(render(*again), render(*other));
}

struct RealSet {
  const char* file;
  const char* target;
  std::int64_t rows;
  const char* task;
  const char* positive;
  const char* key;
  std::vector<std::string> left_out;  // among others
  std::vector<std::string> leaks;     // exactly
};

TEST(Ingest, RealSets) {
  if (testing::shared_dir().empty()) GTEST_SKIP() << "MILLRACE_SHARED is not set";
  const RealSet sets[] = {
      {"titanic.csv.gz", "Survived", 891, "binary", "1", "PassengerId", {"Name", "Ticket", "Cabin"}, {}},
      {"adult_train.csv.gz", "column_15", 32561, "binary", ">50K", "", {}, {}},
      {"california_housing.csv.gz", "median_house_value", 20640, "regression", "", "", {}, {}},
      {"credit_default.csv.gz", "default.payment.next.month", 30000, "binary", "1", "ID", {}, {}},
      {"elec2.csv.gz", "class", 45312, "binary", "1", "", {}, {}},
      {"mnist_test_10k.csv.gz", "column_785", 10000, "multiclass", "", "", {"column_1"}, {}},
      {"compas_two_years.csv.gz",
       "two_year_recid",
       7214,
       "binary",
       "1",
       "id",
       {"name", "c_case_number", "violent_recid"},
       {"r_offense_date"}},
      {"diamonds.csv.gz", "price", 53940, "regression", "", "", {}, {}},
      {"bike_hour.csv.gz", "cnt", 17379, "regression", "", "instant", {}, {}},
      {"iris.csv.gz", "species", 150, "multiclass", "", "", {}, {}},
      {"covtype_20k.csv.gz", "column_55", 20000, "multiclass", "", "", {}, {}},
  };
#ifdef __SANITIZE_ADDRESS__
  constexpr std::size_t sets_max = 3;  // ten times slower: the first ones take every path
#else
  constexpr std::size_t sets_max = std::size(sets);
#endif
  for (const RealSet& set : std::span(sets).first(sets_max)) {
    Place p;
    const auto out =
        ingest(p.task, p.blobs, {.path = testing::shared_dir() + "/data/" + set.file, .target = set.target});
    ASSERT_TRUE(out) << set.file << ": " << out.error().message;
    const Inference& inference = out->analysis.inference;
    EXPECT_EQ(out->analysis.rows, set.rows) << set.file;
    EXPECT_EQ(inference.task, set.task) << set.file << ": " << inference.task_why;
    EXPECT_EQ(inference.positive, set.positive) << set.file;
    EXPECT_EQ(inference.key, set.key) << set.file;
    EXPECT_EQ(inference.leaks, set.leaks) << set.file;
    for (const std::string& name : set.left_out)
      EXPECT_EQ(role_of(inference, name).role, "left out") << set.file << " " << name;
    std::int64_t rows = 0;
    auto reader = read_parts(p.blobs, out->schema, out->parts).value();
    while (auto batch = reader->next().value()) rows += batch->rows();
    EXPECT_EQ(rows, set.rows);
    if (std::getenv("MILLRACE_SHOW")) {
      for (const std::string& note : inference.notes) std::printf("%s: %s\n", set.file, note.c_str());
    }
  }
}

TEST(Ingest, AirlinesNamesItsBrokenLineAndReadsAsLatin1) {
  if (testing::shared_dir().empty()) GTEST_SKIP() << "MILLRACE_SHARED is not set";
  Place p;
  IngestInput input{.path = testing::shared_dir() + "/data/airlines_44k.csv.gz", .target = "IsArrDelayed"};
  const auto refused = ingest(p.task, p.blobs, input);
  ASSERT_FALSE(refused);
  EXPECT_EQ(reason_of(refused), "table.not_utf8");
  EXPECT_NE(refused.error().message.find("line 27988"), std::string::npos) << refused.error().message;
  input.csv.encoding = "latin1";
  const auto out = ingest(p.task, p.blobs, input);
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_EQ(out->analysis.rows, 43978);
  EXPECT_EQ(out->analysis.inference.positive, "YES");
  EXPECT_EQ(out->analysis.inference.leaks, std::vector<std::string>{"ArrDelay"});
}

}  // namespace
}  // namespace millrace::data
