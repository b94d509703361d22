// Many seeds, over several processes (SQLite's own randomness belongs to a process, so a seed must have one alone), and
// what came out.
#pragma once

#include <cstdint>

#include "sim/planted.hpp"

namespace millrace::simulator {

enum class Mode { seeds, one, soak, planted };

struct RunOptions {
  Mode mode = Mode::seeds;
  std::uint64_t from = 0, to = 2000;
  std::uint64_t minutes = 0;
  int operations = 300;
  unsigned jobs = 0;  // 0: one per processor
  Plant plant = Plant::none;
};

// Prints. The program's exit status.
int run(const RunOptions& options);

}  // namespace millrace::simulator
