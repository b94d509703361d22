// Promise: a logged prediction survives the death of the process, and a power cut once a sync after it was answered.
// Nothing is read that was not written so, and nothing twice, wherever the line is by now: in a segment or in a part.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "serve/prediction_log.hpp"

namespace millrace::simulator {

// All of a line as a short text.
std::string print_of(const serve::LoggedPrediction& line);

class ExpectLog {
 public:
  struct Line {
    Id id;
    std::string print;
    TimePoint time{};
    std::string key;
    bool must = false;      // it was answered
    bool synced = false;    // and a sync after it
    bool doubtful = false;  // a sync after it failed: no later one says anything about it
    bool leaving = false;
  };
  struct Seen {
    Id id;
    std::string print;
  };

  void written(const serve::LoggedPrediction& line, bool answered);
  void synced();
  void sync_failed();
  void power_lost();  // what was not synced may be gone
  void released_before(TimePoint time);
  const std::map<Id, Line>& lines() const { return lines_; }

  // Everything that is in the log now, parts and segments; the first thing that is wrong, or "".
  std::string compare(const std::vector<Seen>& seen);
  unsigned lost = 0;  // within the stated window

 private:
  std::map<Id, Line> lines_;
  bool after_power_cut_ = false;
};

}  // namespace millrace::simulator
