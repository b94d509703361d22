// The real store on a disk that forgets what was not synced: random transactions against a model of what must be there.
#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "base/digest.hpp"
#include "base/passing_fs.hpp"
#include "base/testing/env.hpp"
#include "meta/sqlite.hpp"
#include "meta/testing/sim_vfs.hpp"
#include "meta/testing/suite.hpp"

namespace millrace::meta {

namespace {

// One simulated machine per place of the suite, with real threads and a real clock.
struct Machine {
  SystemClock clock;
  SeededRng rng{1};
  SimFs fs{clock};
  SimVfs vfs{fs, clock, rng, {.sleep = [](Duration time) { std::this_thread::sleep_for(time); }}};
};

Result<std::unique_ptr<Store>> open_on_machine(Env env, const std::string& place, Executor& writer,
                                               std::span<const Migration> migrations) {
  static std::map<std::string, Machine> machines;
  auto& machine = machines[place];
  const Env inside{machine.fs, env.clock, env.rng, env.faults, env.log};
  return open_sqlite(inside, {.folder = "data", .writes_waiting_max = 16, .vfs = machine.vfs.name()}, writer,
                     migrations);
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Simulated, StorePromises, testing::Values(StoreFactory{"sqlite_simulated", open_on_machine}),
                         store_name);

namespace {

const std::vector<Migration> tables = {
    {"test", 1, "CREATE TABLE test_rows (id BIGINT PRIMARY KEY, body TEXT NOT NULL);"},
    {"test", 2, "CREATE INDEX test_rows_by_body ON test_rows (body);"}};

// All that a store holds.
struct Content {
  std::map<std::int64_t, std::string> rows;
  std::map<std::int64_t, std::string> events;  // payload by number
  std::int64_t last_event = 0;
  bool operator==(const Content&) const = default;
};

Result<Content> content_of(Store& store) {
  Content out;
  TRY_VOID(store.read([&](Reader& reader) -> Result<void> {
    TRY(auto rows, reader.query("SELECT id, body FROM test_rows"));
    for (const auto& row : rows) out.rows[row.integer(0)] = row.text(1);
    TRY(auto counter, reader.query("SELECT value FROM meta_counters WHERE name = 'outbox'"));
    out.last_event = counter.at(0).integer(0);
    return {};
  }));
  TRY(auto events, store.outbox_after(0, 100'000));
  for (const auto& event : events) out.events[event.seq] = event.event.payload;
  return out;
}

// A transaction, decided before it runs.
struct Plan {
  std::map<std::int64_t, std::optional<std::string>> rows;  // nullopt: removed
  std::vector<std::string> events;
  std::optional<std::int64_t> forget_up_to;  // then nothing else
  bool refuse = false;                       // its own function says no at the end

  Content after(Content content) const {
    if (forget_up_to) content.events.erase(content.events.begin(), content.events.upper_bound(*forget_up_to));
    for (const auto& [id, body] : rows) {
      content.rows.erase(id);
      if (body) content.rows[id] = *body;
    }
    for (const auto& payload : events) content.events[++content.last_event] = payload;
    return content;
  }

  Result<void> run(Store& store) const {
    if (forget_up_to) return store.outbox_forget(*forget_up_to);
    return store.write([&](Tx& tx) -> Result<void> {
      for (const auto& [id, body] : rows) {
        if (body) {
          TRY_VOID(tx.exec("INSERT INTO test_rows (id, body) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET body = $2",
                           {id, *body}));
        } else {
          TRY_VOID(tx.exec("DELETE FROM test_rows WHERE id = $1", {id}));
        }
      }
      for (const auto& payload : events) TRY_VOID(tx.emit({"test.changed", "k", payload}));
      if (refuse) return fail(Code::aborted, "test.refused", "no");
      return {};
    });
  }
};

// The disk, but for folders: their syncs say yes and do nothing.
class NoFolderSync final : public PassingFs {
 public:
  using PassingFs::PassingFs;
  Result<void> sync_dir(const std::string&) override { return {}; }
};

struct Planted {
  SimVfsOptions vfs;
  bool sector_damage = false;
  bool no_folder_sync = false;  // by the store itself
};

using Counts = std::map<std::string, std::uint64_t>;

// A disk, the store on it, and what must be there. The first thing that must not be ends the story; `wrong` says what.
class Story {
 public:
  explicit Story(std::uint64_t seed, const Planted& planted = {})
      : test_(TestEnv::Disk::sim, seed), vfs_(test_.sim_fs(), test_.clock, test_.rng, planted.vfs) {
    fs().set_sector_damage(planted.sector_damage);
    no_folder_sync_ = planted.no_folder_sync;
  }

  SimFs& fs() { return test_.sim_fs(); }
  Rng& rng() { return test_.rng; }
  const std::string& wrong() const { return wrong_; }
  bool running() const { return store_ != nullptr; }
  std::string digest() const { return sha256(log_).hex(); }
  // How it ended, for whoever looks for the cause.
  std::string ending() const { return log_.substr(log_.size() - std::min<std::size_t>(log_.size(), 1'500)); }

  // Any fault may be set meanwhile: then it may fail, and `running` is false.
  void open() {
    Env env = test_.env;
    auto opened =
        open_sqlite(no_folder_sync_ ? Env{careless_, env.clock, env.rng, env.faults, env.log} : env,
                    {.folder = "data", .program = "sim", .readers_max = 2, .checkpoint_pages = 24, .vfs = vfs_.name()},
                    writer_, tables);
    note("open", opened ? "ok" : opened.error().reason);
    if (opened) store_ = std::move(*opened);
  }
  // No fault is set: it must open, and hold what it must.
  void open_well() {
    open();
    if (!store_) return say("the store does not open: " + last_);
    look("after opening");
    if (!wrong_.empty()) return;
    if (auto sound = store_->verify(); !sound) say("after opening: " + sound.error().message);
  }
  void close() { store_ = nullptr; }
  void lose_power() {
    fs().die_at(0);  // closing in order would tidy up
    close();
    fs().crash(rng());
    fs().clear_faults();
    ++counts["crashes"];
    note("power lost", "");
  }
  void kill() {
    fs().die_at(0);
    close();
    fs().kill();
    fs().clear_faults();
    ++counts["kills"];
    note("killed", "");
  }

  Result<void> transact(const Plan& plan) {
    ++counts["transactions"];
    auto done = plan.run(*store_);
    note("transaction", done ? "ok" : done.error().reason);
    auto after = plan.after(must_);
    if (done) {
      if (plan.refuse) say("a refused transaction was acknowledged");
      ++counts["acknowledged"];
      must_ = std::move(after);
      may_.clear();
    } else {
      ++counts["failed"];
      if (!plan.refuse) may_.push_back(std::move(after));
    }
    return done;
  }

  // What is there must be all that was acknowledged, and at most one transaction whose end nobody knows. What was seen
  // once must stay.
  void look(const std::string& when) {
    auto seen = content_of(*store_);
    note("look", seen ? "ok" : seen.error().reason);
    if (!seen) return say(when + " it can't be read: " + seen.error().message);
    if (*seen == must_) {
      counts["unknown went"] += may_.size();
    } else if (std::ranges::find(may_, *seen) != may_.end()) {
      must_ = std::move(*seen);
      ++counts["unknown stayed"];
    } else {
      return say(when + " there are " + std::to_string(seen->rows.size()) + " rows and " +
                 std::to_string(seen->last_event) + " events, for " + std::to_string(must_.rows.size()) + " and " +
                 std::to_string(must_.last_event));
    }
    may_.clear();
  }

  // While a fault may be set: an answer must be right, an error is fine.
  void glance() {
    const auto seen = content_of(*store_);
    note("glance", seen ? "ok" : seen.error().reason);
    if (seen && *seen != must_ && std::ranges::find(may_, *seen) == may_.end()) say("a reader sees what nobody wrote");
  }

  Plan plan() {
    Plan out;
    if (rng().below(12) == 0 && must_.last_event > 0) {
      out.forget_up_to = static_cast<std::int64_t>(rng().below(static_cast<std::uint64_t>(must_.last_event) + 1));
      return out;
    }
    for (auto left = rng().below(4); left > 0; --left) {
      auto& row = out.rows[static_cast<std::int64_t>(rng().below(12))];
      if (rng().below(4) != 0) row = body();
    }
    for (auto left = rng().below(3); left > 0; --left)
      out.events.push_back("{\"n\":" + std::to_string(rng().below(1000)) + "}");
    out.refuse = rng().below(16) == 0;
    return out;
  }

  // Steps of all kinds, faults between them.
  void live(int steps) {
    for (int step = 0; step < steps && wrong_.empty(); ++step) {
      test_.clock.advance(std::chrono::milliseconds(1 + rng().below(1000)));
      switch (rng().below(16)) {
        case 0:
          close();
          ++counts["restarts"];
          open_well();
          break;
        case 1:
          look("while it runs");
          break;
        case 2:
        case 3:
          die();
          break;
        case 4:
          ++counts["faults"];
          fs().fail_at(rng().below(30));
          burst();
          break;
        case 5: {
          ++counts["faults"];
          const auto used = (std::uint64_t{1} << 50) - *test_.env.fs.free_bytes("data");
          fs().set_capacity(used + rng().below(40'000));
          burst();
          break;
        }
        case 6:
          write_under_a_reader();
          break;
        case 7:
          rng().below(2) == 0 ? lose_power() : kill();
          open_well();
          break;
        default:
          if (auto done = transact(plan()); !done && done.error().reason != "test.refused")
            say("a transaction failed without a fault: " + done.error().reason + " " + done.error().message);
      }
    }
    close();
    counts["operations"] = fs().operations();
  }

  Counts counts;

 private:
  std::string body() {
    const std::uint64_t sizes[] = {10, 300, 5'000, 20'000};
    std::string out(1 + rng().below(sizes[rng().below(4)]), static_cast<char>('a' + rng().below(26)));
    out += std::to_string(rng().next());
    return out;
  }

  void die() {
    const bool power = rng().below(3) != 0;
    fs().die_at(rng().below(80));
    for (int left = 40; left > 0 && wrong_.empty() && store_; --left) {
      if (rng().below(8) == 0) {
        close();
        open();
      } else if (auto done = transact(plan()); !done && done.error().reason != "test.refused") {
        break;
      }
    }
    power ? lose_power() : kill();
    if (rng().below(3) == 0) {  // and once more while it recovers
      fs().die_at(rng().below(80));
      open();
      rng().below(2) == 0 ? lose_power() : kill();
    }
    if (wrong_.empty()) open_well();
  }

  // A few transactions while a fault is set; afterwards the store works, or says that it stopped and works when opened
  // anew.
  void burst() {
    for (auto left = 1 + rng().below(4); left > 0 && wrong_.empty(); --left) {
      if (rng().below(4) == 0)
        glance();
      else
        (void)transact(plan());
    }
    fs().clear_faults();
    if (!wrong_.empty()) return;
    look("after a fault");
    if (!wrong_.empty()) return;
    if (auto done = transact({{{99, "after a fault"}}, {}, {}, false}); !done) {
      if (done.error().reason != "meta.sync_failed")
        return say("no write works after a fault: " + done.error().reason + " " + done.error().message);
      ++counts["stopped"];
      close();
      open_well();
    }
  }

  // A snapshot that stands still keeps the log from being moved into the file as a whole.
  void write_under_a_reader() {
    auto done = store_->read([&](Reader& reader) -> Result<void> {
      const auto count = [&] { return reader.query("SELECT count(*), sum(length(body)) FROM test_rows"); };
      TRY(auto before, count());
      for (int i = 0; i < 6; ++i) (void)transact(plan());
      TRY(auto after, count());
      if (before[0].at(0) != after[0].at(0) || before[0].at(1) != after[0].at(1)) say("a snapshot moved");
      return {};
    });
    if (!done) say("a reader failed without a fault: " + done.error().message);
  }

  void note(std::string_view what, std::string_view how) {
    last_ = how;
    log_ += std::to_string(fs().operations()) + " " + std::string(what) + " " + std::string(how) + "\n";
  }
  void say(std::string text) {
    if (wrong_.empty()) wrong_ = std::move(text);
    note("wrong", wrong_);
  }

  TestEnv test_;
  SimVfs vfs_;
  NoFolderSync careless_{test_.sim_fs()};
  bool no_folder_sync_ = false;
  InlineExecutor writer_;
  std::unique_ptr<Store> store_;
  Content must_;
  std::vector<Content> may_;  // after a transaction that failed for want of a disk: one of them may be there
  std::string wrong_, log_, last_;
};

// Half of the disks keep the promise that production relies on, half promise nothing and damage whole sectors.
Planted disk_of(std::uint64_t seed) {
  Planted planted;
  planted.sector_damage = seed % 2 == 1;
  planted.vfs.powersafe_overwrite = !planted.sector_damage;
  return planted;
}

constexpr std::uint64_t seeds = 240;
constexpr int steps = 40;

TEST(SimulatedSqlite, NothingAcknowledgedIsLost) {
  Counts sum;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    Story story(seed, disk_of(seed));
    story.open_well();
    story.live(steps);
    EXPECT_EQ(story.wrong(), "") << "seed " << seed << "\n" << story.ending();
    for (const auto& [what, count] : story.counts) sum[what] += count;
  }
  for (const auto& [what, count] : sum) std::printf("%s %llu\n", what.c_str(), static_cast<unsigned long long>(count));
  EXPECT_GT(sum["crashes"], seeds);
  EXPECT_GT(sum["kills"], seeds / 2);
  EXPECT_GT(sum["unknown stayed"], 0u);
  EXPECT_GT(sum["unknown went"], 0u);
}

TEST(SimulatedSqlite, TheSameSeedIsTheSameStory) {
  const auto tell = [](std::uint64_t seed) {
    Story story(seed, disk_of(seed));
    story.open_well();
    story.live(steps);
    return story.digest();
  };
  for (std::uint64_t seed = 0; seed < 10; ++seed) EXPECT_EQ(tell(seed), tell(seed)) << seed;
  EXPECT_NE(tell(0), tell(1));
}

std::optional<std::uint64_t> first_seed_that_sees(const Planted& planted) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Story story(seed, planted);
    story.open_well();
    story.live(steps);
    if (!story.wrong().empty()) return seed;
  }
  return std::nullopt;
}

TEST(SimulatedSqlite, SeesWhatIsPlanted) {
  const auto no_sync = first_seed_that_sees({.vfs = {.skip_sync = true}});
  const auto no_sync_dir = first_seed_that_sees({.vfs = {.skip_sync_dir = true}, .no_folder_sync = true});
  const auto lying_sectors = first_seed_that_sees({.vfs = {.powersafe_overwrite = true}, .sector_damage = true});
  EXPECT_TRUE(no_sync) << "files are never synced";
  EXPECT_TRUE(no_sync_dir) << "folders are never synced";
  EXPECT_TRUE(lying_sectors) << "a disk that damages what stands beside a write, and says it does not";
  for (const auto& [what, seed] : {std::pair("no sync", no_sync), std::pair("no folder sync", no_sync_dir),
                                   std::pair("lying sectors", lying_sectors)})
    if (seed) std::printf("%s: found by seed %llu\n", what, static_cast<unsigned long long>(*seed));
}

// The same short life, cut at each of its operations.
Plan fixed(std::int64_t id, std::size_t size) {
  return {{{id, std::string(size, 'x')}, {id + 1, std::string("y")}}, {"{}"}, {}, false};
}

void short_life(Story& story) {
  story.open();
  for (int i = 0; i < 4 && story.running(); ++i) {
    for (int j = 0; j < 2; ++j) (void)story.transact(fixed(2 * j, static_cast<std::size_t>(20'000 * j + 100 + i)));
    if (i == 1) {
      story.close();
      story.open();
    }
  }
}

TEST(SimulatedSqlite, AnyOperationMayBeTheLast) {
  std::uint64_t operations = 0;
  {
    Story story(1);
    short_life(story);
    operations = story.fs().operations();
  }
  ASSERT_GT(operations, 100u);
  for (const bool power : {true, false}) {
    for (std::uint64_t n = 0; n < operations; ++n) {
      Story story(n, disk_of(n));
      story.fs().die_at(n);
      short_life(story);
      power ? story.lose_power() : story.kill();
      story.open_well();
      ASSERT_EQ(story.wrong(), "") << (power ? "power lost" : "killed") << " at operation " << n;
    }
  }
}

TEST(SimulatedSqlite, AnyOperationMayFail) {
  for (std::uint64_t n = 0;; ++n) {
    ASSERT_LT(n, 5'000u);
    Story story(n);
    story.fs().fail_at(n);
    short_life(story);
    const bool over = story.fs().operations() <= n;
    story.lose_power();
    story.open_well();
    ASSERT_EQ(story.wrong(), "") << "operation " << n << " failed, then the power";
    if (over) break;
  }
}

// What a failed sync left in memory only can be read by the next process, and a power cut while that one opens takes
// it.
TEST(SimulatedSqlite, AFailedSyncIsNotTakenForDurableByTheNextProcess) {
  for (std::uint64_t failing = 0; failing < 60; ++failing) {
    for (std::uint64_t last = 0; last < 96; last += 3) {
      Story story(failing * 1'000 + last, disk_of(last));
      story.open();
      for (int i = 0; i < 3; ++i) (void)story.transact(fixed(2 * i, 100));
      story.fs().fail_at(failing);
      (void)story.transact(fixed(2, 30'000));
      story.kill();
      story.fs().die_at(last);
      story.open();
      story.lose_power();
      story.open_well();
      ASSERT_EQ(story.wrong(), "") << "operation " << failing << " failed, and the next process died at " << last;
    }
  }
}

TEST(SimulatedSqlite, TheDiskMayBeFullAtAnySize) {
  int full = 0;
  for (std::uint64_t bytes = 0; bytes < 300'000; bytes += 1'900) {
    Story story(bytes);
    story.fs().set_capacity(bytes);
    short_life(story);
    full += story.counts["failed"] > 0;
    bytes / 1'900 % 2 == 0 ? story.lose_power() : story.kill();
    story.open_well();
    ASSERT_EQ(story.wrong(), "") << "with a disk of " << bytes << " bytes";
  }
  EXPECT_GT(full, 10);
}

}  // namespace
}  // namespace millrace::meta
