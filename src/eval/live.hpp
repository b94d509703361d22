// Live quality: what the predictions of each version turned out to be worth, from the joined labels, with the same
// metric functions as before the release. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eval/compare.hpp"
#include "eval/scored.hpp"

namespace millrace::eval {

// One logged prediction and what is known of it by now.
struct LivePrediction {
  std::string version;          // "churn:12"
  std::vector<double> scores;   // as Scored::scores, one row
  std::optional<double> truth;  // as Scored::y; absent: no trusted label
  bool waiting = false;         // no label yet, and one may still come (`mature` has not passed)
};

struct LiveQuality {
  std::string version;
  std::string metric;
  std::size_t predictions = 0;
  std::size_t labelled = 0;
  std::size_t waiting = 0;      // the rest, neither labelled nor waiting, will stay without a label
  double waiting_share = 0;     // waiting / predictions
  std::optional<double> value;  // absent when not defined on the labelled rows
  std::optional<Interval> interval;
  std::string why_undefined;  // set when value is absent
};

struct LiveTask {
  TaskType task = TaskType::binary;
  std::vector<std::string> classes;
  double threshold = 0.5;
  std::string metric;  // empty: primary_metric(task)
  Bootstrap bootstrap;
};

// One entry per version that predicted, by name. The order of `predictions` does not matter. invalid_argument
// `eval.unknown_metric`, `eval.bad_scores`.
Result<std::vector<LiveQuality>> live_quality(std::vector<LivePrediction> predictions, const LiveTask& task);

}  // namespace millrace::eval
