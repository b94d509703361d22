#include "meta/check.hpp"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "base/executor.hpp"
#include "base/testing/env.hpp"
#include "meta/sqlite.hpp"

namespace millrace::meta {
namespace {

const std::vector<Migration> tables = {
    {"test", 1, "CREATE TABLE test_rows (name TEXT PRIMARY KEY, body TEXT NOT NULL);"}};

struct Place {
  TestEnv t;
  std::string folder = t.path("data");
  InlineExecutor writer;
  std::unique_ptr<Store> open() {
    auto store = open_sqlite(t.env, {.folder = folder}, writer, tables);
    EXPECT_TRUE(store) << store.error().message;
    return store ? std::move(*store) : nullptr;
  }
  // What `rows` transactions leave when their process is killed.
  void killed_after(int rows) {
    auto store = open();
    for (int i = 0; i < rows; ++i) {
      ASSERT_TRUE(store->write([&](Tx& tx) -> Result<void> {
        TRY_VOID(
            tx.exec("INSERT INTO test_rows (name, body) VALUES ($1, $2)", {std::to_string(i), std::string(500, 'x')}));
        return {};
      }));
    }
    for (const char* name : {"format", "meta.db", "meta.db-wal"}) {
      auto bytes = read_file(t.env.fs, join_path(folder, name));
      ASSERT_TRUE(bytes) << name;
      ASSERT_TRUE(t.env.fs.make_dirs(t.path("killed")));
      ASSERT_TRUE(write_file(t.env.fs, t.path("killed/") + name, *bytes));
    }
    folder = t.path("killed");
  }
  std::vector<RecordsDamage> check() {
    auto found = check_sqlite(t.env.fs, folder, true);
    EXPECT_TRUE(found) << found.error().message;
    return found.value_or(std::vector<RecordsDamage>());
  }
  std::string read(const std::string& name) { return *read_file(t.env.fs, join_path(folder, name)); }
  void write(const std::string& name, const std::string& bytes) {
    ASSERT_TRUE(write_file(t.env.fs, join_path(folder, name), bytes));
  }
};

TEST(RecordsCheck, LooksWithoutATrace) {
  Place place;
  place.killed_after(20);
  const auto database = place.read("meta.db"), log = place.read("meta.db-wal");
  EXPECT_TRUE(place.check().empty());
  EXPECT_EQ(place.read("meta.db"), database);
  EXPECT_EQ(place.read("meta.db-wal"), log) << "the log is left to whoever has the folder";
}

TEST(RecordsCheck, ADamagedLogLosesCommitsAndItIsSaid) {
  Place place;
  place.killed_after(20);
  const auto whole = place.read("meta.db-wal");
  for (const std::size_t at : {std::size_t{5}, std::size_t{20}, std::size_t{32 + 24 + 9}, whole.size() / 2}) {
    auto bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 0xff);
    place.write("meta.db-wal", bytes);
    const auto found = place.check();
    ASSERT_EQ(found.size(), 1u) << at;
    EXPECT_EQ(found[0].file, "meta.db-wal");
    EXPECT_GT(found[0].commits_lost, 1) << at;
    EXPECT_LE(found[0].commits_lost, 25) << at;
  }
  place.write("meta.db-wal", whole.substr(0, whole.size() - 100));
  EXPECT_TRUE(place.check().empty()) << "a torn end: nobody was told of that commit";
}

TEST(RecordsCheck, DamagedMissingEmpty) {
  Place place;
  {
    place.killed_after(20);
  }
  place.open();  // takes the log
  const auto whole = place.read("meta.db");
  auto bytes = whole;
  bytes[4096] = static_cast<char>(bytes[4096] ^ 0xff);
  for (const auto& damaged : {bytes, whole.substr(0, whole.size() / 2), std::string(), std::string(5000, 'x')}) {
    place.write("meta.db", damaged);
    const auto found = place.check();
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].file, "meta.db");
  }
  ASSERT_TRUE(place.t.env.fs.remove(join_path(place.folder, "meta.db")));
  EXPECT_EQ(place.check().size(), 1u);
  EXPECT_FALSE(exists(place.t.env.fs, join_path(place.folder, "meta.db"))) << "looking makes none";
}

TEST(RecordsCheck, RecordsThatAreGoneAreNotBegunAnew) {
  for (const bool empty : {false, true}) {
    Place place;
    place.open();
    const auto path = join_path(place.folder, "meta.db");
    const auto lose = [&] {
      ASSERT_TRUE(place.t.env.fs.remove(path));
      if (empty) place.write("meta.db", "");
    };
    lose();
    EXPECT_TRUE(place.open()) << "nothing was ever kept beside it: the rest of a first start";
    ASSERT_TRUE(place.t.env.fs.make_dirs(join_path(place.folder, "blobs")));
    lose();
    auto refused = open_sqlite(place.t.env, {.folder = place.folder}, place.writer, tables);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().reason, "meta.no_database");
    EXPECT_EQ(exists(place.t.env.fs, path), empty);
  }
}

}  // namespace
}  // namespace millrace::meta
