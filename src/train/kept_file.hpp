// A file of somebody's code, kept by digest.
#pragma once

#include <cstdint>
#include <string>

namespace millrace::train {

struct CommandFile {
  std::string path;    // as the command writes it
  std::string digest;  // of its content, stored as a blob
  std::uint64_t bytes = 0;
  bool operator==(const CommandFile&) const = default;
};

}  // namespace millrace::train
