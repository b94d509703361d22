// SOCI opens, prepares, binds and runs. Rows are read from the statement's own handle: SOCI tells a column's type from
// its declaration, so that count(*) and every other expression would come back as text.
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>
#include <sqlite3.h>

#include <charconv>
#include <deque>
#include <map>
#include <set>

#include "meta/sql_internal.hpp"
#include "meta/sqlite_session_internal.hpp"

namespace millrace::meta {

namespace {

constexpr std::size_t statements_kept_max = 256;

// One parameter where SOCI finds it while the statement runs.
struct Slot {
  long long integer = 0;
  double real = 0;
  std::string text;
  soci::indicator indicator = soci::i_ok;
};

struct Statement {
  soci::statement soci;
  std::vector<std::size_t> order;  // the params index of SQLite's i-th placeholder (it numbers them as they appear)
  std::size_t params = 0;

  ::sqlite3_stmt* handle() {
    return reinterpret_cast<::sqlite3_stmt*>(static_cast<soci::sqlite3_statement_backend*>(soci.get_backend())->stmt_);
  }
};

Value read_value(::sqlite3_stmt* handle, int column) {
  switch (sqlite3_column_type(handle, column)) {
    case SQLITE_NULL:
      return {};
    case SQLITE_INTEGER:
      return static_cast<std::int64_t>(sqlite3_column_int64(handle, column));
    case SQLITE_FLOAT:
      return sqlite3_column_double(handle, column);
    default: {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(handle, column));
      return std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(handle, column)));
    }
  }
}

Row read_row(::sqlite3_stmt* handle) {
  std::vector<Value> values;
  const int columns = sqlite3_column_count(handle);
  values.reserve(static_cast<std::size_t>(columns));
  for (int i = 0; i < columns; ++i) values.push_back(read_value(handle, i));
  return Row(std::move(values));
}

}  // namespace

Error sqlite_error(int code, const std::string& message) {
  switch (code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
      return {Code::already_exists, "meta.unique", message};
    case SQLITE_IOERR_FSYNC:
    case SQLITE_IOERR_DIR_FSYNC:
      return {Code::unavailable, "meta.sync_failed",
              "the disk did not take the metadata: " + message + "; look at the disk, then start the program again"};
    default:
      break;
  }
  switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
      return {Code::failed_precondition, "meta.constraint", message};
    case SQLITE_FULL:
      return {Code::resource_exhausted, "meta.disk_full",
              "no room for the metadata: " + message + "; free some space, nothing was changed"};
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
      return {Code::permission_denied, "meta.denied", "the metadata file can't be opened for writing: " + message};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {Code::data_loss, "meta.corrupt",
              "the metadata file is damaged: " + message + "; millrace doctor says what can be done"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {Code::unavailable, "meta.unavailable", "another program holds the metadata file: " + message};
    case SQLITE_IOERR:
      return {Code::unavailable, "meta.io", "the metadata file: " + message};
    case SQLITE_NOMEM:
      return {Code::resource_exhausted, "meta.memory", message};
    case SQLITE_INTERRUPT:
      return {Code::cancelled, "meta.interrupted", message};
    case SQLITE_TOOBIG:
      return {Code::invalid_argument, "meta.too_big", message};
    case SQLITE_RANGE:
    case SQLITE_MISMATCH:
      return {Code::invalid_argument, "meta.bad_params", message};
    default:
      return {Code::invalid_argument, "meta.bad_sql", message};
  }
}

struct SqliteSession::State {
  soci::session session;
  std::map<std::string, Statement, std::less<>> kept;
  std::int64_t log_pages = 0;

  ::sqlite3* handle() {
    return reinterpret_cast<::sqlite3*>(static_cast<soci::sqlite3_session_backend*>(session.get_backend())->conn_);
  }

  // Not error.what(): it would print the values of the parameters.
  Error translate(const soci::soci_error& error, std::string_view doing) {
    const auto message = error.get_error_message() + " (" + std::string(doing) + ")";
    if (const auto* own = dynamic_cast<const soci::sqlite3_soci_error*>(&error))
      return sqlite_error(own->extended_result(), message);
    return {Code::internal, "meta.bad_sql", message};
  }

  Error last_error(std::string_view sql) {
    return sqlite_error(sqlite3_extended_errcode(handle()),
                        std::string(sqlite3_errmsg(handle())) + " (" + std::string(sql) + ")");
  }

  Result<Statement*> prepare(std::string_view sql) {
    if (const auto found = kept.find(sql); found != kept.end()) return &found->second;
    TRY_VOID(check_statement(sql));
    if (kept.size() >= statements_kept_max) kept.clear();  // texts are literals: only a defect gets here
    Statement made{soci::statement(session), {}, 0};
    made.soci.alloc();
    made.soci.prepare(std::string(sql));
    std::set<std::size_t> seen;
    const int placeholders = sqlite3_bind_parameter_count(made.handle());
    for (int i = 1; i <= placeholders; ++i) {
      const std::string_view name = sqlite3_bind_parameter_name(made.handle(), i);
      std::size_t number = 0;
      const auto end = name.data() + name.size();
      if (name.size() < 2 || name[0] != '$' || std::from_chars(name.data() + 1, end, number).ptr != end || number == 0)
        return fail(Code::invalid_argument, "meta.not_portable", "placeholders are $1, $2, ...: " + std::string(sql));
      made.order.push_back(number - 1);
      seen.insert(number);
    }
    made.params = seen.size();
    if (!seen.empty() && *seen.rbegin() != seen.size())
      return fail(Code::invalid_argument, "meta.bad_params", "a placeholder is left out: " + std::string(sql));
    return &kept.emplace(std::string(sql), std::move(made)).first->second;
  }

  // Runs up to the first row. `slots` must live until the statement is reset.
  Result<void> start(Statement& statement, std::string_view sql, const Params& params, std::deque<Slot>& slots) {
    if (params.size() != statement.params)
      return fail(Code::invalid_argument, "meta.bad_params",
                  std::to_string(params.size()) + " values for " + std::to_string(statement.params) +
                      " placeholders: " + std::string(sql));
    for (const auto index : statement.order) {
      auto& slot = slots.emplace_back();
      const Value& value = params[index];
      if (const auto* integer = std::get_if<std::int64_t>(&value)) {
        slot.integer = *integer;
        statement.soci.exchange(soci::use(slot.integer, slot.indicator));
      } else if (const auto* real = std::get_if<double>(&value)) {
        slot.real = *real;
        statement.soci.exchange(soci::use(slot.real, slot.indicator));
      } else {
        if (const auto* text = std::get_if<std::string>(&value))
          slot.text = *text;
        else
          slot.indicator = soci::i_null;
        statement.soci.exchange(soci::use(slot.text, slot.indicator));
      }
    }
    statement.soci.define_and_bind();
    statement.soci.execute(true);
    return {};
  }
};

namespace {

// Gives the statement back whatever happened: an unfinished one would keep its snapshot open.
class Finish {
 public:
  explicit Finish(Statement& statement) : statement_(statement) {}
  ~Finish() {
    sqlite3_reset(statement_.handle());
    statement_.soci.bind_clean_up();
  }
  Finish(const Finish&) = delete;
  Finish& operator=(const Finish&) = delete;

 private:
  Statement& statement_;
};

}  // namespace

SqliteSession::SqliteSession(std::unique_ptr<State> state) : state_(std::move(state)) {}
SqliteSession::~SqliteSession() = default;

Result<std::unique_ptr<SqliteSession>> SqliteSession::open(const Options& options) {
  if (options.path.find('"') != std::string::npos)
    return fail(Code::invalid_argument, "meta.bad_path", "a data folder's path can't hold quotes: " + options.path);
  auto state = std::make_unique<State>();
  try {
    std::string connect = "db=\"" + options.path + "\"";
    if (!options.vfs.empty()) connect += " vfs=" + options.vfs;
    state->session.open(soci::sqlite3, connect);
  } catch (const soci::soci_error& error) {
    auto mapped = state->translate(error, options.path);
    if (mapped.reason == "meta.bad_sql")
      mapped = {Code::permission_denied, "meta.denied", "the metadata file can't be opened: " + mapped.message};
    return fail(std::move(mapped));
  }
  std::unique_ptr<SqliteSession> session(new SqliteSession(std::move(state)));
  sqlite3_busy_timeout(session->state_->handle(), static_cast<int>(options.busy_timeout.count() / 1000));
  sqlite3_extended_result_codes(session->state_->handle(), 1);
  // A plan depends on the statement alone, not on the values bound to it: else a statement that is kept is prepared
  // anew with each value. What wants a partial index names its condition with literals.
  sqlite3_db_config(session->state_->handle(), SQLITE_DBCONFIG_ENABLE_QPSG, 1, nullptr);
  if (options.read_only) {
    TRY_VOID(session->control("PRAGMA query_only = ON"));
    // In KiB. The default is 2 MB for each of up to readers_max connections, which fill over hours; the operating
    // system keeps the file's pages once for all of them.
    TRY_VOID(session->control("PRAGMA cache_size = -512"));
    // Whoever only reads leaves the write-ahead log to who has the folder, also when it is the last to close.
    sqlite3_db_config(session->state_->handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    return session;
  }
  TRY(auto mode, session->pragma("PRAGMA journal_mode = WAL"));
  if (mode.empty() || mode[0].text(0) != "wal")
    return fail(Code::unavailable, "meta.io",
                "SQLite's write-ahead log can't be used in " + options.path + " (a network file system?)");
  TRY_VOID(session->control(options.power_safe ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = OFF"));
  TRY_VOID(session->control("PRAGMA foreign_keys = ON"));
  // SQLite's own checkpoints after a commit would keep their errors to themselves.
  TRY_VOID(session->control("PRAGMA wal_autocheckpoint = 0"));
  sqlite3_wal_hook(
      session->state_->handle(),
      [](void* to, ::sqlite3*, const char*, int pages) {
        static_cast<State*>(to)->log_pages = pages;
        return SQLITE_OK;
      },
      session->state_.get());
  if (options.bytes_max > 0) {
    TRY(auto page, session->pragma("PRAGMA page_size"));
    TRY(auto set,
        session->pragma(
            ("PRAGMA max_page_count = " + std::to_string(options.bytes_max / page[0].integer(0) + 1)).c_str()));
  }
  return session;
}

Result<Rows> SqliteSession::query(std::string_view sql, const Params& params) {
  try {
    TRY(auto* statement, state_->prepare(sql));
    std::deque<Slot> slots;
    const Finish finish(*statement);
    TRY_VOID(state_->start(*statement, sql, params, slots));
    Rows rows;
    if (sqlite3_data_count(statement->handle()) == 0) return rows;
    for (;;) {
      rows.push_back(read_row(statement->handle()));
      const int code = sqlite3_step(statement->handle());
      if (code == SQLITE_DONE) return rows;
      if (code != SQLITE_ROW) return fail(state_->last_error(sql));
    }
  } catch (const soci::soci_error& error) {
    return fail(state_->translate(error, sql));
  }
}

Result<std::int64_t> SqliteSession::exec(std::string_view sql, const Params& params) {
  try {
    TRY(auto* statement, state_->prepare(sql));
    std::deque<Slot> slots;
    const Finish finish(*statement);
    const auto before = sqlite3_total_changes64(state_->handle());
    TRY_VOID(state_->start(*statement, sql, params, slots));
    // sqlite3_changes() keeps the number of an earlier statement when this one touches no rows.
    if (sqlite3_total_changes64(state_->handle()) == before) return 0;
    return sqlite3_changes64(state_->handle());
  } catch (const soci::soci_error& error) {
    return fail(state_->translate(error, sql));
  }
}

Result<void> SqliteSession::control(const char* sql) {
  if (sqlite3_exec(state_->handle(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return fail(state_->last_error(sql));
  return {};
}

Result<Rows> SqliteSession::pragma(const char* sql) {
  ::sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(state_->handle(), sql, -1, &raw, nullptr) != SQLITE_OK) return fail(state_->last_error(sql));
  const std::unique_ptr<::sqlite3_stmt, int (*)(::sqlite3_stmt*)> statement(raw, sqlite3_finalize);
  Rows rows;
  for (int code = 0; (code = sqlite3_step(raw)) != SQLITE_DONE;) {
    if (code != SQLITE_ROW) return fail(state_->last_error(sql));
    rows.push_back(read_row(raw));
  }
  return rows;
}

std::int64_t SqliteSession::log_pages() const { return state_->log_pages; }

bool SqliteSession::in_transaction() const { return sqlite3_get_autocommit(state_->handle()) == 0; }

}  // namespace millrace::meta
