// The machine itself as a test's world, with a folder of its own below /tmp; env.hpp has one whose clock a test moves.
#pragma once

#include <memory>

#include "base/clock.hpp"
#include "base/env.hpp"
#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/rng.hpp"
#include "base/testing/temp_dir.hpp"

namespace millrace {

struct RealEnv {
  TempDir dir;
  RealFs fs;
  SystemClock clock;
  SystemRng rng;
  Faults faults;
  std::unique_ptr<Log> log = null_log();
  Env env{fs, clock, rng, faults, *log};
};

}  // namespace millrace
