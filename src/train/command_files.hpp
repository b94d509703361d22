// The files that a trainer's command names: kept by digest, so that a model version says which code made it, and put
// back where a training is repeated.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.hpp"
#include "base/result.hpp"
#include "blob/blob.hpp"
#include "train/kept_file.hpp"

namespace millrace::train {

// The words of a shell line, quotes taken off; nothing is expanded.
std::vector<std::string> command_words(std::string_view line);

// What the line can't do without, as far as that can be told without running it: the program of a simple command (no
// ; | & < > $ ` and the like, no word of the shell itself), and the script that a known interpreter is given. Pure.
struct CommandNeed {
  std::string name;
  bool program = false;  // looked up as the shell does; else a file
  bool operator==(const CommandNeed&) const = default;
};
std::vector<CommandNeed> command_needs(std::string_view line);
// invalid_argument `train.missing_program` or `train.missing_file` for the first one that is not there.
Result<void> check_command(Fs& fs, const std::string& folder, std::string_view line,
                           const std::vector<std::string>& more = {});

// Words that are regular files below `folder` (or absolute paths), each once, in order; programs found through PATH are
// not among them; of `python -m a.b` the file a/b.py, of `sh -c "python x.py"` x.py. Then `more`, files and whole
// folders (without hidden ones), by name. resource_exhausted `train.file_too_large` above 64 MB for one and 256 MB for
// all, `train.too_many_files` above 1,000; invalid_argument `train.missing_file` for one of `more`; else the store's
// errors.
Result<std::vector<CommandFile>> keep_command_files(Fs& fs, blob::Store& blobs, const std::string& folder,
                                                    std::string_view line, const std::vector<std::string>& more = {});

// For TrainInput::code_digest: of the line, the paths and the digests.
std::string command_digest(std::string_view line, const std::vector<CommandFile>& files);

// Where the line is to be run, so that it finds what was kept: `folder` itself while all files in it still have that
// content; else `copies`, which then holds the kept ones and nothing else.
struct CommandPlace {
  std::string folder;
  std::string changed;  // the first file that is not what was kept; empty: none
  std::string before;   // shell words to put before the line
};
// failed_precondition `train.file_changed` for one outside of the folder, which can't be put elsewhere.
Result<CommandPlace> place_command_files(Fs& fs, blob::Store& blobs, const std::string& folder,
                                         const std::string& copies, const std::vector<CommandFile>& files);

}  // namespace millrace::train
