#include "meta/migrate.hpp"

#include <gtest/gtest.h>

#include "meta/sql_internal.hpp"

namespace millrace::meta {
namespace {

std::string plan(std::vector<std::pair<Migration, std::string>> applied, std::vector<Migration> known) {
  std::vector<Applied> done;
  for (auto& [migration, digest] : applied)
    done.push_back({migration.module, migration.number, digest.empty() ? migration_digest(migration) : digest});
  auto todo = plan_migrations(done, known);
  if (!todo) return todo.error().reason;
  std::string out;
  for (const auto& migration : *todo) out += migration.module + std::to_string(migration.number) + " ";
  return out;
}

TEST(PlanMigrations, Table) {
  const Migration a1{"a", 1, "x"}, a2{"a", 2, "y"}, b1{"b", 1, "z"};
  EXPECT_EQ(plan({}, {}), "");
  EXPECT_EQ(plan({}, {b1, a2, a1}), "b1 a1 a2 ");
  EXPECT_EQ(plan({{a1, ""}}, {a1, a2, b1}), "a2 b1 ");
  EXPECT_EQ(plan({{a1, ""}, {a2, ""}, {b1, ""}}, {a1, a2, b1}), "");
  EXPECT_EQ(plan({{a1, "other"}}, {a1}), "meta.changed_migration");
  EXPECT_EQ(plan({{a2, ""}}, {a1}), "meta.newer_migration");
  EXPECT_EQ(plan({{b1, ""}}, {a1}), "meta.newer_migration");
  EXPECT_EQ(plan({}, {a1, a1}), "meta.bad_migrations");
  EXPECT_EQ(plan({}, {a2}), "meta.bad_migrations");
  EXPECT_EQ(plan({}, {a1, {"a", 3, ""}}), "meta.bad_migrations");
}

TEST(SplitStatements, Table) {
  using Out = std::vector<std::string>;
  EXPECT_EQ(split_statements(""), Out{});
  EXPECT_EQ(split_statements(" ; ;\n"), Out{});
  EXPECT_EQ(split_statements("a; b"), (Out{"a", "b"}));
  EXPECT_EQ(split_statements("a 'x;--y' ; -- c;d\n b \";\""), (Out{"a 'x;--y'", "b \";\""}));
  EXPECT_EQ(split_statements("a 'it''s; ' b;"), (Out{"a 'it''s; ' b"}));
  EXPECT_EQ(split_statements("-- only this"), Out{});
}

TEST(CheckStatement, Table) {
  const auto reason = [](std::string_view sql) {
    const auto checked = check_statement(sql);
    return checked ? "ok" : checked.error().reason;
  };
  EXPECT_EQ(reason("SELECT integer_column, rowid_text FROM t WHERE a = $1"), "ok");
  EXPECT_EQ(reason("SELECT 'pragma?'"), "ok");
  EXPECT_EQ(reason("select rowid from t"), "meta.not_portable");
  EXPECT_EQ(reason("insert\nor replace into t values (1)"), "meta.not_portable");
  EXPECT_EQ(reason("CREATE TABLE t (a INTEGER)"), "meta.not_portable");
  EXPECT_EQ(reason("SELECT ?1"), "meta.not_portable");
  EXPECT_EQ(reason("SELECT 1; SELECT 2"), "meta.bad_sql");
  EXPECT_EQ(reason(""), "meta.bad_sql");
}

}  // namespace
}  // namespace millrace::meta
