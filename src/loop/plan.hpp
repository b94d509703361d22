// From a project file and what is known of its data to the jobs of a training. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "data/dataset.hpp"
#include "data/mask.hpp"
#include "loop/code_copy.hpp"
#include "loop/jobs.hpp"
#include "loop/project.hpp"

namespace millrace::loop {

// The name of the registered model is the project's. The training set comes from the target's source.
// failed_precondition `loop.no_inputs` when nothing is left to learn from, `loop.other_target` when the inference was
// made for another target than the project's (the data must be read again), not_found `loop.no_column` for a named
// input.
Result<ModelSpec> plan_model(const Project& project, const data::Inference& inference);

// Columns that a dataset version gives to models. Pure.
std::vector<std::string> learned_columns(const Project& project, std::string_view dataset,
                                         const data::Inference& inference);

// Columns of a dataset whose values are not shown ([check.NAME] COLUMN.sensitive).
data::ColumnNames sensitive_columns(const Project& project, std::string_view dataset);

// "" where the source has a key, or by content.
SplitSpec plan_split(const Project& project, const ModelSpec& model);

// Names and values as the trainer takes them: of boosted-trees as text, of a command each value as JSON.
std::map<std::string, std::string> trainer_parameters(const TrainerConfig& config);

// The gates of the file, or the defaults of the task when it has none.
std::vector<GateText> plan_gates(const Project& project, const std::string& task);

int plan_threads(const Project& project, int cores);

// Everything that a run decided when it started; kept with the run, so that later steps and a rebuild use the same.
struct RunPlan {
  std::string run;
  std::string cause;
  std::string rule;
  TrainJob train;
  std::vector<GateText> gates;
  std::string labels;              // blob of the labels, until they are assembled
  std::int64_t labels_seq = 0;     // labels it looks at: up to this one
  std::int64_t labels_usable = 0;  // how many of them can be used
  std::string model_digest;        // of the parts of the project file that make another model
  std::int64_t project_number = 0;
  // Of a run that goes on from, or repeats, an earlier one: that run. Its rows are settled from the start.
  std::string resumes;
  std::string repeats;
  std::string checkpoint;  // where it goes on
  std::string trained;     // TrainResult of that run, when only what follows is left
  std::string imported;    // of a version that came as a file: the file's name; nothing was trained
  CodeCopy code;
  std::string data_read;            // when the dataset version was made
  std::string first_row, last_row;  // times of the labelled predictions that it takes; empty: none
};
std::string render_plan(const RunPlan& plan);
Result<RunPlan> parse_plan(std::string_view json);

// Every blob that holds what the run was started with: project file, command files, git's difference.
std::vector<std::string> code_digests(const RunPlan& plan);

// Digest of what a training learns from: names of all parts, in order.
std::string data_digest(const RowSet& rows);

}  // namespace millrace::loop
