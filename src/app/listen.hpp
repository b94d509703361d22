// Where a server of this program listens, and for how many connections it has files.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace millrace::app {

struct Listen {
  std::string host;
  int port = 0;
};

// "127.0.0.1:7070", "[::1]:0". invalid_argument `cli.bad_listen`, which names `option`.
Result<Listen> parse_listen(const std::string& text, const std::string& option = "--listen");

// Raises this process's bound of open files as far as it may; what it is then, 0: not known.
std::uint64_t raise_open_files();

}  // namespace millrace::app
