// A seed's story from beginning to end: operations, faults between and during them, crashes, and looks at what is
// there.
#pragma once

#include <cstdint>
#include <string>

#include "sim/sim.hpp"

namespace millrace::simulator {

struct StoryOptions {
  std::uint64_t seed = 0;
  int operations = 300;
  int crashes = 3;  // at least
  Plant plant = Plant::none;
};

struct Told {
  std::string wrong;  // "" when all is as it must be
  std::string trace;  // what happened, a line each; the same for the same options
  Counts counts;
  std::map<std::string, std::uint64_t> fault_points;  // how often each was reached
};

Told tell(const StoryOptions& options);

}  // namespace millrace::simulator
