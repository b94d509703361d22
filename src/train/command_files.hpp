// The files that a trainer's command names, kept by digest, so that a model version says which code made it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.hpp"
#include "base/result.hpp"
#include "blob/blob.hpp"

namespace millrace::train {

struct CommandFile {
  std::string path;    // as the command writes it
  std::string digest;  // of its content, stored as a blob
  std::uint64_t bytes = 0;
  bool operator==(const CommandFile&) const = default;
};

// The words of a shell line, quotes taken off; nothing is expanded.
std::vector<std::string> command_words(std::string_view line);

// Words that are regular files below `folder` (or absolute paths), each once, in order; programs found through PATH are
// not among them. resource_exhausted `train.file_too_large` above 64 MB, else the store's errors.
Result<std::vector<CommandFile>> keep_command_files(Fs& fs, blob::Store& blobs, const std::string& folder,
                                                    std::string_view line);

// For TrainInput::code_digest: of the line, the paths and the digests.
std::string command_digest(std::string_view line, const std::vector<CommandFile>& files);

}  // namespace millrace::train
