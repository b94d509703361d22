#include <mutex>
#include <set>

#include "table/duckdb_internal.hpp"
#include "table/table.hpp"

namespace millrace::table {

std::string sql_text(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += '\'';
    out += c;
  }
  return out + "'";
}

std::string sql_name(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

namespace {

Error duck_error(duckdb_error_type type, const char* text, std::string_view doing) {
  std::string message = std::string(doing) + ": " + (text ? text : "DuckDB gave no reason");
  switch (type) {
    case DUCKDB_ERROR_OUT_OF_MEMORY:
      return {Code::resource_exhausted, "table.memory",
              message + "; give the job more memory, or a folder to spill to with more room"};
    case DUCKDB_ERROR_INTERRUPT:
      return {Code::cancelled, "table.cancelled", std::move(message)};
    case DUCKDB_ERROR_IO:
    case DUCKDB_ERROR_DATA_CORRUPTION:
      return {Code::unavailable, "table.io", std::move(message)};
    case DUCKDB_ERROR_INTERNAL:
    case DUCKDB_ERROR_FATAL:
      return {Code::internal, "table.duckdb", std::move(message)};
    default:
      return {Code::invalid_argument, "table.bad_sql", std::move(message)};
  }
}

class OwnedResult {
 public:
  OwnedResult() = default;
  ~OwnedResult() { duckdb_destroy_result(&result_); }
  OwnedResult(OwnedResult&& other) noexcept : result_(std::exchange(other.result_, {})) {}
  OwnedResult& operator=(OwnedResult&&) = delete;
  duckdb_result* get() { return &result_; }
  Error error(std::string_view doing) {
    return duck_error(duckdb_result_error_type(&result_), duckdb_result_error(&result_), doing);
  }

 private:
  duckdb_result result_{};
};

// The database and who is using it; lives until the engine and its last reader are gone.
struct Shared {
  OwnedDatabase database;
  std::mutex mutex;
  std::set<duckdb_connection> active;
};

// A connection of its own for one query, known to interrupt() while it lives.
class Session {
 public:
  static Result<std::unique_ptr<Session>> open(std::shared_ptr<Shared> shared) {
    auto out = std::make_unique<Session>();
    if (duckdb_connect(shared->database.get(), out->connection_.out()) != DuckDBSuccess) {
      return fail(Code::internal, "table.duckdb", "DuckDB refuses a connection");
    }
    const std::scoped_lock lock(shared->mutex);
    shared->active.insert(out->connection_.get());
    out->shared_ = std::move(shared);
    return out;
  }
  Session() = default;
  ~Session() {
    if (!shared_) return;
    const std::scoped_lock lock(shared_->mutex);
    shared_->active.erase(connection_.get());
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  duckdb_connection get() const { return connection_.get(); }

  Result<void> run(const std::string& sql) {
    OwnedResult result;
    if (duckdb_query(get(), sql.c_str(), result.get()) != DuckDBSuccess) return fail(result.error("SQL"));
    return {};
  }

 private:
  std::shared_ptr<Shared> shared_;
  OwnedConnection connection_;
};

// Where DuckDB gives a text only, its beginning says the kind.
Error duck_error(const char* text) {
  const std::string_view view = text ? text : "";
  const auto type = view.starts_with("Out of Memory") ? DUCKDB_ERROR_OUT_OF_MEMORY
                    : view.starts_with("INTERRUPT")   ? DUCKDB_ERROR_INTERRUPT
                    : view.starts_with("IO Error")    ? DUCKDB_ERROR_IO
                                                      : DUCKDB_ERROR_INVALID;
  return duck_error(type, text, "SQL");
}

Result<OwnedStatement> prepare(Session& session, const std::string& sql) {
  OwnedStatement out;
  if (duckdb_prepare(session.get(), sql.c_str(), out.out()) != DuckDBSuccess) {
    return fail(duck_error(duckdb_prepare_error(out.get())));
  }
  return out;
}

// A select whose result has columns of types that only DuckDB knows, rewritten so that those come as text.
// Empty when nothing needs it.
std::string with_casts(duckdb_prepared_statement statement, std::string_view sql) {
  if (duckdb_prepared_statement_type(statement) != DUCKDB_STATEMENT_TYPE_SELECT) return {};
  const idx_t columns = duckdb_prepared_statement_column_count(statement);
  std::string list, names;
  bool needed = false;
  for (idx_t i = 0; i < columns; i++) {
    const duckdb_type id = duckdb_prepared_statement_column_type(statement, i);
    const bool cast = !reads_directly(id) && id != DUCKDB_TYPE_INVALID;
    needed = needed || cast;
    const std::string name = "c" + std::to_string(i);
    list += (i ? ", " : "") + (cast ? "CAST(" + name + " AS VARCHAR)" : name);
    names += (i ? ", " : "") + name;
  }
  if (!needed) return {};
  while (!sql.empty() && (sql.back() == ';' || std::isspace(static_cast<unsigned char>(sql.back()))))
    sql.remove_suffix(1);
  // The line end closes a comment that the text may end with.
  return "SELECT " + list + " FROM (" + std::string(sql) + "\n) AS rows_(" + names + ")";
}

Result<void> bind(duckdb_prepared_statement statement, const Row& params) {
  if (duckdb_nparams(statement) != params.size()) {
    return fail(Code::invalid_argument, "table.bad_sql",
                "the SQL has " + std::to_string(duckdb_nparams(statement)) + " parameters, " +
                    std::to_string(params.size()) + " values were given");
  }
  for (std::size_t i = 0; i < params.size(); i++) {
    struct Visitor {
      duckdb_prepared_statement s;
      idx_t at;
      duckdb_state operator()(std::monostate) const { return duckdb_bind_null(s, at); }
      duckdb_state operator()(bool v) const { return duckdb_bind_boolean(s, at, v); }
      duckdb_state operator()(std::int64_t v) const { return duckdb_bind_int64(s, at, v); }
      duckdb_state operator()(double v) const { return duckdb_bind_double(s, at, v); }
      duckdb_state operator()(const std::string& v) const {
        return duckdb_bind_varchar_length(s, at, v.data(), v.size());
      }
      duckdb_state operator()(Date v) const { return duckdb_bind_date(s, at, {v.days}); }
      duckdb_state operator()(Timestamp v) const { return duckdb_bind_timestamp(s, at, {v.us}); }
    };
    if (std::visit(Visitor{statement, i + 1}, params[i]) != DuckDBSuccess) {
      return fail(Code::invalid_argument, "table.bad_sql", "parameter ?" + std::to_string(i + 1) + " was refused");
    }
  }
  return {};
}

class QueryReader final : public BatchReader {
 public:
  QueryReader(std::unique_ptr<Session> session, OwnedStatement statement, OwnedResult result,
              const std::vector<std::string>& names)
      : session_(std::move(session)), statement_(std::move(statement)), result_(std::move(result)) {
    for (idx_t i = 0; i < names.size(); i++) {
      OwnedType type;
      *type.out() = duckdb_column_logical_type(result_.get(), i);
      columns_.push_back(DuckColumn::of(type.get()));
      schema_.fields.push_back({names[i], columns_.back().type});
    }
    arrow_schema_ = arrow_schema(schema_);
  }
  const Schema& schema() const override { return schema_; }

  Result<std::optional<Batch>> next() override {
    auto builders = column_builders(schema_);
    const std::int64_t rows_max = rows_per_batch(schema_.fields.size());
    std::int64_t rows = 0;
    std::size_t text_bytes = 0;
    while (!done_ && rows < rows_max && text_bytes < batch_text_bytes) {
      OwnedChunk chunk;
      *chunk.out() = duckdb_fetch_chunk(*result_.get());
      if (!chunk.get()) {
        done_ = true;
        const char* text = duckdb_result_error(result_.get());
        if (text && *text) return fail(result_.error("SQL"));
        break;
      }
      const idx_t size = duckdb_data_chunk_get_size(chunk.get());
      for (idx_t c = 0; c < columns_.size(); c++) {
        duckdb_vector vector = duckdb_data_chunk_get_vector(chunk.get(), c);
        ARROW_OK("SQL result", Code::internal, "table.arrow", append_vector(columns_[c], vector, size, builders[c]));
        if (columns_[c].id == DUCKDB_TYPE_VARCHAR) text_bytes += text_size(vector, size);
      }
      rows += static_cast<std::int64_t>(size);
    }
    if (rows == 0) return std::optional<Batch>();
    TRY(auto batch, finish_batch(arrow_schema_, builders, rows));
    return std::optional(std::move(batch));
  }

 private:
  static std::size_t text_size(duckdb_vector vector, idx_t rows) {
    auto* data = static_cast<duckdb_string_t*>(duckdb_vector_get_data(vector));
    std::uint64_t* validity = duckdb_vector_get_validity(vector);
    std::size_t out = 0;
    for (idx_t i = 0; i < rows; i++) {
      if (!validity || duckdb_validity_row_is_valid(validity, i)) out += duckdb_string_t_length(data[i]);
    }
    return out;
  }

  std::unique_ptr<Session> session_;  // destroyed last
  OwnedStatement statement_;
  OwnedResult result_;
  std::vector<DuckColumn> columns_;
  Schema schema_;
  std::shared_ptr<arrow::Schema> arrow_schema_;
  bool done_ = false;
};

class DuckEngine final : public Engine {
 public:
  DuckEngine(std::shared_ptr<Shared> shared, OpenFile open_file)
      : shared_(std::move(shared)), open_file_(std::move(open_file)) {}

  Result<std::unique_ptr<BatchReader>> query(const std::string& sql, const Row& params) override {
    TRY(auto session, Session::open(shared_));
    TRY(auto statement, prepare(*session, sql));
    std::vector<std::string> names;
    for (idx_t i = 0; i < duckdb_prepared_statement_column_count(statement.get()); i++) {
      const char* name = duckdb_prepared_statement_column_name(statement.get(), i);
      names.emplace_back(name ? name : "");
      duckdb_free(const_cast<char*>(name));
    }
    if (const std::string casted = with_casts(statement.get(), sql); !casted.empty()) {
      TRY(statement, prepare(*session, casted));
    }
    TRY_VOID(bind(statement.get(), params));
    // Rows come while the query runs; of the ways to get them, this one is streamed and bounded.
    OwnedPending pending;
    if (duckdb_pending_prepared_streaming(statement.get(), pending.out()) != DuckDBSuccess) {
      return fail(duck_error(duckdb_pending_error(pending.get())));
    }
    OwnedResult result;
    if (duckdb_execute_pending(pending.get(), result.get()) != DuckDBSuccess) return fail(result.error("SQL"));
    pending.reset();
    names.resize(duckdb_column_count(result.get()));
    return std::make_unique<QueryReader>(std::move(session), std::move(statement), std::move(result), names);
  }

  Result<void> add_table(const std::string& name, BatchReader& rows) override {
    TRY(auto session, Session::open(shared_));
    TRY_VOID(session->run("BEGIN TRANSACTION"));
    auto added = append_rows(*session, name, rows);
    TRY_VOID(session->run(added ? "COMMIT" : "ROLLBACK"));
    return added;
  }

  void interrupt() override {
    const std::scoped_lock lock(shared_->mutex);
    for (duckdb_connection connection : shared_->active) duckdb_interrupt(connection);
  }

  Result<std::unique_ptr<BatchReader>> read_file(const std::string& path, const CsvOptions& options) override {
    if (path.starts_with("blob:") && open_file_) {
      TRY(auto file, open_file_(path.substr(5)));
      return open_file(std::move(file), options);
    }
    RealFs fs;
    TRY(std::shared_ptr<const ReadableFile> file, fs.open_read(path));
    return open_file(std::move(file), options);
  }

 private:
  Result<void> append_rows(Session& session, const std::string& name, BatchReader& rows) {
    std::string columns;
    std::vector<OwnedType> types;
    std::vector<duckdb_logical_type> handles;
    for (const Field& field : rows.schema().fields) {
      columns += (columns.empty() ? "" : ", ") + sql_name(field.name) + " " + std::string(duck_type_name(field.type));
      types.push_back(duck_type(field.type));
      handles.push_back(types.back().get());
    }
    TRY_VOID(session.run("CREATE OR REPLACE TABLE " + sql_name(name) + " (" + columns + ")"));
    Owned<duckdb_appender, duckdb_appender_destroy> appender;
    if (duckdb_appender_create(session.get(), nullptr, name.c_str(), appender.out()) != DuckDBSuccess) {
      return fail(appender_error(appender.get()));
    }
    OwnedChunk chunk;
    *chunk.out() = duckdb_create_data_chunk(handles.data(), handles.size());
    while (true) {
      TRY(const auto batch, rows.next());
      if (!batch) break;
      for (std::int64_t at = 0; at < batch->rows();) {
        const idx_t size = std::min<idx_t>(duckdb_vector_size(), static_cast<idx_t>(batch->rows() - at));
        duckdb_data_chunk_reset(chunk.get());
        for (idx_t c = 0; c < handles.size(); c++) {
          fill_vector(batch->column(static_cast<int>(c)), at, size, duckdb_data_chunk_get_vector(chunk.get(), c));
        }
        duckdb_data_chunk_set_size(chunk.get(), size);
        if (duckdb_append_data_chunk(appender.get(), chunk.get()) != DuckDBSuccess) {
          return fail(appender_error(appender.get()));
        }
        at += static_cast<std::int64_t>(size);
      }
    }
    if (duckdb_appender_close(appender.get()) != DuckDBSuccess) return fail(appender_error(appender.get()));
    return {};
  }

  static Error appender_error(duckdb_appender appender) {
    duckdb_error_data data = duckdb_appender_error_data(appender);
    const Error out = duck_error(duckdb_error_data_error_type(data), duckdb_error_data_message(data), "adding rows");
    duckdb_destroy_error_data(&data);
    return out;
  }

  std::shared_ptr<Shared> shared_;
  OpenFile open_file_;
};

}  // namespace

Result<std::unique_ptr<Engine>> Engine::open(const Config& config, OpenFile open_file) {
  auto shared = std::make_shared<Shared>();
  OwnedConfig settings;
  if (duckdb_create_config(settings.out()) != DuckDBSuccess)
    return fail(Code::internal, "table.duckdb", "no DuckDB config");
  const std::pair<const char*, std::string> pairs[] = {
      {"memory_limit", std::to_string(config.memory_bytes) + "B"},
      {"threads", std::to_string(config.threads)},
      {"temp_directory", config.temp_dir},
      // Nothing is fetched from the network, and one memory budget is enough.
      {"autoinstall_known_extensions", "false"},
      {"autoload_known_extensions", "false"},
      {"enable_external_file_cache", "false"},
  };
  for (const auto& [name, value] : pairs) {
    if (duckdb_set_config(settings.get(), name, value.c_str()) != DuckDBSuccess) {
      return fail(Code::invalid_argument, "table.bad_config",
                  std::string("DuckDB refuses ") + name + " = '" + value + "'");
    }
  }
  char* text = nullptr;
  if (duckdb_open_ext(nullptr, shared->database.out(), settings.get(), &text) != DuckDBSuccess) {
    const Error error = duck_error(DUCKDB_ERROR_INTERNAL, text, "opening DuckDB");
    duckdb_free(text);
    return fail(error);
  }
  if (open_file) TRY_VOID(register_blobs(shared->database.get(), open_file));
  if (!config.local_files) {
    TRY(auto session, Session::open(shared));
    TRY_VOID(session->run("SET GLOBAL allowed_directories = ['blob:']"));
    TRY_VOID(session->run("SET GLOBAL enable_external_access = false"));
    TRY_VOID(session->run("SET GLOBAL lock_configuration = true"));
  }
  return std::make_unique<DuckEngine>(std::move(shared), std::move(open_file));
}

}  // namespace millrace::table
