#include "eval/live.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "eval/catalogue.hpp"

namespace millrace::eval {

Result<std::vector<LiveQuality>> live_quality(std::vector<LivePrediction> predictions, const LiveTask& task) {
  const std::string name = task.metric.empty() ? std::string(primary_metric(task.task)) : task.metric;
  const MetricInfo* metric = find_metric(task.task, name);
  if (metric == nullptr) {
    return fail(Code::invalid_argument, "eval.unknown_metric",
                fmt::format("no metric '{}' for a {} model", name, task_name(task.task)));
  }
  // Sums and draws depend on the order of rows in their last bits: one order for every history.
  std::sort(predictions.begin(), predictions.end(), [](const LivePrediction& a, const LivePrediction& b) {
    return std::tie(a.version, a.truth, a.scores) < std::tie(b.version, b.truth, b.scores);
  });

  std::map<std::string, std::pair<LiveQuality, Scored>> versions;
  for (const LivePrediction& p : predictions) {
    auto& [quality, scored] = versions[p.version];
    if (quality.version.empty()) {
      quality.version = p.version;
      quality.metric = name;
      scored = Scored{.task = task.task, .classes = task.classes, .threshold = task.threshold};
    }
    ++quality.predictions;
    if (!p.truth) {
      if (p.waiting) ++quality.waiting;
      continue;
    }
    ++quality.labelled;
    scored.y.push_back(*p.truth);
    scored.scores.insert(scored.scores.end(), p.scores.begin(), p.scores.end());
  }

  std::vector<LiveQuality> out;
  for (auto& [version, entry] : versions) {
    auto& [quality, scored] = entry;
    TRY_VOID(check(scored));
    quality.waiting_share = static_cast<double>(quality.waiting) / static_cast<double>(quality.predictions);
    if (const double value = measure(scored, *metric); std::isfinite(value)) {
      quality.value = value;
      quality.interval = interval_of(scored, name, task.bootstrap);
    } else {
      quality.why_undefined = why_undefined(scored);
    }
    out.push_back(std::move(quality));
  }
  return out;
}

}  // namespace millrace::eval
