// Runs: one tracked execution each (MLflow's sense), with parameters, metrics over steps, cause, resources and outcome.
// All functions run inside the caller's transaction: what belongs together commits together.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "meta/meta.hpp"

namespace millrace::track {

std::vector<meta::Migration> migrations();

// queued -> running -> finished | failed | cancelled; also running -> queued when a lost worker's job is taken over.
enum class RunState { queued, running, finished, failed, cancelled };
std::string_view state_name(RunState state);

struct Run {
  std::string id;  // Id::text()
  std::string project;
  std::string kind;  // "train", "rebuild"
  RunState state = RunState::queued;
  std::string cause;   // the rule that started it, in words: "first version", "new_labels >= 100 (104)", "by hand: ana"
  std::string params;  // JSON object
  std::string inputs;  // JSON: dataset versions, windows, digests of project file and code
  std::string outcome;      // JSON: model version, artifact, verdict; empty until it ended
  std::string resources;    // JSON: queue, wall and CPU seconds, peak memory, bytes read, which limit acted
  std::string failure;      // JSON: cause kind, message, what to do; empty unless failed
  std::string output_path;  // what the job printed, relative to the data folder
  TimePoint created{};
  std::optional<TimePoint> started;
  std::optional<TimePoint> ended;
};

struct MetricPoint {
  std::string name;
  std::int64_t step = 0;
  double value = 0;  // NaN and infinities are kept
  TimePoint time{};
};

Result<void> create_run(meta::Tx& tx, const Run& run);
// not_found `track.no_run`. Writes every field but id, project, kind, created.
Result<void> update_run(meta::Tx& tx, const Run& run);
Result<Run> get_run(meta::Reader& reader, std::string_view id);  // the id or a prefix of it that fits one run only
// Newest first.
Result<std::vector<Run>> list_runs(meta::Reader& reader, std::string_view project, int limit, int offset);
// Every output_path that a run names.
Result<std::vector<std::string>> output_paths(meta::Reader& reader);
// The same name and step again replaces: a resumed run repeats its last steps.
Result<void> log_metrics(meta::Tx& tx, std::string_view run, std::span<const MetricPoint> points);
// By name, then step.
Result<std::vector<MetricPoint>> metric_history(meta::Reader& reader, std::string_view run);

}  // namespace millrace::track
