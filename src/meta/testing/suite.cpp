#include "meta/testing/suite.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <thread>

#include "base/clock.hpp"
#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/rng.hpp"
#include "base/testing/temp_dir.hpp"

namespace millrace::meta {

std::string store_name(const testing::TestParamInfo<StoreFactory>& test) { return test.param.name; }

namespace {

const std::vector<Migration> tables = {{"test", 1, R"sql(
  CREATE TABLE test_rows (
    name TEXT PRIMARY KEY,  -- a comment; with a semicolon
    number BIGINT,
    share DOUBLE PRECISION,
    note TEXT DEFAULT 'a;b'
  );
  CREATE TABLE test_children (parent TEXT NOT NULL REFERENCES test_rows (name), positive BIGINT NOT NULL CHECK (positive > 0));
)sql"}};

std::string reason(const auto& result) { return result ? "ok" : result.error().reason; }

// One place with a store in it, and what it needs.
struct World {
  explicit World(const StoreFactory& by, const std::string& faults_spec = "") : factory(by) {
    if (!faults_spec.empty()) faults = *Faults::parse(faults_spec);
    open();
  }
  void open(std::span<const Migration> migrations = tables) {
    store = nullptr;
    auto opened = factory.open(env(), dir.path("data"), writer, migrations);
    ASSERT_TRUE(opened) << opened.error().reason << ": " << opened.error().message;
    store = std::move(*opened);
  }
  Env env() { return {fs, clock, rng, *faults, *log}; }

  std::int64_t count(std::string_view sql) {
    auto rows = store->read([&](Reader& reader) { return reader.query(sql); });
    EXPECT_TRUE(rows) << (rows ? "" : rows.error().message);
    return rows ? rows->at(0).integer(0) : -1;
  }
  Result<void> put(const std::string& name, std::int64_t number) {
    return store->write([&](Tx& tx) -> Result<void> {
      TRY_VOID(
          tx.exec("INSERT INTO test_rows (name, number) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET number = $2",
                  {name, number}));
      return {};
    });
  }

  const StoreFactory& factory;
  TempDir dir;
  RealFs fs;
  SystemClock clock;
  SeededRng rng{1};
  std::unique_ptr<Faults> faults = std::make_unique<Faults>();
  std::unique_ptr<Log> log = null_log();
  ThreadExecutor writer{"meta_writer"};
  std::unique_ptr<Store> store;
};

// Keeps the writer busy inside of a transaction until it is let go, so that other writes queue up behind it.
class Held {
 public:
  explicit Held(Store& store)
      : thread_([this, &store] {
          EXPECT_TRUE(store.write([this](Tx&) -> Result<void> {
            inside_.set_value();
            go_.get_future().wait();
            return {};
          }));
        }) {
    inside_.get_future().wait();
  }
  void let_go() {
    go_.set_value();
    thread_.join();
  }

 private:
  std::promise<void> inside_;
  std::promise<void> go_;
  std::thread thread_;
};

// Programs that link this library for TempStore alone do not run the suite.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StorePromises);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StoreKillPromises);

TEST_P(StorePromises, ValuesComeBackAsTheyWent) {
  World w(GetParam());
  const std::string odd("a\0b;$1'\"\xc3\xa9", 9);
  const double third = 1.0 / 3.0;
  const std::int64_t low = -9'223'372'036'854'775'807;
  const auto written = w.store->write([&](Tx& tx) {
    return tx.exec(
        "INSERT INTO test_rows (name, number, share, note) VALUES ($4, $1, $2, $3), ('nulls', NULL, $5, NULL)",
        {low, third, odd, "x", Value()});
  });
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(*written, 2);
  const auto rows = w.store->read([](Reader& reader) {
    return reader.query(
        "SELECT name, number, share, note, count(*) OVER (), avg(share) OVER () FROM test_rows ORDER BY name DESC");
  });
  ASSERT_TRUE(rows) << rows.error().message;
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ(rows->at(0).text(0), "x");
  EXPECT_EQ(rows->at(0).integer(1), low);
  EXPECT_EQ(rows->at(0).real(2), third);
  EXPECT_EQ(rows->at(0).text(3), odd);
  EXPECT_EQ(rows->at(0).integer(4), 2);
  EXPECT_EQ(rows->at(0).real(5), third);
  EXPECT_TRUE(rows->at(1).is_null(1));
  EXPECT_EQ(rows->at(1).maybe_real(2), std::nullopt);
  EXPECT_EQ(rows->at(1).maybe_text(3), std::nullopt);
}

TEST_P(StorePromises, AWriteIsWholeOrNotAtAll) {
  World w(GetParam());
  const auto failed = w.store->write([&](Tx& tx) -> Result<int> {
    TRY_VOID(tx.exec("INSERT INTO test_rows (name) VALUES ('a')"));
    TRY_VOID(tx.emit({"test.made", "a", "{}"}));
    return fail(Code::aborted, "test.enough", "no");
  });
  EXPECT_EQ(reason(failed), "test.enough");
  EXPECT_EQ(w.count("SELECT count(*) FROM test_rows"), 0);
  EXPECT_TRUE(w.store->outbox_after(0, 10)->empty());
}

TEST_P(StorePromises, AWriteSeesItself) {
  World w(GetParam());
  const auto seen = w.store->write([&](Tx& tx) -> Result<std::int64_t> {
    TRY_VOID(tx.exec("INSERT INTO test_rows (name, number) VALUES ('a', 1)"));
    TRY(auto changed, tx.query("UPDATE test_rows SET number = number + 41 WHERE name = 'a' RETURNING number"));
    return changed.at(0).integer(0);
  });
  ASSERT_TRUE(seen);
  EXPECT_EQ(*seen, 42);
}

TEST_P(StorePromises, AFailedCallSpoilsItsTransaction) {
  World w(GetParam());
  const auto failed = w.store->write([&](Tx& tx) -> Result<void> {
    TRY_VOID(tx.exec("INSERT INTO test_rows (name) VALUES ('a')"));
    EXPECT_EQ(reason(tx.exec("INSERT INTO test_rows (name) VALUES ('a')")), "meta.unique");
    EXPECT_EQ(reason(tx.query("SELECT 1")), "meta.unique");
    return {};  // forgets to say so
  });
  EXPECT_EQ(reason(failed), "meta.unique");
  EXPECT_EQ(w.count("SELECT count(*) FROM test_rows"), 0);
}

TEST_P(StorePromises, ErrorsHaveTheirNames) {
  World w(GetParam());
  ASSERT_TRUE(w.put("a", 1));
  const auto run = [&](std::string_view sql, Params params = {}) {
    return reason(w.store->write([&](Tx& tx) { return tx.exec(sql, params); }));
  };
  EXPECT_EQ(run("INSERT INTO test_rows (name) VALUES ($1)", {"a"}), "meta.unique");
  EXPECT_EQ(run("INSERT INTO test_children (parent, positive) VALUES ('nobody', 1)"), "meta.constraint");
  EXPECT_EQ(run("INSERT INTO test_children (parent, positive) VALUES ('a', 0)"), "meta.constraint");
  EXPECT_EQ(run("INSERT INTO test_children (parent, positive) VALUES (NULL, 1)"), "meta.constraint");
  EXPECT_EQ(run("INSERT INTO nowhere (x) VALUES (1)"), "meta.bad_sql");
  EXPECT_EQ(run("DELETE FROM test_rows; DELETE FROM test_children"), "meta.bad_sql");
  EXPECT_EQ(run("INSERT INTO test_rows (name) VALUES ($1)", {"b", "c"}), "meta.bad_params");
  EXPECT_EQ(run("INSERT INTO test_rows (name, number) VALUES ($1, $3)", {"b", 1, 2}), "meta.bad_params");
  EXPECT_EQ(run("INSERT INTO test_rows (name) VALUES (?)", {"b"}), "meta.not_portable");
  EXPECT_EQ(run("INSERT INTO test_rows (name) VALUES (:name)", {"b"}), "meta.not_portable");
  EXPECT_EQ(run("INSERT OR REPLACE INTO test_rows (name) VALUES ('b')"), "meta.not_portable");
  EXPECT_EQ(run("INSERT INTO test_rows (name) VALUES ('insert or ?')"), "ok");
  EXPECT_EQ(run("UPDATE test_rows SET number = 1 WHERE name = 'nobody'"), "ok");
}

TEST_P(StorePromises, ReadersMayNotWrite) {
  World w(GetParam());
  EXPECT_NE(reason(w.store->read([](Reader& reader) {
              return reader.query("INSERT INTO test_rows (name) VALUES ('a') RETURNING name");
            })),
            "ok");
  EXPECT_EQ(w.count("SELECT count(*) FROM test_rows"), 0);
}

TEST_P(StorePromises, ASnapshotStandsStillWhileOthersWrite) {
  World w(GetParam());
  ASSERT_TRUE(w.put("a", 1));
  const auto seen = w.store->read([&](Reader& reader) -> Result<std::vector<std::int64_t>> {
    std::vector<std::int64_t> numbers;
    for (int i = 2; i < 5; ++i) {
      TRY(auto rows, reader.query("SELECT number FROM test_rows"));
      numbers.push_back(rows.at(0).integer(0));
      std::thread([&] {
        EXPECT_TRUE(w.put("a", i));
        EXPECT_EQ(w.count("SELECT number FROM test_rows"), i);
      }).join();
    }
    return numbers;
  });
  ASSERT_TRUE(seen) << seen.error().message;
  EXPECT_EQ(*seen, (std::vector<std::int64_t>{1, 1, 1}));
}

TEST_P(StorePromises, OneOfAGroupFailsAlone) {
  World w(GetParam());
  Held held(*w.store);
  std::vector<std::thread> others;
  for (int i = 0; i < 12; ++i) {
    others.emplace_back([&, i] {
      const auto done = w.store->write([&](Tx& tx) -> Result<void> {
        TRY_VOID(tx.exec("INSERT INTO test_rows (name, number) VALUES ($1, $2)", {"row" + std::to_string(i), i}));
        TRY_VOID(tx.emit({"test.made", std::to_string(i), "{}"}));
        if (i % 3 == 0) TRY_VOID(tx.exec("INSERT INTO test_children (parent, positive) VALUES ('nobody', 1)"));
        return {};
      });
      EXPECT_EQ(reason(done), i % 3 == 0 ? "meta.constraint" : "ok");
    });
  }
  held.let_go();
  for (auto& thread : others) thread.join();
  EXPECT_EQ(w.count("SELECT count(*) FROM test_rows"), 8);
  const auto events = *w.store->outbox_after(0, 100);
  ASSERT_EQ(events.size(), 8u);
  for (std::size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].seq, static_cast<std::int64_t>(i) + 1);
    EXPECT_NE(std::stoi(events[i].event.key) % 3, 0);
  }
}

TEST_P(StorePromises, AFullQueueRefusesAndThoseInItShareACommit) {
  World w(GetParam(), "meta.commit.before=error@1000000");  // never: it only counts
  const auto before = w.faults->reached()["meta.commit.before"];
  Held held(*w.store);
  std::atomic<int> busy = 0;
  std::vector<std::thread> others;
  for (int i = 0; i < 24; ++i) {
    others.emplace_back([&, i] {
      const auto done = w.put("row" + std::to_string(i), i);
      if (reason(done) == "meta.busy")
        ++busy;
      else
        EXPECT_TRUE(done);
    });
  }
  while (busy == 0) std::this_thread::yield();
  held.let_go();
  for (auto& thread : others) thread.join();
  EXPECT_EQ(w.count("SELECT count(*) FROM test_rows"), 24 - busy);
  // One commit for the writer that was held, one for the 16 that waited for it, at most one for each that came later.
  EXPECT_LE(w.faults->reached()["meta.commit.before"] - before, 2u + 8u - static_cast<unsigned>(busy));
}

TEST_P(StorePromises, AWriteInsideAWriteIsRefused) {
  World w(GetParam());
  EXPECT_TRUE(w.store->write([&](Tx&) -> Result<void> {
    EXPECT_EQ(reason(w.put("a", 1)), "meta.nested_write");
    return {};
  }));
}

TEST_P(StorePromises, EventsComeInOrderAndWakeTheReader) {
  World w(GetParam());
  std::atomic<int> woken = 0;
  w.store->on_event([&] { ++woken; });
  const auto emit = [&](int i) {
    return w.store->write([&](Tx& tx) { return tx.emit({"test.made", std::to_string(i), R"({"i":1})"}); });
  };
  ASSERT_TRUE(w.put("quiet", 1));
  for (int i = 1; i <= 5; ++i) ASSERT_TRUE(emit(i));
  ASSERT_TRUE(w.put("quiet", 2));  // its turn comes after the last wake
  w.store->on_event({});
  EXPECT_EQ(woken, 5);
  const auto events = *w.store->outbox_after(2, 2);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].seq, 3);
  EXPECT_EQ(events[1].event.key, "4");
  EXPECT_EQ(events[1].event.payload, R"({"i":1})");
  ASSERT_TRUE(w.store->outbox_forget(5));
  EXPECT_TRUE(w.store->outbox_after(0, 10)->empty());
  w.open();
  ASSERT_TRUE(emit(6));
  EXPECT_EQ(w.store->outbox_after(0, 10)->at(0).seq, 6);
  ASSERT_TRUE(w.store->outbox_continue_above(3));
  ASSERT_TRUE(w.store->outbox_continue_above(10));
  ASSERT_TRUE(emit(7));
  EXPECT_EQ(w.store->outbox_after(6, 10)->at(0).seq, 11);
}

TEST_P(StorePromises, AnEventThatNoQueueTakesIsRefused) {
  World w(GetParam());
  const auto emit = [&](const std::string& subject, const std::string& payload) {
    return reason(w.store->write([&](Tx& tx) { return tx.emit({subject, "k", payload}); }));
  };
  EXPECT_EQ(emit("job.done_2-x", "{}"), "ok");
  for (const char* bad : {"", ".", "job.", ".job", "a..b", "a b", "a.*", "\xc3\xa9"})
    EXPECT_EQ(emit(bad, "{}"), "meta.bad_event") << bad;
  EXPECT_EQ(emit("job", ""), "meta.bad_event");
  EXPECT_EQ(emit("job", std::string(300'000, '1')), "meta.bad_event");
  EXPECT_EQ(w.store->outbox_after(0, 10)->size(), 1u);
}

TEST_P(StorePromises, ManyThreadsLoseNoIncrement) {
  World w(GetParam());
  ASSERT_TRUE(w.put("sum", 0));
  constexpr int each = 200;
  std::vector<std::thread> threads;
  std::atomic<bool> stop = false;
  std::thread reader([&] {
    std::int64_t last = 0;
    while (!stop) {
      const auto now = w.count("SELECT number FROM test_rows WHERE name = 'sum'");
      EXPECT_GE(now, last);
      last = now;
    }
  });
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < each; ++i) {
        const auto done = w.store->write([](Tx& tx) -> Result<std::int64_t> {
          TRY(auto rows, tx.query("SELECT number FROM test_rows WHERE name = 'sum'"));
          TRY_VOID(tx.emit({"test.counted", "sum", "{}"}));
          return tx.exec("UPDATE test_rows SET number = $1 WHERE name = 'sum'", {rows.at(0).integer(0) + 1});
        });
        EXPECT_TRUE(done) << done.error().message;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  stop = true;
  reader.join();
  EXPECT_EQ(w.count("SELECT number FROM test_rows WHERE name = 'sum'"), 8 * each);
  EXPECT_EQ(w.store->outbox_after(0, 8 * each + 1)->size(), static_cast<std::size_t>(8 * each));
  EXPECT_TRUE(w.store->verify());
}

TEST_P(StorePromises, MigrationsRunOnceAndAreRemembered) {
  World w(GetParam());
  ASSERT_TRUE(w.put("a", 1));
  auto more = tables;
  more.push_back(
      {"test", 2, "ALTER TABLE test_rows ADD COLUMN extra BIGINT; UPDATE test_rows SET extra = number + 1;"});
  w.open(more);
  EXPECT_EQ(w.count("SELECT extra FROM test_rows"), 2);
  w.open(more);
  w.store = nullptr;
  const auto open = [&](std::span<const Migration> migrations) {
    return reason(w.factory.open(w.env(), w.dir.path("data"), w.writer, migrations));
  };
  EXPECT_EQ(open(tables), "meta.newer_migration");
  auto edited = more;
  edited[0].sql += " ";
  EXPECT_EQ(open(edited), "meta.changed_migration");
  auto broken = more;
  broken.push_back({"test", 3, "CREATE TABLE test_new (a BIGINT); INSERT INTO nowhere VALUES (1)"});
  EXPECT_EQ(open(broken), "meta.bad_sql");
  w.open(more);  // nothing of the broken one stayed
  EXPECT_EQ(reason(w.store->read([](Reader& reader) { return reader.query("SELECT * FROM test_new"); })),
            "meta.bad_sql");
}

TEST_P(StorePromises, ACommitThatFailsFailsItsWrites) {
  World w(GetParam(), "meta.commit.before=error@5");
  std::vector<std::string> acknowledged;
  for (int i = 0; i < 8; ++i) {
    const auto name = "row" + std::to_string(i);
    if (w.put(name, i)) acknowledged.push_back(name);
  }
  EXPECT_EQ(acknowledged.size(), 7u);
  const auto rows =
      *w.store->read([](Reader& reader) { return reader.query("SELECT name FROM test_rows ORDER BY name"); });
  std::vector<std::string> stored;
  for (const auto& row : rows) stored.push_back(row.text(0));
  EXPECT_EQ(stored, acknowledged);
}

// A child writes and says each acknowledged number on a pipe; it is killed in the middle, or at a fault point. What it
// said is there, and beyond that at most what it had not said yet, never a half.
void survive_kill(const StoreFactory& factory, const std::string& faults_spec) {
  World w(factory);
  w.store = nullptr;
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const auto child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::close(pipe_ends[0]);
    InlineExecutor inline_writer;  // threads did not come along
    auto faults = faults_spec.empty() ? std::make_unique<Faults>() : *Faults::parse(faults_spec);
    auto opened = factory.open({w.fs, w.clock, w.rng, *faults, *w.log}, w.dir.path("data"), inline_writer, tables);
    if (!opened) ::_exit(1);
    for (std::int64_t i = 1;; ++i) {
      const auto done = (*opened)->write([&](Tx& tx) -> Result<void> {
        TRY_VOID(tx.exec("INSERT INTO test_rows (name, number) VALUES ($1, $2)", {"row" + std::to_string(i), i}));
        TRY_VOID(
            tx.exec("INSERT INTO test_children (parent, positive) VALUES ($1, $2)", {"row" + std::to_string(i), i}));
        return tx.emit({"test.made", std::to_string(i), "{}"});
      });
      if (!done) ::_exit(2);
      if (::write(pipe_ends[1], &i, sizeof i) != sizeof i) ::_exit(3);
    }
  }
  ::close(pipe_ends[1]);
  std::int64_t last = 0;
  for (std::int64_t i = 0; ::read(pipe_ends[0], &i, sizeof i) == sizeof i;) {
    last = i;
    if (faults_spec.empty() && i == 300) ::kill(child, SIGKILL);
  }
  ::close(pipe_ends[0]);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
  ASSERT_GT(last, 0);
  w.open();
  const auto rows = w.count("SELECT count(*) FROM test_rows");
  EXPECT_GE(rows, last);
  EXPECT_LE(rows, last + 1);
  EXPECT_EQ(w.count("SELECT max(number) FROM test_rows"), rows);
  EXPECT_EQ(w.count("SELECT count(*) FROM test_children"), rows);
  EXPECT_EQ(w.store->outbox_after(0, 100'000)->size(), static_cast<std::size_t>(rows));
  EXPECT_TRUE(w.store->verify());
}

TEST_P(StoreKillPromises, AcknowledgedWritesSurviveAKill) { survive_kill(GetParam(), ""); }
TEST_P(StoreKillPromises, AKillBeforeTheCommit) { survive_kill(GetParam(), "meta.commit.before=kill@40"); }
TEST_P(StoreKillPromises, AKillAfterTheCommit) { survive_kill(GetParam(), "meta.commit.after=kill@40"); }

TEST_P(StoreKillPromises, AKillInsideAMigration) {
  TempDir dir;
  RealFs fs;
  SystemClock clock;
  SeededRng rng(1);
  auto log = null_log();
  InlineExecutor writer;
  const auto child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto faults = *Faults::parse("meta.migrate.before_commit=kill@2");
    (void)GetParam().open({fs, clock, rng, *faults, *log}, dir.path("data"), writer, tables);
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
  Faults faults;
  auto store = GetParam().open({fs, clock, rng, faults, *log}, dir.path("data"), writer, tables);
  ASSERT_TRUE(store) << store.error().message;
  EXPECT_TRUE((*store)->read([](Reader& reader) { return reader.query("SELECT * FROM test_rows"); }));
}

}  // namespace
}  // namespace millrace::meta
