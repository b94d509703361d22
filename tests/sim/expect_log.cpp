#include "sim/expect_log.hpp"

#include <bit>
#include <set>

#include "base/digest.hpp"

namespace millrace::simulator {

std::string print_of(const serve::LoggedPrediction& line) {
  std::string text = line.key + "|" + format_time(line.time) + "|" + std::to_string(line.decision);
  for (const auto score : line.scores) text += "|" + std::to_string(std::bit_cast<std::uint32_t>(score));
  for (const auto& value : line.inputs) text += "|" + table::to_text(value);
  return sha256(text).hex().substr(0, 16);
}

void ExpectLog::written(const serve::LoggedPrediction& line, bool answered) {
  lines_[line.id] = {line.id, print_of(line), line.time, line.key, answered};
}

void ExpectLog::synced() {
  for (auto& [id, line] : lines_) line.synced = line.synced || (line.must && !line.doubtful);
}

void ExpectLog::sync_failed() {
  for (auto& [id, line] : lines_) line.doubtful = line.doubtful || !line.synced;
}

void ExpectLog::power_lost() {
  after_power_cut_ = true;
  for (auto& [id, line] : lines_) {
    if (!line.synced) line.must = false;
  }
}

void ExpectLog::released_before(TimePoint time) {
  for (auto& [id, line] : lines_) {
    if (line.time < time) line.leaving = true;
  }
}

std::string ExpectLog::compare(const std::vector<Seen>& seen) {
  std::set<Id> there;
  for (const auto& one : seen) {
    const auto known = lines_.find(one.id);
    if (known == lines_.end()) return "prediction log: nobody wrote, or it was gone: " + one.id.text();
    if (known->second.print != one.print) return "prediction log: a torn line was read: " + one.id.text();
    if (!there.insert(one.id).second) return "prediction log: a line is there twice: " + one.id.text();
  }
  for (auto it = lines_.begin(); it != lines_.end();) {
    auto& line = it->second;
    if (there.contains(it->first)) {
      line.must = true;
      line.synced = line.synced || after_power_cut_;  // what a power cut left is on the disk
      ++it;
      continue;
    }
    if (line.must && !line.leaving)
      return std::string("prediction log: ") + (line.synced ? "a synced line" : "a line") +
             " is gone: " + it->first.text() + " of " + format_time(line.time);
    lost += !line.leaving;
    it = lines_.erase(it);
  }
  after_power_cut_ = false;
  return {};
}

}  // namespace millrace::simulator
