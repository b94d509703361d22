// Store on one SQLite file in WAL mode: `meta.db` in the data folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/env.hpp"
#include "base/result.hpp"
#include "meta/meta.hpp"

namespace millrace {
class Executor;
}

namespace millrace::meta {

struct SqliteConfig {
  std::string folder;                               // the data folder; made when there is none
  std::string program = "millrace";                 // name and version, remembered in the folder
  std::size_t writes_waiting_max = 1024;            // above that a write is refused with meta.busy
  std::size_t group_max = 128;                      // writes that share one sync
  std::size_t readers_max = 8;                      // connections for reading, opened as needed
  Duration busy_timeout = std::chrono::seconds(5);  // for a foreign program that has the file open
  std::int64_t bytes_max = 0;                       // the file's bound (meta.disk_full above it); 0: the disk's
  std::int64_t reserve_bytes = 0;                   // held back for urgent writes (`reserve`), from hold_back_room() on
  // Off: what was acknowledged survives the process, not a power cut. For tests, and for data that nobody keeps.
  bool power_safe = true;
  std::int64_t checkpoint_pages = 1000;  // so many in the write-ahead log, and they move into the file
  std::string vfs;                       // SQLite's own file layer by name; testing/sim_vfs.hpp has one that crashes
};

// Opens or makes the folder (see folder.hpp for its refusals), then the database, and runs what is missing of
// `migrations` (see migrate.hpp for the refusals); meta's own are added. Besides those: the errors of meta.hpp.
// `writer` runs one task at a time of this store: a thread of its own in production, inline in a simulator; it and
// `env` outlive the store. The destructor waits for the writes that were accepted.
Result<std::unique_ptr<Store>> open_sqlite(Env env, const SqliteConfig& config, Executor& writer,
                                           std::span<const Migration> migrations);

// Before migrations change records that are there, open_sqlite() copies them to a file of the folder with this
// beginning, ended by ".db"; only that of the newest upgrade is kept. To go back: the older program, with that file as
// meta.db and neither meta.db-wal nor meta.db-shm beside it.
inline constexpr std::string_view copy_before_prefix = "meta.before-";

// The records of `folder` as they are at one moment, as the new database file `to`; also while a process has the folder
// and writes. One copy at a time (failed_precondition `fs.locked`). unavailable or data_loss as above; `to` is not
// synced. A file `to` that exists is an error. `vfs` as in SqliteConfig.
Result<void> copy_sqlite(Fs& fs, const std::string& folder, const std::string& to, const std::string& vfs = {});

}  // namespace millrace::meta
