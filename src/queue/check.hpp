// A look at the files of a local queue, beside the process that has it or without one. Changes none of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fs.hpp"
#include "base/result.hpp"

namespace millrace::queue {

struct FileDamage {
  std::string file;  // in the queue's folder
  std::string problem;
};
struct Check {
  std::vector<FileDamage> damage;
  std::uint64_t events = 0;    // that can be read
  std::uint64_t dedup_id = 0;  // the highest one published
};
Result<Check> check_local(Fs& fs, const std::string& dir);

}  // namespace millrace::queue
