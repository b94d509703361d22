// What the command of a training tells about itself while it runs: JSON lines in a file.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.hpp"
#include "base/task.hpp"

namespace millrace::train {

// {"step": 3, "done": 0.1, "metrics": {"loss": 0.7}, "note": "warming up"}: every member may be absent, others are
// passed over. Nothing for a line that is not that, or holds more than 100 metrics. Pure.
std::optional<TaskProgress> parse_report(std::string_view line);

// Follows the file. It may not be there yet; a line without its end is waited for; a line of more than 64 KB is lost.
class CommandReports {
 public:
  CommandReports(Fs& fs, std::string path) : fs_(fs), path_(std::move(path)) {}
  std::vector<TaskProgress> take();  // what is new; bounded: the rest comes with the next call

 private:
  Fs& fs_;
  std::string path_;
  std::uint64_t read_ = 0;
};

}  // namespace millrace::train
