// When to retrain, and why not yet. Pure: a snapshot of the records in, one decision out; the controller acts on it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "loop/project.hpp"

namespace millrace::loop {

struct RetrainPolicy {
  std::vector<RetrainRule> rules;
  std::optional<TimePoint>
      schedule_due;           // the schedule's first moment after the last pipeline run; absent: no schedule
  std::string schedule_text;  // "daily"
};

// What the newest training took, whatever became of it.
struct LastTraining {
  std::int64_t dataset_version = 0;
  std::int64_t dataset_rows = 0;
  std::int64_t labels = 0;   // usable labels it had seen
  std::string model_digest;  // of the parts of the project file that change a model
  TimePoint started{};
  bool failed = false;
};

struct RetrainSnapshot {
  TimePoint now{};
  std::optional<std::int64_t> dataset_version;  // newest one that may be trained on
  std::int64_t dataset_rows = 0;
  std::int64_t labels = 0;  // usable: trusted origin, joined or joinable
  std::string model_digest;
  std::map<std::string, double> live;  // live metrics of `current`, by name
  std::optional<LastTraining> last;
  bool running = false;              // a pipeline run is unfinished
  bool window_open = true;           // [retrain] window
  std::string window_reason;         // when it is closed: "window opens 22:00"
  std::optional<std::string> asked;  // by hand: who and why
};

struct RetrainDecision {
  bool start = false;
  std::string rule;   // "first version", "new_labels >= 100", "schedule daily", "by hand", "project file changed"
  std::string cause;  // the rule with its numbers: "new_labels >= 100 (104)"
  std::vector<std::string> waiting;  // when not: what is waited for, how far it is: "new_labels >= 100 (37 so far)"
};

// By hand and the first version do not wait for the window; everything else does. A rule that held for the last
// training holds again only on what is new since then, so a refused candidate is not trained again on the same data.
RetrainDecision decide_retrain(const RetrainPolicy& policy, const RetrainSnapshot& snapshot);

}  // namespace millrace::loop
