// What the loop's jobs take and give, as plain aggregates: JSON between the server, which plans them and commits their
// results, and the job process, which knows nothing of the metadata. A job's input holds all that decides its result.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "data/dataset.hpp"
#include "data/ingest.hpp"
#include "loop/log_layout.hpp"
#include "train/kept_file.hpp"

namespace millrace::loop {

// Kinds of jobs.
namespace job_kind {
inline constexpr std::string_view ingest = "ingest";      // ReadJob -> data::IngestOutput
inline constexpr std::string_view assemble = "assemble";  // labelled predictions become a dataset version
inline constexpr std::string_view train = "train";
inline constexpr std::string_view evaluate = "evaluate";  // a fresh process proves the archive and measures it
inline constexpr std::string_view rebuild = "rebuild";    // a training again, to compare the bytes
inline constexpr std::string_view query = "query";        // data::QueryInput -> data::QueryOutput
inline constexpr std::string_view checkout = "checkout";  // data::CheckoutInput -> data::CheckoutOutput
inline constexpr std::string_view check = "check";        // data::CheckInput -> data::CheckReport
inline constexpr std::string_view live = "live";          // live quality from the log and the labels
inline constexpr std::string_view batch = "batch";        // a model's answers for all rows of a file or a version
inline constexpr std::string_view roll = "roll";          // closed log segments become parts of a dataset
}  // namespace job_kind
std::vector<std::string> slow_kinds();   // may take hours
std::vector<std::string> quick_kinds();  // seconds; they have a slot of their own
std::vector<std::string> asked_kinds();  // somebody waits for the answer: they have one too

// kind "ingest": what to read, on top of which version.
struct ReadJob {
  std::string dataset;
  data::IngestInput input;
};

// By which the side of a row is decided (data/split.hpp).
struct SplitSpec {
  std::string key;     // column; "" to go by the row's content
  std::string target;  // no part of the content
  double test = 0.2;
  double validation = 0.1;
  bool operator==(const SplitSpec&) const = default;
};

// The rows of a training, by reference.
struct RowSet {
  std::string dataset;
  std::int64_t version = 0;
  std::vector<data::Part> parts;
  std::int64_t feedback_version = 0;  // 0: none
  std::vector<data::Part> feedback;   // labelled predictions, in the same schema
  std::vector<data::ColumnField> schema;
  SplitSpec split;
};

struct InputSpec {
  std::string name;
  std::string encoding;
};
// A model's task, as inference and the project file settled it.
struct ModelSpec {
  std::string name;
  std::string task;  // binary, multiclass, regression
  std::string target;
  std::vector<std::string> classes;
  std::string positive;
  std::vector<InputSpec> inputs;
  std::string key;
  std::vector<std::string> ignored;
};

struct TrainJob {
  std::string run;
  ModelSpec model;
  RowSet rows;
  std::string trainer;  // boosted-trees
  std::string command;  // of the trainer `command`, run in `command_folder`
  std::string command_folder;
  std::vector<train::CommandFile> command_files;  // what it names, kept as blobs: what a repeat runs
  std::map<std::string, std::string> parameters;
  std::uint64_t seed = 1;
  int threads = 1;
  std::string data_digest;
  std::string project_digest;
  std::string code_digest;
  std::string created;
  std::int64_t quick_rows = 0;  // > 0: a deterministic sample of about this many rows
  bool shuffle_target = false;  // the self-test of the gates
  std::int64_t old_rows = 0;    // > 0: a deterministic sample of about this many dataset rows
  std::int64_t new_rows = 0;    // > 0: the newest so many feedback rows
};
struct BlobRef {
  std::string digest;  // hex; "" for none
  std::int64_t bytes = 0;
};
struct TrainResult {
  BlobRef artifact;
  BlobRef baseline;
  std::int64_t rows = 0;
  std::int64_t validation_rows = 0;
  std::int64_t rounds = 0;
  std::int64_t resumed_at = 0;
  std::map<std::string, std::string> parameters;  // resolved
  std::string engine;                             // "xgboost 3.3.0"
};

struct GateText {
  std::string expression;
  std::string required;
};
struct EvaluateJob {
  std::string run;
  std::string name;  // "churn:candidate"
  ModelSpec model;
  RowSet rows;  // the same as the candidate's training; its test side is scored
  BlobRef candidate;
  BlobRef baseline;
  BlobRef current;  // digest "" when nothing serves yet
  std::int64_t current_version = 0;
  std::optional<SplitSpec> current_split;  // when it differs, only rows that are test under both count
  std::vector<GateText> gates;
  bool quick = false;
};
struct EvaluateResult {
  bool passed = false;
  std::string summary;   // "3/4 gates passed; ..."
  std::string verdict;   // eval::render_verdict
  std::string evidence;  // eval::render_evidence
  std::string primary;   // metric
  std::map<std::string, double> metrics;
  std::map<std::string, double> current_metrics;
  std::map<std::string, double> baseline_metrics;
  std::int64_t rows = 0;
  std::string rows_digest;
  std::int64_t current_version = 0;
};

// The prediction log of a model at one moment: rows of Parquet parts, and after them the lines of all segments with
// numbers above `after`. Each line is in one of them.
struct LogView {
  std::string dir;
  std::string model;
  std::uint64_t after = 0;
  std::vector<data::Part> parts;
  LogLayout layout;
};

// kind "roll": closed segments (after, through] become rows of the datasets MODEL.predictions.
struct RollJob {
  std::string dir;
  std::uint64_t after = 0;
  std::uint64_t through = 0;
  std::map<std::string, LogLayout> layouts;  // by model, as they are before
  std::int64_t part_rows = 262'144;          // a part ends with the segment that reaches it
};
struct HourRows {
  std::int64_t hour = 0;  // since 1970-01-01T00:00Z
  std::int64_t rows = 0;
};
struct RolledPart {
  data::Part part;
  std::int64_t first_us = 0;  // of its lines
  std::int64_t last_us = 0;
  std::vector<HourRows> hours;
};
struct RolledModel {
  std::string model;
  LogLayout layout;
  std::vector<RolledPart> parts;
  std::vector<data::ColumnProfile> columns;  // statistics of these rows
};
struct RollResult {
  std::int64_t segments = 0;
  std::int64_t lines = 0;
  std::int64_t damaged = 0;  // places that were stepped over
  std::vector<RolledModel> models;
};

struct AssembleJob {
  std::string model;
  LogView log;
  std::string labels;           // blob: one label per line
  std::int64_t labels_seq = 0;  // the newest label that it holds
  std::int64_t now_us = 0;
  std::int64_t mature_us = 0;
  std::vector<std::string> trust;
  std::vector<data::ColumnField> schema;  // of the dataset that it will be trained with
  ModelSpec spec;
  std::vector<std::string> metrics;  // live ones that rules look at, besides the primary
  std::int64_t late_lines = 0;       // of live quality: fleet_records.hpp, when it was planned
};
struct AssembleResult {
  std::vector<data::Part> parts;
  std::int64_t rows = 0;      // labelled predictions
  std::int64_t unusable = 0;  // labels whose value is no value of the target
  std::int64_t labels_seq = 0;
  std::int64_t predictions = 0;
  std::int64_t first_us = 0, last_us = 0;  // times of the first and the last prediction that became a row
};

struct LiveLine {
  std::string version;
  std::string metric;
  std::int64_t predictions = 0;
  std::int64_t labelled = 0;
  std::int64_t waiting = 0;
  std::optional<double> value;
  std::optional<double> low;
  std::optional<double> high;
  std::string why_undefined;
};
struct LiveResult {
  std::vector<LiveLine> versions;
  std::int64_t labels_seq = 0;
  std::int64_t labels_joined = 0;
  std::int64_t labels_unmatched = 0;
  std::int64_t late_lines = 0;
};

// kind "batch": the rows of a file or of a dataset version, and behind them what a model version answers.
struct BatchJob {
  std::string model;  // "churn:3", as the answers name it
  BlobRef artifact;
  std::string data;                       // as the answers name it: "customers@4", or the file's name and digest
  BlobRef file;                           // digest "" for a dataset version
  std::vector<data::Part> parts;          // of it
  std::vector<data::ColumnField> schema;  // of it
  std::vector<std::string> masked;        // these columns of it come out as text, masked
  std::string format = "parquet";         // of the result; or csv
  std::int64_t part_rows = 262'144;       // what is done again after a kill is less than that
  std::string in;                         // [batch.NAME]: path or pattern of the files, read when it runs
  std::string problem;                    // what stood in its way when it was due: why it fails
};
struct BatchInput {
  std::string name;
  std::string digest;
  std::int64_t bytes = 0;
};
struct BatchResult {
  std::string model;
  std::string artifact;  // digest
  std::string data;
  std::string data_digest;         // of the file; of several files or parts: of their digests, a line each
  std::vector<BatchInput> inputs;  // files
  BlobRef output;
  std::int64_t rows = 0;
  std::int64_t unseen = 0;      // values of categories that training had not seen
  std::int64_t resumed_at = 0;  // rows that earlier attempts had answered
};

struct RebuildJob {
  TrainJob train;
  std::string expected;  // digest of the artifact
};
struct RebuildResult {
  bool identical = false;
  std::string digest;
  std::string message;
};

template <class T>
Result<T> parse_job(std::string_view json);
template <class T>
std::string render_job(const T& value);

}  // namespace millrace::loop
