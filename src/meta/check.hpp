// What is wrong with the files of a folder's records. Changes none of them; for whoever checks a folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fs.hpp"
#include "base/result.hpp"

namespace millrace::meta {

struct RecordsDamage {
  std::string file;  // "meta.db", "meta.db-wal"
  std::string problem;
  std::int64_t commits_lost = 0;  // of the write-ahead log: so many that are written there can't be read any more
};

// Nothing: they are whole. `alone`: no process has the folder (who has it minds the write-ahead log, which changes
// meanwhile). Errors are those of looking: failed_precondition `fs.locked` while a copy is made.
Result<std::vector<RecordsDamage>> check_sqlite(Fs& fs, const std::string& folder, bool alone);

// The records of `folder` as the new database file `to`, when every table can be read: indexes are made again.
// data_loss when not, or when the result is not whole; `to` may be there all the same. Not synced.
Result<void> salvage_sqlite(Fs& fs, const std::string& folder, const std::string& to);

}  // namespace millrace::meta
