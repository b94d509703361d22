// What a long piece of work gets from whoever runs it (a job's child process, or a test).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/env.hpp"

namespace millrace {

struct TaskProgress {
  std::string phase;      // "read", "train", "evaluate": one word
  double done = -1;       // 0..1; negative: unknown
  std::int64_t step = 0;  // rounds, rows, ...: whatever the phase counts
  std::vector<std::pair<std::string, double>> metrics;
  std::string note;          // one line for a person
  std::int64_t time_us = 0;  // calendar; set by whoever writes it down
};

struct Task {
  Env& env;
  std::string scratch_dir;                            // exists, empty at the first attempt, kept between attempts
  std::function<void(const TaskProgress&)> progress;  // cheap; call it as often as there is something new
  std::function<bool()> cancelled;                    // look at least once a second; then return Code::cancelled
};

}  // namespace millrace
