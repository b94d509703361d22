#include "data/checkout.hpp"

#include <gtest/gtest.h>

#include "base/testing/reason.hpp"
#include "data/mask.hpp"
#include "data/query.hpp"
#include "data/testing/place.hpp"

namespace millrace::data {
namespace {

using testing::Place;

constexpr const char* people = "id,name,size\n1,\"ann, the first\",1.5\n2,,2\n3,bo \"b\",\n";

struct Rows {
  Place p;
  IngestOutput version;
  Rows() { version = p.ingest_text("a.csv", people).value(); }
  std::string csv(std::vector<std::string> masked = {}) {
    auto out = checkout(p.task, p.blobs, {"csv", version.parts, version.schema, std::move(masked)});
    EXPECT_TRUE(out) << out.error().message;
    auto text = *p.blobs.read(*Digest::parse(out->digest), 1 << 20);
    EXPECT_EQ(out->bytes, static_cast<std::int64_t>(text.size()));
    EXPECT_EQ(out->rows, 3);
    return text;
  }
};

TEST(Checkout, CsvReadsBackAsTheSameRows) {
  Rows r;
  const auto text = r.csv();
  EXPECT_EQ(text, "id,name,size\n1,\"ann, the first\",1.5\n2,,2\n3,\"bo \"\"b\"\"\",\n");
  const auto again = r.p.ingest_text("b.csv", text).value();
  EXPECT_EQ(again.parts, r.version.parts) << "the same rows are the same blobs";
}

TEST(Checkout, ParquetOfAllParts) {
  Rows r;
  const auto more = r.p.ingest_text("b.csv", "id,name,size\n4,cy,4\n",
                                    {.parent_parts = r.version.parts, .parent_schema = r.version.schema})
                        .value();
  const auto out = checkout(r.p.task, r.p.blobs, {"parquet", more.parts, more.schema, {}});
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_EQ(out->rows, 4);
  const auto rows = query(r.p.task, r.p.blobs,
                          {.sql = "SELECT * FROM data ORDER BY id",
                           .parts = {{out->digest, out->rows, out->bytes}},
                           .schema = more.schema});
  ASSERT_TRUE(rows) << rows.error().message;
  EXPECT_EQ(rows->rows.back(), (std::vector<std::optional<std::string>>{"4", "cy", "4"}));
}

TEST(Checkout, MaskedColumnsAreTextAndNullsStay) {
  Rows r;
  EXPECT_EQ(r.csv({"name", "size"}), "id,name,size\n1,***,***\n2,,***\n3,***,\n");
  const auto run = [&](const std::string& sql) {
    return query(r.p.task, r.p.blobs,
                 {.sql = sql, .parts = r.version.parts, .schema = r.version.schema, .masked = {"name", "size"}});
  };
  const auto all = run("SELECT * FROM data ORDER BY id");
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(all->rows[0], (std::vector<std::optional<std::string>>{"1", "***", "***"}));
  EXPECT_EQ(all->rows[1], (std::vector<std::optional<std::string>>{"2", std::nullopt, "***"}));
  EXPECT_EQ(run("SELECT count(*) FROM data WHERE name LIKE 'ann%' OR length(name) > 3")->rows[0][0], "0");
  EXPECT_EQ(run("SELECT max(size) FROM data")->rows[0][0], "***");
  const auto digest = r.version.parts[0].digest;
  EXPECT_FALSE(run("SELECT * FROM read_parquet('blob:" + digest + "')")) << "the files behind it are closed";
  for (const auto& row : run("SELECT sql FROM duckdb_tables() UNION ALL SELECT sql FROM duckdb_views()")->rows)
    EXPECT_EQ(row[0].value_or("").find(digest), std::string::npos);
  // Without a mask the rows are read where they lie, and no other blob is.
  const auto other = r.p.ingest_text("c.csv", "secret\n1\n").value().parts[0].digest;
  EXPECT_FALSE(query(r.p.task, r.p.blobs,
                     {.sql = "SELECT * FROM read_parquet('blob:" + other + "')",
                      .parts = r.version.parts,
                      .schema = r.version.schema}));
}

TEST(Checkout, Refusals) {
  Rows r;
  EXPECT_EQ(reason_of(checkout(r.p.task, r.p.blobs, {"xlsx", r.version.parts, r.version.schema, {}})),
            "data.bad_input");
  r.p.stop = true;
  EXPECT_EQ(reason_of(checkout(r.p.task, r.p.blobs, {"csv", r.version.parts, r.version.schema, {}})), "data.cancelled");
}

TEST(CheckRows, TheRulesOfNowAndWhatIsNew) {
  Rows r;
  CheckInput input{.parts = r.version.parts, .schema = r.version.schema};
  input.checks.columns = {{.column = "size", .min = 1.8}};
  auto report = check_rows(r.p.task, r.p.blobs, input);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_FALSE(report->passed());
  EXPECT_EQ(report->results[0].bad, 1);
  input.checks.columns = {{.column = "name", .new_values = "fail"}};
  EXPECT_TRUE(check_rows(r.p.task, r.p.blobs, input)->passed()) << "nothing was known before";
  const auto more = r.p.ingest_text("b.csv", "id,name,size\n4,cy,4\n",
                                    {.parent_parts = r.version.parts, .parent_schema = r.version.schema})
                        .value();
  input.parts = more.parts;
  input.known_parts = 1;
  EXPECT_EQ(check_rows(r.p.task, r.p.blobs, input)->results[0].samples, std::vector<std::string>{"cy"});
  input.parts = {more.parts.back()};
  input.known_parts = 0;
  input.replaced_parts = r.version.parts;
  EXPECT_FALSE(check_rows(r.p.task, r.p.blobs, input)->passed()) << "as a replacement of those rows";
}

TEST(Mask, StatisticsTellNoValue) {
  Rows r;
  Analysis analysis = r.version.analysis;
  analysis.checks.results = {{.column = "name", .samples = {"ann"}}, {.column = "id", .samples = {"1"}}};
  mask(analysis, {"name", "size"});
  const auto name = testing::profile_of(analysis, "name");
  EXPECT_EQ(name.min, "***");
  EXPECT_EQ(name.max, "***");
  EXPECT_TRUE(name.top.empty());
  EXPECT_EQ(name.nulls, 1) << "counts stay";
  const auto size = testing::profile_of(analysis, "size");
  EXPECT_FALSE(size.mean || size.std_dev || size.histogram);
  EXPECT_EQ(testing::profile_of(analysis, "id").min, "1");
  EXPECT_TRUE(analysis.checks.results[0].samples.empty());
  EXPECT_FALSE(analysis.checks.results[1].samples.empty());
}

TEST(Mask, SentencesTellNoValue) {
  Analysis analysis;
  analysis.inference.target = "y";
  analysis.inference.columns = {{.name = "name", .why = "the same in every row: ann"},
                                {.name = "town", .why = "the same in every row: Faro"}};
  analysis.inference.notes = {"\"name\" looks like dates ('1/2/1999') but was read as text",
                              "\"town\" looks like dates", "class 'ann' has only 1 row"};
  mask(analysis, {"name", "y"});
  EXPECT_EQ(analysis.inference.columns[0].why, "the same in every row");
  EXPECT_EQ(analysis.inference.columns[1].why, "the same in every row: Faro");
  EXPECT_EQ(analysis.inference.notes, std::vector<std::string>{"\"town\" looks like dates"});
}

}  // namespace
}  // namespace millrace::data
