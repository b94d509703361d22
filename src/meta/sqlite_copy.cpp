#include "base/fs.hpp"
#include "meta/sqlite.hpp"
#include "meta/sqlite_session_internal.hpp"

namespace millrace::meta {

Result<void> copy_sqlite(Fs& fs, const std::string& folder, const std::string& to, const std::string& vfs) {
  if (to.find('\'') != std::string::npos)
    return fail(Code::invalid_argument, "meta.bad_path", "a copy's path can't hold quotes: " + to);
  TRY(const auto lock, fs.lock(join_path(folder, copy_lock), "copying the records"));
  TRY(auto session, SqliteSession::open({.path = join_path(folder, "meta.db"),
                                         .read_only = true,
                                         .busy_timeout = std::chrono::seconds(30),
                                         .vfs = vfs}));
  // VACUUM writes, though not here: query_only would refuse it.
  TRY_VOID(session->control("PRAGMA query_only = OFF"));
  return session->control(("VACUUM INTO '" + to + "'").c_str());
}

}  // namespace millrace::meta
