#include "meta/sqlite.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <format>
#include <future>
#include <mutex>
#include <thread>

#include "base/digest.hpp"
#include "base/executor.hpp"
#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "meta/folder.hpp"
#include "meta/migrate.hpp"
#include "meta/reserve_internal.hpp"
#include "meta/sql_internal.hpp"
#include "meta/sqlite_session_internal.hpp"

namespace millrace::meta {

namespace {

class SnapshotReader final : public Reader {
 public:
  explicit SnapshotReader(SqliteSession& session) : session_(session) {}
  Result<Rows> query(std::string_view sql, Params params) override { return session_.query(sql, params); }

 private:
  SqliteSession& session_;
};

class WriteTx final : public Tx {
 public:
  WriteTx(SqliteSession& session, Clock& clock) : session_(session), clock_(clock) {}

  Result<Rows> query(std::string_view sql, Params params) override {
    if (spoiled_) return fail(*spoiled_);
    return keep(session_.query(sql, params));
  }

  Result<std::int64_t> exec(std::string_view sql, Params params) override {
    if (spoiled_) return fail(*spoiled_);
    return keep(session_.exec(sql, params));
  }

  Result<void> emit(Event event) override {
    if (auto checked = check_event(event); !checked) return keep(std::move(checked));
    TRY(auto next, query("UPDATE meta_counters SET value = value + 1 WHERE name = 'outbox' RETURNING value", {}));
    TRY_VOID(exec("INSERT INTO meta_outbox (seq, at, subject, event_key, payload) VALUES ($1, $2, $3, $4, $5)",
                  {next.at(0).at(0), value(clock_.now()), std::move(event.subject), std::move(event.key),
                   std::move(event.payload)}));
    emitted_ = true;
    return {};
  }

  const std::optional<Error>& spoiled() const { return spoiled_; }
  bool emitted() const { return emitted_; }

 private:
  template <class T>
  Result<T> keep(Result<T> result) {
    if (!result) spoiled_ = result.error();
    return result;
  }

  SqliteSession& session_;
  Clock& clock_;
  std::optional<Error> spoiled_;
  bool emitted_ = false;
};

// A write that waits; lives on its caller's stack.
struct Waiting {
  std::function<Result<void>(Tx&)> fn;
  bool urgent = false;
  Result<void> result;
  std::promise<void> done;
};

class SqliteStore final : public Store {
 public:
  SqliteStore(Env env, SqliteConfig config, Executor& executor, std::unique_ptr<DataFolder> folder,
              std::unique_ptr<SqliteSession> writer)
      : env_(env),
        config_(std::move(config)),
        executor_(executor),
        folder_(std::move(folder)),
        writer_(std::move(writer)),
        reserve_(env_.fs, config_.folder, config_.reserve_bytes) {}

  ~SqliteStore() override {
    std::unique_lock lock(queue_mutex_);
    closing_ = true;
    queue_idle_.wait(lock, [&] { return !draining_; });
  }

  Result<void> migrate(std::span<const Migration> migrations);
  Result<void> keep_as_it_was(std::span<const Migration> known);
  Result<void> settle();

  Result<std::vector<OutboxEvent>> outbox_after(std::int64_t seq, std::size_t max) override;
  Result<void> outbox_forget(std::int64_t up_to) override;
  Result<void> outbox_continue_above(std::int64_t seq) override;
  void on_event(std::function<void()> wake) override {
    const std::lock_guard lock(wake_mutex_);
    wake_ = std::move(wake);
  }
  Result<void> verify() override;
  void hold_back_room() override { reserve_.hold(); }
  std::optional<Error> stopped() override {
    const std::lock_guard lock(queue_mutex_);
    return stopped_;
  }

 protected:
  Result<void> do_write(std::function<Result<void>(Tx&)> fn) override { return wait_for(std::move(fn), false); }
  Result<void> do_write_urgent(std::function<Result<void>(Tx&)> fn) override { return wait_for(std::move(fn), true); }
  Result<void> do_read(std::function<Result<void>(Reader&)> fn) override;

 private:
  Result<void> wait_for(std::function<Result<void>(Tx&)> fn, bool urgent);
  void drain();
  void abandon(const Error& error);
  std::vector<Waiting*> take_group(std::size_t max);
  void run_group(std::vector<Waiting*> group);
  Result<void> attempt(std::span<Waiting* const> group, bool& emitted);
  bool again_with_room(std::span<Waiting* const> group, bool& emitted);
  Result<void> run_one(Waiting& waiting, bool& emitted);
  Result<void> commit();
  void checkpoint();
  void stop_if_sync_failed(const Error& error);
  Result<std::unique_ptr<SqliteSession>> take_reader();
  void give_reader(std::unique_ptr<SqliteSession> reader);

  Env env_;
  const SqliteConfig config_;
  Executor& executor_;
  std::unique_ptr<DataFolder> folder_;
  std::unique_ptr<SqliteSession> writer_;  // the drain's, one at a time
  std::atomic<std::thread::id> writer_thread_{};
  Reserve reserve_;

  std::mutex queue_mutex_;
  std::optional<Error> stopped_;  // why nothing is written any more; set by the drain
  std::condition_variable queue_idle_;
  std::deque<Waiting*> queue_;
  bool draining_ = false;
  bool closing_ = false;

  std::mutex readers_mutex_;
  std::condition_variable readers_free_;
  std::vector<std::unique_ptr<SqliteSession>> readers_;
  std::size_t readers_open_ = 0;

  std::mutex wake_mutex_;
  std::function<void()> wake_;
};

SqliteSession::Options session_options(const SqliteConfig& config, bool read_only) {
  return {join_path(config.folder, "meta.db"),
          read_only,
          config.power_safe,
          config.busy_timeout,
          config.bytes_max,
          config.vfs};
}

// ---- writes ----

Result<void> SqliteStore::wait_for(std::function<Result<void>(Tx&)> fn, bool urgent) {
  if (writer_thread_.load() == std::this_thread::get_id())
    return fail(Code::failed_precondition, "meta.nested_write",
                "write() inside of write(): use the transaction at hand");
  Waiting waiting{std::move(fn), urgent, {}, {}};
  auto done = waiting.done.get_future();
  bool start = false;
  {
    const std::lock_guard lock(queue_mutex_);
    if (closing_) return fail(Code::unavailable, "meta.unavailable", "the store is closing");
    if (queue_.size() >= config_.writes_waiting_max)
      return fail(Code::resource_exhausted, "meta.busy",
                  std::to_string(queue_.size()) + " writes are waiting already; try again in a moment");
    queue_.push_back(&waiting);
    start = !std::exchange(draining_, true);
  }
  if (start) {
    if (auto posted = executor_.post([this] { drain(); }); !posted) abandon(posted.error());
  }
  done.wait();
  return std::move(waiting.result);
}

std::vector<Waiting*> SqliteStore::take_group(std::size_t max) {
  const std::lock_guard lock(queue_mutex_);
  const auto count = std::min(max, queue_.size());
  std::vector<Waiting*> group(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(count));
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(count));
  return group;
}

// The executor takes no work: nobody would come for those who wait.
void SqliteStore::abandon(const Error& error) {
  const std::lock_guard lock(queue_mutex_);
  for (auto* waiting : std::exchange(queue_, {})) {
    waiting->result = fail(error);
    waiting->done.set_value();
  }
  draining_ = false;
  queue_idle_.notify_all();
}

void SqliteStore::drain() {
  writer_thread_ = std::this_thread::get_id();
  for (;;) {
    auto group = take_group(config_.group_max);
    if (!group.empty()) {
      run_group(std::move(group));
      continue;
    }
    const std::lock_guard lock(queue_mutex_);
    if (!queue_.empty()) continue;
    writer_thread_ = std::thread::id();
    draining_ = false;
    queue_idle_.notify_all();  // under the lock: the destructor may run as soon as it is free
    return;
  }
}

Result<void> SqliteStore::run_one(Waiting& waiting, bool& emitted) {
  TRY_VOID(writer_->control("SAVEPOINT one"));
  WriteTx tx(*writer_, env_.clock);
  auto result = waiting.fn(tx);
  if (result && tx.spoiled()) result = fail(*tx.spoiled());
  if (!writer_->in_transaction()) {  // SQLite gave up the whole group, as it does when the disk is full
    if (result) result = fail(Code::aborted, "meta.rolled_back", "the transaction was undone by the database");
    waiting.result = std::move(result);
    return fail(waiting.result.error());
  }
  if (result) {
    TRY_VOID(writer_->control("RELEASE one"));
    emitted |= tx.emitted();
  } else {
    TRY_VOID(writer_->control("ROLLBACK TO one"));
    TRY_VOID(writer_->control("RELEASE one"));
  }
  waiting.result = std::move(result);
  return {};
}

Result<void> SqliteStore::commit() {
  TRY_VOID(env_.faults.reach("meta.commit.before"));
  TRY_VOID(writer_->control("COMMIT"));
  return env_.faults.reach("meta.commit.after");
}

// What a failed sync left behind may be gone although it can still be read, and no later sync tells. Writing on top of
// it could lose what is acknowledged from here on; opening the store anew writes all of it again (settle).
void SqliteStore::stop_if_sync_failed(const Error& error) {
  if (error.reason != "meta.sync_failed" || stopped()) return;
  {
    const std::lock_guard lock(queue_mutex_);
    stopped_ = error;
  }
  env_.log.error("meta_writer_stopped", {{"reason", error.reason}, {"message", error.message}});
}

// Moves the log into the file when it has grown long. What was committed is safe either way.
void SqliteStore::checkpoint() {
  if (writer_->log_pages() < config_.checkpoint_pages) return;
  auto done = writer_->control("PRAGMA wal_checkpoint(PASSIVE)");
  if (done) return;
  env_.log.error("meta_checkpoint_failed", {{"reason", done.error().reason}, {"message", done.error().message}});
  stop_if_sync_failed(done.error());
}

Result<void> SqliteStore::attempt(std::span<Waiting* const> group, bool& emitted) {
  auto all = [&]() -> Result<void> {
    if (auto why = stopped()) return fail(*std::move(why));
    TRY_VOID(writer_->control("BEGIN IMMEDIATE"));
    for (auto* waiting : group) TRY_VOID(run_one(*waiting, emitted));
    return commit();
  }();
  if (!all && writer_->in_transaction()) {
    if (auto undone = writer_->control("ROLLBACK"); !undone)
      env_.log.error("meta_rollback_failed", {{"reason", undone.error().reason}, {"message", undone.error().message}});
  }
  if (!all) stop_if_sync_failed(all.error());
  for (auto* waiting : group) {
    if (!all && waiting->result) waiting->result = fail(all.error());
  }
  return all;
}

// On a full disk, for those that are urgent: the room that was held back becomes theirs, and what they leave of it is
// held back again at once, before others eat it. Whether one of them was written.
bool SqliteStore::again_with_room(std::span<Waiting* const> group, bool& emitted) {
  const auto short_of_room = [](const Waiting* waiting) {
    return waiting->urgent && !waiting->result && waiting->result.error().reason == "meta.disk_full";
  };
  if (std::ranges::none_of(group, short_of_room) || !reserve_.give_up()) return false;
  bool written = false;
  for (auto* waiting : group) {
    if (!short_of_room(waiting)) continue;
    waiting->result = {};
    if (attempt({&waiting, 1}, emitted)) written = true;
  }
  env_.log.warn("meta_reserve_used", {{"written", written}});
  reserve_.take_back();
  return written;
}

void SqliteStore::run_group(std::vector<Waiting*> group) {
  bool emitted = false;
  const auto all = attempt(group, emitted);
  if (!all) emitted = false;
  const bool some = !all && again_with_room(group, emitted);
  if (all || some) checkpoint();
  for (auto* waiting : group) waiting->done.set_value();  // its caller goes on, *waiting may be gone
  if (!all) {
    env_.log.error("meta_commit_failed",
                   {{"writes", group.size()}, {"reason", all.error().reason}, {"message", all.error().message}});
  }
  if ((all || some) && emitted) {
    const std::lock_guard lock(wake_mutex_);
    if (wake_) wake_();
  }
}

// ---- reads ----

Result<std::unique_ptr<SqliteSession>> SqliteStore::take_reader() {
  std::unique_lock lock(readers_mutex_);
  readers_free_.wait(lock, [&] { return !readers_.empty() || readers_open_ < config_.readers_max; });
  if (!readers_.empty()) {
    auto reader = std::move(readers_.back());
    readers_.pop_back();
    return reader;
  }
  ++readers_open_;
  lock.unlock();
  auto opened = SqliteSession::open(session_options(config_, true));
  if (!opened) give_reader(nullptr);
  return opened;
}

void SqliteStore::give_reader(std::unique_ptr<SqliteSession> reader) {
  const std::lock_guard lock(readers_mutex_);
  if (reader)
    readers_.push_back(std::move(reader));
  else
    --readers_open_;
  readers_free_.notify_one();
}

Result<void> SqliteStore::do_read(std::function<Result<void>(Reader&)> fn) {
  TRY(auto session, take_reader());
  auto result = [&]() -> Result<void> {
    TRY_VOID(session->control("BEGIN"));
    SnapshotReader reader(*session);
    return fn(reader);
  }();
  if (session->in_transaction() && !session->control("ROLLBACK")) session = nullptr;  // not fit to be used again
  give_reader(std::move(session));
  return result;
}

Result<void> SqliteStore::verify() {
  TRY(auto session, take_reader());
  auto found = session->pragma("PRAGMA integrity_check(10)");
  give_reader(std::move(session));
  if (!found) return fail(std::move(found).error());
  if (found->size() == 1 && found->at(0).text(0) == "ok") return {};
  std::string text;
  for (const auto& row : *found) text += row.text(0) + "; ";
  return fail(Code::data_loss, "meta.corrupt",
              "the metadata file is damaged: " + text + "millrace doctor says what can be done");
}

// ---- outbox ----

Result<std::vector<OutboxEvent>> SqliteStore::outbox_after(std::int64_t seq, std::size_t max) {
  return read([&](Reader& reader) -> Result<std::vector<OutboxEvent>> {
    TRY(auto rows,
        reader.query(
            "SELECT seq, at, subject, event_key, payload FROM meta_outbox WHERE seq > $1 ORDER BY seq LIMIT $2",
            {seq, static_cast<std::int64_t>(max)}));
    std::vector<OutboxEvent> out;
    out.reserve(rows.size());
    for (const auto& row : rows) out.push_back({row.integer(0), row.time(1), {row.text(2), row.text(3), row.text(4)}});
    return out;
  });
}

Result<void> SqliteStore::outbox_forget(std::int64_t up_to) {
  return write([&](Tx& tx) -> Result<void> {
    TRY_VOID(tx.exec("DELETE FROM meta_outbox WHERE seq <= $1", {up_to}));
    return {};
  });
}

Result<void> SqliteStore::outbox_continue_above(std::int64_t seq) {
  TRY(auto behind, read([&](Reader& reader) {
        return reader.query("SELECT value FROM meta_counters WHERE name = 'outbox' AND value < $1", {seq});
      }));
  if (behind.empty()) return {};
  env_.log.warn("outbox_was_behind", {{"from", behind[0].integer(0)}, {"to", seq}});
  return write([&](Tx& tx) -> Result<void> {
    TRY_VOID(tx.exec("UPDATE meta_counters SET value = $1 WHERE name = 'outbox' AND value < $1", {seq}));
    return {};
  });
}

// ---- opening ----

Result<void> SqliteStore::migrate(std::span<const Migration> migrations) {
  TRY_VOID(
      writer_->control("CREATE TABLE IF NOT EXISTS meta_migrations (module TEXT NOT NULL, number BIGINT NOT NULL, "
                       "digest TEXT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (module, number))"));
  TRY(auto rows, writer_->query("SELECT module, number, digest FROM meta_migrations ORDER BY module, number", {}));
  std::vector<Applied> applied;
  for (const auto& row : rows) applied.push_back({row.text(0), static_cast<int>(row.integer(1)), row.text(2)});
  auto known = own_migrations();
  known.insert(known.end(), migrations.begin(), migrations.end());
  TRY(auto todo, plan_migrations(applied, known));
  if (!applied.empty() && !todo.empty()) TRY_VOID(keep_as_it_was(known));
  for (const auto& migration : todo) {
    auto done = write([&](Tx& tx) -> Result<void> {
      for (const auto& statement : split_statements(migration.sql)) TRY_VOID(tx.exec(statement));
      TRY_VOID(tx.exec(
          "INSERT INTO meta_migrations (module, number, digest, at) VALUES ($1, $2, $3, $4)",
          {migration.module, std::int64_t{migration.number}, migration_digest(migration), value(env_.clock.now())}));
      return env_.faults.reach("meta.migrate.before_commit");
    });
    if (!done)
      return fail(while_doing("migration " + migration.module + " " + std::to_string(migration.number),
                              std::move(done).error()));
    TRY_VOID(env_.faults.reach("meta.migrate.after_commit"));
  }
  return {};
}

// The way back from an upgrade: the records as they were before it. An upgrade that is begun again after a crash finds
// its copy, which is that of before its first step, under the name that says where it goes to.
Result<void> SqliteStore::keep_as_it_was(std::span<const Migration> known) {
  std::string steps;
  for (const auto& migration : known) steps += migration_digest(migration);
  const auto name = std::format("{}{}.db", copy_before_prefix, sha256(steps).hex().substr(0, 12));
  const auto path = join_path(config_.folder, name), unfinished = path + ".tmp";
  if (exists(env_.fs, path)) return {};
  TRY_VOID(env_.faults.reach("meta.keep.before_copy"));
  auto made = [&]() -> Result<void> {
    if (exists(env_.fs, unfinished)) TRY_VOID(env_.fs.remove(unfinished));
    TRY_VOID(copy_sqlite(env_.fs, config_.folder, unfinished, config_.vfs));
    TRY(auto file, env_.fs.open_write(unfinished, WriteMode::append));
    TRY_VOID(file->sync());
    TRY_VOID(env_.faults.reach("meta.keep.before_rename"));
    TRY_VOID(env_.fs.rename(unfinished, path));
    return env_.fs.sync_dir(config_.folder);
  }();
  if (!made)
    return fail(
        while_doing("copying the records to " + path + ", the way back from this upgrade", std::move(made).error()));
  TRY_VOID(env_.faults.reach("meta.keep.after_rename"));
  TRY(auto files, env_.fs.list(config_.folder));
  for (const auto& file : files) {
    if (file.name.starts_with(copy_before_prefix) && file.name != name)
      TRY_VOID(env_.fs.remove(join_path(config_.folder, file.name)));
  }
  env_.log.info("records_kept_before_upgrade", {{"file", path}});
  return {};
}

// What the last process left in the log was perhaps never synced, or its sync failed: it is written again and synced
// before anybody sees it. The names too: SQLite ignores a folder that can't be synced.
Result<void> SqliteStore::settle() {
  TRY_VOID(env_.faults.reach("meta.settle.before_checkpoint"));
  if (auto moved = writer_->control("PRAGMA wal_checkpoint(TRUNCATE)"); !moved) {
    if (moved.error().reason != "meta.disk_full") return moved;
    env_.log.warn("meta_checkpoint_failed", {{"reason", moved.error().reason}, {"message", moved.error().message}});
  }
  TRY_VOID(env_.faults.reach("meta.settle.after_checkpoint"));
  return env_.fs.sync_dir(config_.folder);
}

// A sync that failed leaves frames of the log in memory that the disk does not have, and no later sync of that file
// tells or writes them: SQLite of the next process would take them for durable and move them into the database, and a
// power cut on the way would leave half of a transaction. So before it looks, the log is written anew as another file.
Result<void> renew_log(Env& env, const std::string& folder) {
  constexpr std::uint64_t bytes_max = 1u << 30;
  const auto path = join_path(folder, "meta.db-wal");
  const auto info = env.fs.info(path);
  if (!info || info->size == 0) return {};
  // Who copies the records beside has the old file open: that one may not go under its hands.
  auto alone = env.fs.lock(join_path(folder, copy_lock), "writing the log anew");
  auto renewed = [&]() -> Result<void> {
    if (!alone) return fail(alone.error());
    TRY(const auto bytes, read_file(env.fs, path, bytes_max));
    return write_file(env.fs, path, bytes);
  }();
  if (renewed) return {};
  const auto& error = renewed.error();
  const bool goes_on = !alone || error.code == Code::resource_exhausted;  // copied, disk full, or far too long
  if (!goes_on) return renewed;
  env.log.warn("meta_log_not_renewed", {{"reason", error.reason}, {"message", error.message}});
  return {};
}

}  // namespace

// SQLite makes a database where there is none. In a folder that was used before, that would be one that knows nothing,
// and a garbage collection would take all the rest for garbage.
Result<void> check_database_is_there(Fs& fs, const std::string& folder) {
  const auto info = fs.info(join_path(folder, "meta.db"));
  if (!info && info.error().code != Code::not_found) return fail(info.error());
  if (info && info->size > 0) return {};
  TRY(const auto files, fs.list(folder));
  // Whoever uses a database makes folders beside it, afterwards; without one this is the rest of a first start.
  if (std::ranges::none_of(files, &FileInfo::is_dir)) return {};
  return fail(Code::data_loss, "meta.no_database",
              std::format("the data folder {} was used before, but its records are gone: meta.db is {}. Nothing was "
                          "touched; millrace doctor --data-dir {} says what can be done",
                          folder, info ? "empty" : "missing", shell_word(folder)));
}

Result<std::unique_ptr<Store>> open_sqlite(Env env, const SqliteConfig& config, Executor& writer,
                                           std::span<const Migration> migrations) {
  TRY(auto folder, DataFolder::open(env, config.folder, config.program));
  if (!folder->fresh()) TRY_VOID(check_database_is_there(env.fs, config.folder));
  if (config.reserve_bytes > 0) give_up_for_a_start(env.fs, config.folder);
  TRY_VOID(renew_log(env, config.folder));
  TRY(auto session, SqliteSession::open(session_options(config, false)));
  auto store = std::make_unique<SqliteStore>(env, config, writer, std::move(folder), std::move(session));
  TRY_VOID(store->migrate(migrations));
  TRY_VOID(store->settle());
  return store;
}

}  // namespace millrace::meta
