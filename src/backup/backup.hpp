// Copies of a data folder, and the way back. A backup folder holds any number of them, and each content once:
//   format             JSON {"format":1}: what kind of folder this is
//   lock               locked while a process works in it
//   blobs/             a blob store (docs/formats/blob.md): the blobs of all backups, and their files by digest
//   keys               the keys of sealed blobs, wrapped as in the data folder: one file for all backups, never one
//   each.
//                      A backup adds what is new; a key that was destroyed since goes, and never comes back
//   backups/ID.json    one backup (Manifest); it appears when everything that it names is there
//
// A backup is one point in time: the records as they are in one SQLite snapshot, every blob that they name, every
// line of the prediction log that was acknowledged before the copying began. It is taken from beside: the server that
// has the folder goes on, and never waits. Sealed blobs are copied as they are stored; no master key is needed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/env.hpp"
#include "base/result.hpp"

namespace millrace::backup {

inline constexpr int backup_format = 1;
// Ends what is kept of a file, so that it is never the same blob as one of the data folder's, which may be sealed.
inline constexpr std::string_view file_mark = "\nmillrace: file\n";

// A file of the data folder, kept as a blob of its first `kept` bytes and file_mark; in the file after them there are
// only zeros.
struct File {
  std::string path;  // relative to the data folder
  std::string digest;
  std::int64_t bytes = 0;
  std::int64_t kept = 0;
};
struct Manifest {
  int format = backup_format;
  std::string id;       // the moment it was begun, "20261122T091500Z", with "-2" and so on where that is taken
  std::string made;     // the same moment, in full
  std::string program;  // that made it
  std::string from;     // the data folder
  std::vector<File> files;
  std::string blobs;            // blob with one line per blob of the folder: digest, blank, bytes
  std::int64_t blob_count = 0;  // how many lines
  std::int64_t blob_bytes = 0;  // their sum
};

struct Told {  // how far it is
  std::string what;
  std::int64_t done = 0, all = 0;  // bytes
};
// Called now and then; false: stop (cancelled `backup.interrupted`, and nothing of it is visible).
using Progress = std::function<bool(const Told&)>;

struct BackupConfig {
  std::string data_dir;
  std::string folder;   // the backup folder; made when there is none
  std::string program;  // "millrace 0.1.0"
  int keep = 0;         // so many newest backups stay, with what they need; 0: all
};
struct BackupReport {
  Manifest manifest;
  std::int64_t new_bytes = 0;  // that were not in the folder yet
  std::int64_t new_blobs = 0;
  std::vector<std::string> removed;  // ids of older backups that went, by `keep`
};

// Errors besides those of the file system, meta and blob:
//   not_found            backup.no_folder     data_dir is no data folder
//   failed_precondition  backup.newer_format  one of the two folders is of a newer program
//   failed_precondition  backup.no_backups    `folder` holds other things
//   failed_precondition  backup.locked        another backup into it is under way
//   failed_precondition  blob.gc_running      a garbage collection runs: try again when it is over
//   data_loss            backup.damaged       blobs of the data folder are damaged: each is named; nothing was made
Result<BackupReport> make(const BackupConfig& config, Env& env, const Progress& progress = {});

// Newest first. not_found `backup.no_backups` when `folder` is no backup folder.
Result<std::vector<Manifest>> list(const std::string& folder, Env& env);

// Reads all that a backup names: data_loss `backup.damaged` names what is missing or differs.
Result<void> verify(const Manifest& manifest, const std::string& folder, Env& env, const Progress& progress = {});

struct RestoreConfig {
  std::string folder;
  std::string id;        // "" the newest
  std::string data_dir;  // must not exist, or be empty
  std::string keys;      // a keys file that may be newer than the folder's own; "" none
};
// Verifies first, then writes beside `data_dir` and renames: there is all of it or nothing. `settle` is given the new
// folder before that, to make what was true of the old one's processes false. Its keys are those of the backup folder
// and of `keys` together, without any that one of the two knows to be destroyed.
//   not_found            backup.no_backup     no such id; the message lists those that are there
//   failed_precondition  backup.not_empty     data_dir holds something
//   failed_precondition  backup.no_keys       it has sealed blobs, and their keys are neither in the folder nor given
Result<Manifest> restore(const RestoreConfig& config, Env& env,
                         const std::function<Result<void>(const std::string& data_dir)>& settle,
                         const Progress& progress = {});

// ---- decided without a disk ----

// An id for `made` that is not among `taken`.
std::string make_id(TimePoint made, const std::vector<std::string>& taken);
// The ids that go when only the newest `keep` stay; `ids` in any order.
std::vector<std::string> outdated(std::vector<std::string> ids, int keep);

}  // namespace millrace::backup
