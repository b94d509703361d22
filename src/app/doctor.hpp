// doctor: a look at a data folder, beside its server or without one, and what mends what it finds.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "backup/backup.hpp"
#include "base/digest.hpp"
#include "base/env.hpp"
#include "base/result.hpp"
#include "blob/blob.hpp"
#include "blob/keys.hpp"
#include "cli/cli.hpp"

namespace millrace::app {

// What `doctor --mend` does about a finding.
enum class Act {
  none,             // nothing here: `commands` do
  set_aside,        // moves the file to damaged/
  write_format,     // makes `format` again
  copy_records,     // what can be read of the records, written anew
  read_log,         // lets SQLite take what is whole of its log; a copy goes to damaged/
  continue_events,  // numbers go on above those that the queue has
  mend_segment,     // a log segment with all that is whole in it
  fetch_segment,    // a log segment as a backup has it
  forget_segment,   // the lines of a log segment are recorded as lost
  fetch_blob,       // a blob from a backup
  mend_keys,        // the keys of sealed blobs: what is whole, and what a backup has of those that are needed
  give_up,          // a blob is recorded as lost (only when asked for by name)
};

struct Finding {
  std::string file;       // relative to the data folder; "" when it is about several
  std::string what;       // "small:1", "part of data@1", "prediction log"
  std::string needed_by;  // what depends on it
  std::string problem;
  std::string lost;                   // what cannot be brought back; begins with "nothing" where all can
  std::vector<std::string> commands;  // that mend it, in this order
  std::string mend;                   // the commands in one line
};

struct Planned {  // a finding, and what --mend needs to know
  Finding finding;
  Act act = Act::none;
  std::string digest;
  std::uint64_t number = 0;
  std::set<Id> keys;  // that are needed and not here
};

// A backup folder that files may be taken from.
struct Source {
  std::string folder;
  backup::Manifest manifest;  // the newest
  std::unique_ptr<blob::Store> blobs;
  std::unique_ptr<blob::Keys> keys;
  std::string option;  // " --from FOLDER" where doctor has to be told
};

struct Look {
  std::vector<std::string> checked;
  std::vector<std::string> warnings;  // what will be wrong one day; not broken
  std::vector<Planned> findings;
  std::vector<std::string> losses;  // given up earlier: "data@1, 2026-..."
  std::int64_t blobs = 0;
  std::int64_t predictions = 0;
  bool alone = true;  // no server has the folder
};

// Changes nothing but that a damaged blob is moved to the quarantine, as whoever reads it would do.
Result<Look> look_at_folder(const cli::DoctorOptions& options, const Source* source, Env& env);

// What was done, in lines. `look` is one that was just taken; the folder is `alone`.
Result<std::vector<std::string>> mend_folder(const cli::DoctorOptions& options, const Look& look, const Source* source,
                                             Env& env);

// `doctor --chaos`: kills the server of a scratch copy at fault points taken at random, for options.chaos (a length of
// time), and looks after each kill whether what was acknowledged is there. Exit status 1 when it is not.
Result<cli::Output> chaos(const cli::DoctorOptions& options, const std::string& version, Env& env);

// " --data-dir X" where it is not the default.
std::string data_dir_option(const cli::DoctorOptions& options);

}  // namespace millrace::app
