#include "meta/sqlite.hpp"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/executor.hpp"
#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/rng.hpp"
#include "base/testing/temp_dir.hpp"
#include "meta/sqlite_session_internal.hpp"
#include "meta/testing/suite.hpp"

namespace millrace::meta {

namespace {
const StoreFactory on_disk{
    "sqlite", [](Env env, const std::string& place, Executor& writer, std::span<const Migration> migrations) {
      return open_sqlite(env, {.folder = place, .writes_waiting_max = 16}, writer, migrations);
    }};
}  // namespace

INSTANTIATE_TEST_SUITE_P(Sqlite, StorePromises, testing::Values(on_disk), store_name);
INSTANTIATE_TEST_SUITE_P(Sqlite, StoreKillPromises, testing::Values(on_disk), store_name);

namespace {

const std::vector<Migration> tables = {
    {"test", 1, "CREATE TABLE test_rows (name TEXT PRIMARY KEY, body TEXT NOT NULL);"}};

struct Place {
  TempDir dir;
  RealFs fs;
  SystemClock clock;
  SeededRng rng{1};
  Faults faults;
  std::unique_ptr<Log> log = null_log();
  InlineExecutor writer;

  Env env() { return {fs, clock, rng, faults, *log}; }
  Result<std::unique_ptr<Store>> open(SqliteConfig config = {}) {
    config.folder = dir.path("data");
    config.program = "millrace 9.9";
    return open_sqlite(env(), config, writer, tables);
  }
  void overwrite(const std::string& name, std::uint64_t offset, const std::string& text) {
    auto whole = *read_file(fs, dir.path("data/" + name));
    whole.resize(std::max(whole.size(), offset + text.size()));
    whole.replace(offset, text.size(), text);
    ASSERT_TRUE(write_file(fs, dir.path("data/" + name), whole));
  }
};

std::string reason(const auto& result) { return result ? "ok" : result.error().reason; }

Result<void> put(Store& store, const std::string& name, const std::string& body) {
  return store.write([&](Tx& tx) -> Result<void> {
    TRY_VOID(tx.exec("INSERT INTO test_rows (name, body) VALUES ($1, $2)", {name, body}));
    return {};
  });
}

TEST(Sqlite, TheFolderNamesItsHolder) {
  Place place;
  auto first = place.open();
  ASSERT_TRUE(first) << first.error().message;
  const auto second = place.open();
  ASSERT_EQ(reason(second), "meta.folder_locked");
  EXPECT_NE(second.error().message.find("millrace 9.9, process " + std::to_string(::getpid())), std::string::npos)
      << second.error().message;
  *first = nullptr;
  EXPECT_TRUE(place.open());
}

TEST(Sqlite, ANewerFolderIsRefusedWithItsWriter) {
  Place place;
  ASSERT_TRUE(place.open());
  ASSERT_TRUE(
      write_file(place.fs, place.dir.path("data/format"), R"({"format":7,"program":"millrace 42.0","colour":"blue"})"));
  const auto refused = place.open();
  ASSERT_EQ(reason(refused), "meta.newer_format");
  EXPECT_NE(refused.error().message.find("millrace 42.0"), std::string::npos);
}

std::vector<std::string> kept(Place& place) {
  std::vector<std::string> names;
  const auto files = *place.fs.list(place.dir.path("data"));
  for (const auto& file : files) {
    if (file.name.starts_with(copy_before_prefix)) names.push_back(file.name);
  }
  return names;
}

TEST(Sqlite, AnUpgradeKeepsTheRecordsAsTheyWere) {
  Place place;
  const auto open = [&](int steps) {
    auto all = tables;
    for (int n = 2; n <= steps; ++n)
      all.push_back({"test", n, "CREATE TABLE test_step" + std::to_string(n) + " (a BIGINT);"});
    return open_sqlite(place.env(), {.folder = place.dir.path("data")}, place.writer, all);
  };
  auto store = *open(1);
  ASSERT_TRUE(put(*store, "a", "1"));
  store = nullptr;
  EXPECT_TRUE(open(1));
  EXPECT_TRUE(kept(place).empty()) << "a first start and an ordinary one change nothing that was there";

  // Dies between its steps: the copy stays that of before the first.
  ASSERT_TRUE(place.faults.arm("meta.migrate.before_commit=error@2"));
  EXPECT_EQ(reason(open(3)), "fault.injected");
  ASSERT_EQ(kept(place).size(), 1u);
  const auto name = kept(place)[0];
  ASSERT_TRUE(place.faults.arm(""));
  store = *open(3);
  ASSERT_TRUE(put(*store, "b", "2"));
  store = nullptr;
  EXPECT_EQ(kept(place), std::vector{name});

  // The way back.
  const auto data = place.dir.path("data");
  ASSERT_TRUE(place.fs.rename(join_path(data, name), join_path(data, "meta.db")));
  for (const auto* beside : {"meta.db-wal", "meta.db-shm"}) (void)place.fs.remove(join_path(data, beside));
  auto back = open(1);
  ASSERT_TRUE(back) << back.error().message;
  store = *std::move(back);
  const auto rows = *store->read([](Reader& reader) { return reader.query("SELECT name FROM test_rows", {}); });
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].text(0), "a");
  store = nullptr;

  ASSERT_TRUE(open(2));
  ASSERT_TRUE(open(3));
  EXPECT_EQ(kept(place), std::vector{name}) << "only the newest upgrade's copy stays";
}

TEST(Sqlite, AnUpgradeWithoutRoomForItsCopyDoesNotBegin) {
  Place place;
  ASSERT_TRUE(place.open());
  auto more = tables;
  more.push_back({"test", 2, "CREATE TABLE test_more (a BIGINT);"});
  ASSERT_TRUE(place.faults.arm("meta.keep.before_rename=error"));
  const auto refused = open_sqlite(place.env(), {.folder = place.dir.path("data")}, place.writer, more);
  EXPECT_EQ(reason(refused), "fault.injected");
  EXPECT_NE(refused.error().message.find("the way back from this upgrade"), std::string::npos);
  EXPECT_TRUE(place.open()) << "still the older program's";
}

TEST(Sqlite, ADamagedOrLostFormatIsRefused) {
  Place place;
  ASSERT_TRUE(place.open());
  ASSERT_TRUE(write_file(place.fs, place.dir.path("data/format"), "{"));
  EXPECT_EQ(reason(place.open()), "meta.bad_format");
  ASSERT_TRUE(place.fs.remove(place.dir.path("data/format")));
  EXPECT_EQ(reason(place.open()), "meta.bad_format");
}

TEST(Sqlite, AFullDiskChangesNothing) {
  Place place;
  auto store = *place.open({.bytes_max = 200'000});
  const std::string body(10'000, 'x');
  int stored = 0;
  Result<void> last;
  while ((last = put(*store, std::to_string(stored), body)) && stored < 100) ++stored;
  EXPECT_EQ(reason(last), "meta.disk_full");
  EXPECT_EQ(last.error().code, Code::resource_exhausted);
  EXPECT_GT(stored, 3);
  EXPECT_TRUE(put(*store, "small", "x")) << "room for this there is";
  EXPECT_EQ(
      store->read([](Reader& reader) { return reader.query("SELECT count(*) FROM test_rows"); })->at(0).integer(0),
      stored + 1);
  EXPECT_TRUE(store->verify());
}

TEST(Sqlite, ADamagedFileIsDataLoss) {
  Place place;
  ASSERT_TRUE(place.open());
  place.overwrite("meta.db", 0, std::string(100, 'x'));
  EXPECT_EQ(reason(place.open()), "meta.corrupt");
}

TEST(Sqlite, ADamagedPageIsFound) {
  Place place;
  {
    auto store = *place.open();
    for (int i = 0; i < 200; ++i) ASSERT_TRUE(put(*store, std::to_string(i), std::string(500, 'x')));
    EXPECT_TRUE(store->verify());
  }
  place.overwrite("meta.db", 20 * 4096, std::string(8 * 4096, '\xee'));
  auto store = place.open();
  ASSERT_TRUE(store) << store.error().message;
  EXPECT_EQ(reason((*store)->verify()), "meta.corrupt");
  EXPECT_EQ(
      reason((*store)->read([](Reader& reader) { return reader.query("SELECT sum(length(body)) FROM test_rows"); })),
      "meta.corrupt");
}

// As an ordinary user, whom the file modes bind.
TEST(Sqlite, AFolderThatCantBeWrittenIsSaidSo) {
  Place place;
  ASSERT_TRUE(place.open());
  ASSERT_EQ(::chmod(place.dir.path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(place.dir.path("data").c_str(), 0555), 0);
  const auto child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(2);
    const auto refused = place.open();
    ::_exit(reason(refused) == "meta.denied" && refused.error().code == Code::permission_denied ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  ASSERT_EQ(::chmod(place.dir.path("data").c_str(), 0755), 0);
}

TEST(Sqlite, ErrorTable) {
  struct Case {
    int code;
    Code expected;
    const char* reason;
  };
  for (const auto& [code, expected, why] : {
           Case{SQLITE_FULL, Code::resource_exhausted, "meta.disk_full"},
           Case{SQLITE_READONLY_DIRECTORY, Code::permission_denied, "meta.denied"},
           Case{SQLITE_CANTOPEN_ISDIR, Code::permission_denied, "meta.denied"},
           Case{SQLITE_CORRUPT_INDEX, Code::data_loss, "meta.corrupt"},
           Case{SQLITE_NOTADB, Code::data_loss, "meta.corrupt"},
           Case{SQLITE_BUSY_SNAPSHOT, Code::unavailable, "meta.unavailable"},
           Case{SQLITE_IOERR_WRITE, Code::unavailable, "meta.io"},
           Case{SQLITE_IOERR_FSYNC, Code::unavailable, "meta.sync_failed"},
           Case{SQLITE_CONSTRAINT_PRIMARYKEY, Code::already_exists, "meta.unique"},
           Case{SQLITE_CONSTRAINT_CHECK, Code::failed_precondition, "meta.constraint"},
           Case{SQLITE_ERROR, Code::invalid_argument, "meta.bad_sql"},
       }) {
    const auto error = sqlite_error(code, "m");
    EXPECT_EQ(error.code, expected) << code;
    EXPECT_EQ(error.reason, why) << code;
  }
}

}  // namespace
}  // namespace millrace::meta
