// Transactional records, with the event outbox. The only truth of the product lives behind this interface.
//
// SQL: one text for SQLite and PostgreSQL, so only what both understand. Placeholders are PostgreSQL's: $1, $2, ...
// (params[0] is $1; one may be used several times). Column types are TEXT, BIGINT and DOUBLE PRECISION; a moment is a
// BIGINT of microseconds since 1970 UTC, a truth value a BIGINT 0 or 1, JSON a TEXT. ON CONFLICT and RETURNING are
// fine; AUTOINCREMENT, INSERT OR, PRAGMA, rowid, ? and other things of SQLite alone are refused (`meta.not_portable`).
// Names of tables begin with their module: flow_jobs, registry_versions.
//
// Errors of every call that touches the store:
//   invalid_argument     meta.bad_sql, meta.not_portable, meta.bad_params   a defect of the caller
//   already_exists       meta.unique           a row with that key is there
//   failed_precondition  meta.constraint       a CHECK, NOT NULL or foreign key says no
//   resource_exhausted   meta.busy             too many writes wait; try again later
//   resource_exhausted   meta.disk_full        nothing was changed
//   permission_denied    meta.denied           the files can't be written or read
//   data_loss            meta.corrupt          the file is damaged; restore a backup
//   unavailable          meta.unavailable, meta.io
//   unavailable          meta.sync_failed      the disk failed to sync: that write's end is unknown, later ones are
//                                              refused until the store is opened anew; reads go on
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace millrace::meta {

// monostate is null.
using Value = std::variant<std::monostate, std::int64_t, double, std::string>;
using Params = std::vector<Value>;

inline Value value(TimePoint time) { return static_cast<std::int64_t>(time.time_since_epoch().count()); }
inline Value value(const std::optional<std::string>& text) { return text ? Value(*text) : Value(); }
inline Value value(const std::optional<std::int64_t>& number) { return number ? Value(*number) : Value(); }
inline Value value(const std::optional<double>& number) { return number ? Value(*number) : Value(); }
inline Value value(const std::optional<TimePoint>& time) { return time ? value(*time) : Value(); }

// One row of an answer, by position from 0. Asking for a type that the column does not hold, or for a null where none
// is allowed, is a defect of the caller and aborts.
class Row {
 public:
  explicit Row(std::vector<Value> values) : values_(std::move(values)) {}
  std::size_t size() const { return values_.size(); }
  const Value& at(std::size_t i) const;
  bool is_null(std::size_t i) const { return at(i).index() == 0; }
  std::int64_t integer(std::size_t i) const;
  double real(std::size_t i) const;  // an integer is taken too
  const std::string& text(std::size_t i) const;
  bool truth(std::size_t i) const { return integer(i) != 0; }
  TimePoint time(std::size_t i) const { return TimePoint(Duration(integer(i))); }
  // Null is nullopt.
  std::optional<std::int64_t> maybe_integer(std::size_t i) const;
  std::optional<double> maybe_real(std::size_t i) const;
  std::optional<std::string> maybe_text(std::size_t i) const;
  std::optional<TimePoint> maybe_time(std::size_t i) const;

 private:
  std::vector<Value> values_;
};
using Rows = std::vector<Row>;

// One consistent snapshot. Belongs to the thread and to the call that it was handed to.
class Reader {
 public:
  virtual ~Reader() = default;
  virtual Result<Rows> query(std::string_view sql, Params params = {}) = 0;
  // The first row, or nullopt when there is none.
  Result<std::optional<Row>> query_one(std::string_view sql, Params params = {});
};

// `subject` is a dotted name ("job.done": letters, digits, '_', '-'), `key` what it is about (an id), `payload` JSON of
// at most 256 KiB: it says what happened, large things stay where they are.
struct Event {
  std::string subject;
  std::string key;
  std::string payload;
};

struct OutboxEvent {
  std::int64_t seq = 0;  // from 1, without gaps, in the order of commit (but see outbox_continue_above)
  TimePoint time{};
  Event event;
};

// One write transaction. query() sees its own changes. After any failed call the transaction is spoiled: every later
// call returns the same error and nothing is committed, whatever the function answers (PostgreSQL works this way).
class Tx : public Reader {
 public:
  // The number of rows changed.
  virtual Result<std::int64_t> exec(std::string_view sql, Params params = {}) = 0;
  // Announces the change, in the same transaction. invalid_argument `meta.bad_event`.
  virtual Result<void> emit(Event event) = 0;
};

// The number of the newest event that was ever committed, 0: none.
Result<std::int64_t> newest_event(Reader& reader);

// The tables of one module, step by step. `number` counts from 1 without gaps. A migration that has landed in a release
// is never edited: add another. `sql` may hold several statements, each ended by ';'.
struct Migration {
  std::string module;
  int number = 0;
  std::string sql;
};

namespace detail {
template <class T>
struct Unwrap;
template <class T>
struct Unwrap<Result<T>> {
  using type = T;
};
}  // namespace detail

// Thread-safe.
class Store {
 public:
  virtual ~Store() = default;

  // Runs `fn` in a transaction on the writer and returns once it is durable. `fn` runs at most once: not at all when
  // the queue is full. An error from `fn` undoes its own changes only and is what write() returns. Several waiting
  // writes share one sync; when that commit itself fails, each of them fails. `fn` must not block on other work, and
  // must not call write() (failed_precondition `meta.nested_write`).
  //   auto id = store.write([&](meta::Tx& tx) -> Result<std::int64_t> { ... });
  template <class F>
  std::invoke_result_t<F&, Tx&> write(F&& fn) {
    return run<Tx>([this](auto f) { return do_write(std::move(f)); }, fn);
  }

  // As write(), for the few things that must work while the disk is full because they end its being so, or a harm:
  // going back, collecting garbage, recording that a job failed. Room that is held back for them is given up then, as
  // long as there is some; so `fn` may run twice, and only what it did last counts.
  template <class F>
  std::invoke_result_t<F&, Tx&> write_urgent(F&& fn) {
    return run<Tx>([this](auto f) { return do_write_urgent(std::move(f)); }, fn);
  }
  // Holds back again what urgent writes used up, once the disk has room. Call it about every second.
  virtual void hold_back_room() {}
  // Why nothing is written any more until the store is opened anew (meta.sync_failed); nothing: it is well.
  virtual std::optional<Error> stopped() { return std::nullopt; }

  // Runs `fn` on one snapshot of what is committed. Never waits for a write. At most `readers_max` at once, further
  // ones wait for their turn; do not call read() inside read().
  template <class F>
  std::invoke_result_t<F&, Reader&> read(F&& fn) {
    return run<Reader>([this](auto f) { return do_read(std::move(f)); }, fn);
  }

  // Committed events with a number above `seq`, in order, at most `max`.
  virtual Result<std::vector<OutboxEvent>> outbox_after(std::int64_t seq, std::size_t max) = 0;
  // They are safe elsewhere: forgets the events up to `seq`. Numbers go on where they were.
  virtual Result<void> outbox_forget(std::int64_t up_to) = 0;
  // Later events get numbers above `seq`; no effect when they would anyway. For whoever kept the numbers of a store
  // that was since replaced by an older copy of itself.
  virtual Result<void> outbox_continue_above(std::int64_t seq) = 0;
  // `wake` is called after each commit that holds an event, on the writer: it must be quick and must not call back.
  // An empty function takes it away; after that returns, the old one is not running.
  virtual void on_event(std::function<void()> wake) = 0;

  // Reads everything and compares it with the indexes. data_loss `meta.corrupt` says where. Slow.
  virtual Result<void> verify() = 0;

 protected:
  virtual Result<void> do_write(std::function<Result<void>(Tx&)> fn) = 0;
  virtual Result<void> do_write_urgent(std::function<Result<void>(Tx&)> fn) { return do_write(std::move(fn)); }
  virtual Result<void> do_read(std::function<Result<void>(Reader&)> fn) = 0;

 private:
  template <class Context, class Do, class F>
  static std::invoke_result_t<F&, Context&> run(Do act, F& fn) {
    using Answer = std::invoke_result_t<F&, Context&>;
    using T = typename detail::Unwrap<Answer>::type;
    if constexpr (std::is_void_v<T>) {
      return act(std::function<Result<void>(Context&)>(std::ref(fn)));
    } else {
      std::optional<T> out;
      auto done = act([&](Context& context) -> Result<void> {
        Answer answer = fn(context);
        if (!answer) return fail(std::move(answer).error());
        out.emplace(std::move(*answer));
        return {};
      });
      if (!done) return fail(std::move(done).error());
      return std::move(*out);
    }
  }
};

}  // namespace millrace::meta
