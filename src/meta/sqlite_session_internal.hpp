// One SQLite connection through SOCI: exceptions become Errors here, values keep their types.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "meta/meta.hpp"

namespace millrace::meta {

// Locked in the data folder by who has the database open without having the folder.
inline constexpr std::string_view copy_lock = "meta.copy";

// Pure: SQLite's extended result code as one of our errors.
Error sqlite_error(int code, const std::string& message);

// One thread at a time.
class SqliteSession {
 public:
  struct Options {
    std::string path;
    bool read_only = false;
    bool power_safe = true;
    Duration busy_timeout{};
    std::int64_t bytes_max = 0;
    std::string vfs;
  };
  static Result<std::unique_ptr<SqliteSession>> open(const Options& options);
  ~SqliteSession();

  // Any single statement; the statement is kept prepared for the next time.
  Result<Rows> query(std::string_view sql, const Params& params);
  Result<std::int64_t> exec(std::string_view sql, const Params& params);
  // BEGIN, COMMIT, SAVEPOINT, PRAGMA and the like: not checked for portability.
  Result<void> control(const char* sql);
  Result<Rows> pragma(const char* sql);
  std::int64_t log_pages()
      const;                    // in the write-ahead log after the last commit; a checkpoint is the caller's to order
  bool in_transaction() const;  // SQLite ends one by itself after some errors

 private:
  struct State;
  explicit SqliteSession(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace millrace::meta
