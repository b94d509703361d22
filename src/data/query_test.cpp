#include "data/query.hpp"

#include <gtest/gtest.h>

#include "base/testing/reason.hpp"
#include "data/diff.hpp"
#include "data/testing/place.hpp"

namespace millrace::data {
namespace {

using testing::Place;

TEST(Query, RowsOfAllPartsInTheVersionsTypes) {
  Place p;
  const auto first = p.ingest_text("a.csv", "id,size,when\n1,5,2020-01-01\n2,,2020-01-02\n").value();
  const auto second =
      p.ingest_text("b.csv", "id,size,more\n3,1.5,x\n", {.parent_parts = first.parts, .parent_schema = first.schema})
          .value();
  const auto run = [&](const std::string& sql, std::int64_t rows_max = 100) {
    return query(p.task, p.blobs, {.sql = sql, .rows_max = rows_max, .parts = second.parts, .schema = second.schema});
  };
  const auto all = run("SELECT * FROM data ORDER BY id");
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(all->columns, second.schema);
  ASSERT_EQ(all->rows.size(), 3u);
  EXPECT_EQ(all->rows[0], (std::vector<std::optional<std::string>>{"1", "5", "2020-01-01", std::nullopt}));
  EXPECT_EQ(all->rows[2], (std::vector<std::optional<std::string>>{"3", "1.5", std::nullopt, "x"}));
  EXPECT_FALSE(all->more);
  const auto some = run("SELECT id FROM data", 2);
  EXPECT_EQ(some->rows.size(), 2u);
  EXPECT_TRUE(some->more);
  EXPECT_FALSE(run("SELECT id FROM data", 3)->more);
  EXPECT_EQ(run("SELECT avg(size) AS mean FROM data WHERE id > 1")->rows[0][0], "1.5");
  EXPECT_EQ(reason_of(run("SELECT nope FROM data")), "table.bad_sql");
  EXPECT_FALSE(run("SELECT * FROM read_csv('/etc/passwd')"));
  EXPECT_EQ(reason_of(query(p.task, p.blobs, {.sql = "SELECT 1"})), "data.bad_input");
  // A version whose parts were all let go still has its columns.
  const auto none = query(p.task, p.blobs, {.sql = "SELECT *, count(*) OVER () FROM data", .schema = second.schema});
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_EQ(none->columns.size(), second.schema.size() + 1);
  EXPECT_TRUE(none->rows.empty());
  const auto again = parse_query_output(render(*all));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->rows, all->rows);
}

TEST(Diff, WhatChangedBetweenVersions) {
  Place p;
  const auto first = p.ingest_text("a.csv", "age,plan,gone\n10,a,1\n20,a,2\n30,b,3\n40,b,4\n").value();
  const auto second = p.ingest_text("b.csv", "age,plan,more\n99.5,b,x\n,b,y\n",
                                    {.parent_parts = first.parts, .parent_schema = first.schema})
                          .value();
  const auto appended =
      diff({first.parts, first.schema, first.analysis}, {second.parts, second.schema, second.analysis});
  std::string lines;
  for (const std::string& line : appended.lines) lines += line + "\n";
  EXPECT_EQ(lines,
            "rows 4 -> 6: 2 added in 1 parts, 0 removed in 0 parts\n"
            "age: int64 -> float64\n"
            "age: mean 25 -> 39.9, deviation 12.91 -> 35.14, max 40 -> 99.5, nulls 0.0 % -> 16.7 %, distinct 4 -> 5\n"
            "plan: 'b' 50.0 % -> 66.7 %, 'a' 50.0 % -> 33.3 %\n"
            "gone: nulls 0.0 % -> 33.3 %\n"
            "more: new, text\n");
  const auto replaced =
      p.ingest_text("c.csv", "age,plan\n10,a\n20,a\n", {.mode = "replace", .parent_parts = first.parts}).value();
  const auto all_new =
      diff({first.parts, first.schema, first.analysis}, {replaced.parts, replaced.schema, replaced.analysis});
  EXPECT_EQ(all_new.parts_removed, first.parts);
  EXPECT_EQ(all_new.columns.back(), (ColumnDiff{"gone", "removed", "gone: gone"}));
  const auto same = diff({first.parts, first.schema, first.analysis}, {first.parts, first.schema, first.analysis});
  EXPECT_TRUE(same.columns.empty());
  EXPECT_TRUE(same.parts_added.empty() && same.parts_removed.empty());
}

}  // namespace
}  // namespace millrace::data
