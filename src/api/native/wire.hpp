// The native API, /api/v1: what goes over the wire. Plain aggregates, never the domain's own types; JSON by member
// name. Times are RFC 3339 in UTC, ids 26 characters, digests 64 hex digits, durations in seconds unless the name says
// ms. wire.cpp alone knows how they are read and written; schema() gives the JSON Schema of each for the OpenAPI text.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"

namespace millrace::api {

// Every answer of 400 and above.
struct ErrorBody {
  std::string code;     // gRPC's name: "invalid_argument"
  std::string reason;   // stable id: "registry.gate_not_passed"
  std::string message;  // what, where, why, what to do
  std::string next;     // a command or a path
  // Of a bad input, else "": "rows[3].age", "a number", "the text \"old\"".
  std::string field;
  std::string expected;
  std::string got;
};
struct ErrorAnswer {
  ErrorBody error;
};

struct Named {
  std::string name;
  double value = 0;
};

// ---- status

struct ModelStatus {
  std::string name;
  std::string light;  // green: serving and nothing wrong; yellow: waiting or refused; red: not serving
  std::optional<std::int64_t> current;
  std::optional<std::int64_t> previous;
  std::optional<std::int64_t> loaded;  // the version that answers now
  std::string metric;                  // name of the primary metric
  std::optional<double> test_value;    // of current, on its test rows
  std::optional<double> live_value;    // from joined labels
  std::optional<double> live_low;      // 95 % interval
  std::optional<double> live_high;
  std::int64_t live_rows = 0;
  std::int64_t labels_waiting = 0;  // predictions without a label yet
  std::int64_t labels_joined = 0;   // predictions that have a label, of all versions
  std::int64_t requests = 0;
  std::string data_age;            // of the newest dataset version, "3h"
  std::string next_retrain;        // a moment, or the condition that is waited for, with how far it is
  std::vector<std::string> notes;  // why something waits or was refused, with the next command
};
struct ProjectFile {
  std::int64_t number = 0;
  std::string applied;
  std::string by;
  std::string text;  // as it was given
};
struct Status {
  std::string version;  // of the program
  std::string project;
  std::string data_dir;
  std::string started;
  std::string at;  // of a look back at a moment: without started, ready, what runs or waits, loaded, requests, light
  std::optional<ProjectFile> project_file;  // of a look back: the one in use then
  bool ready = false;
  std::vector<ModelStatus> models;
  std::vector<std::string> running;  // one line per job: kind, progress, since
  std::vector<std::string> waiting;  // one line per waiting thing, with the reason
};

// ---- project

struct ApplyRequest {
  std::string text;  // millrace.toml
  bool dry_run = false;
};
struct ProjectChange {
  std::string path;
  std::string old_value;
  std::string new_value;
  std::string causes;
};
struct ApplyAnswer {
  std::string project;
  std::int64_t number = 0;  // of the stored project file; grows by one per change
  bool changed = false;
  std::vector<ProjectChange> changes;
  std::vector<std::string> notes;  // what the file means for the data that is there, and what has to wait
};
struct LoopStep {
  std::string step;
  std::string how;   // "automatic", "by approval", "by hand"
  std::string rule;  // why and when, in words
};
struct LoopAnswer {
  std::vector<LoopStep> steps;
};

// ---- data

struct ColumnStats {
  std::string name;
  std::string type;
  std::int64_t nulls = 0;
  std::int64_t distinct = 0;
  std::string min;
  std::string max;
  std::optional<double> mean;
  std::optional<double> std_dev;
  std::vector<std::string> top;  // most frequent values
  std::string role;              // "input", "target", "key", "left out"
  std::string why;               // of the role
};
struct CheckLine {
  std::string column;
  std::string rule;
  std::string level;  // "ok", "warn", "error"
  std::string message;
};
struct DatasetVersion {
  std::string dataset;
  std::int64_t number = 0;
  std::int64_t rows = 0;
  std::int64_t parts = 0;
  std::int64_t bytes = 0;
  std::string state;  // "ok", "failed", "accepted"
  std::string state_reason;
  std::optional<std::int64_t> parent;
  std::string source;         // URI
  std::string source_digest;  // of its bytes
  std::string created;
  std::string by;
  std::vector<ColumnStats> columns;
  std::vector<CheckLine> checks;
  std::vector<std::string> notes;
};
struct DatasetList {
  std::vector<DatasetVersion> versions;  // without columns
};
struct AcceptRequest {
  std::string reason;
};
struct QueryRequest {
  std::string sql;  // the version's rows are the table `data`
  std::int64_t rows_max = 100;
};
struct QueryColumn {
  std::string name;
  std::string type;
};
struct QueryAnswer {
  std::vector<QueryColumn> columns;
  std::vector<std::vector<std::optional<std::string>>> rows;
  bool more = false;
};
struct BatchRequest {  // rows of a dataset version
  std::string dataset;
  std::int64_t version = 0;
  std::string format = "parquet";  // or csv
};
struct BatchFile {
  std::string digest;
  std::int64_t bytes = 0;
};
struct BatchInput {
  std::string name;
  std::string digest;
  std::int64_t bytes = 0;
};
struct BatchAnswer {  // the result of a batch's job
  std::string model;
  std::string artifact;  // digest of what answered
  std::string data;
  std::string data_digest;         // of the file; of several files, or a dataset's parts: of their digests, a line each
  std::vector<BatchInput> inputs;  // files
  BatchFile output;                // a blob
  std::int64_t rows = 0;
  std::int64_t unseen = 0;      // values of categories that training had not seen
  std::int64_t resumed_at = 0;  // rows that attempts before the last had answered
};
struct BatchRun {  // of a [batch.NAME]
  std::string job;
  std::string state;  // queued running writing done failed cancelled
  std::string cause;
  std::optional<std::string> due;  // absent: by hand
  std::string begun;
  std::string model;
  std::string out;
  std::optional<std::string> written;  // since when the answers are there
  std::string message;                 // why it failed, or the answers can't be written
  std::optional<BatchAnswer> result;
};
struct Batch {
  std::string name;
  std::string model;
  std::string schedule;  // "" only by hand
  std::string in;        // files, or `rows`: a source
  std::string rows;
  std::string out;
  std::optional<std::string> next;
  std::string waits;           // due, and not started: why
  std::vector<BatchRun> runs;  // newest first, at most 10
};
struct BatchList {
  std::vector<Batch> batches;
};
struct CheckoutRequest {
  std::string format = "parquet";  // or "csv"
};
struct CheckoutAnswer {  // the result of a checkout's job
  std::string digest;    // of the blob with the file: GET /api/v1/blobs/{digest}, for a day
  std::int64_t rows = 0;
  std::int64_t bytes = 0;
};
struct CheckAnswer {  // the result of a check's job
  bool passed = false;
  std::vector<CheckLine> lines;
};
struct DiffAnswer {
  std::int64_t old_rows = 0;
  std::int64_t new_rows = 0;
  std::vector<std::string> lines;
};
struct IngestRequest {
  std::string source;  // name in the project file; its own URI is read
};
struct JobAnswer {
  std::string job;
  std::string run;  // empty for a job that is no run
};
struct JobState {
  std::string job;
  std::string kind;
  std::string state;  // queued running done failed cancelled
  std::string phase;
  double done = -1;  // 0..1, negative: unknown
  std::vector<Named> metrics;
  std::string message;  // cause of failure, or why it waits
  std::string result;   // JSON
};

// ---- runs

struct TrainRequest {
  bool quick = false;
  bool shuffle_target = false;  // a self-test of the gates: trained on a shuffled target, must be refused
  std::string reason;
};
// What a run took to learn from.
struct RunData {
  std::string dataset;
  std::int64_t version = 0;
  std::string read;  // when that version was made
  std::int64_t rows = 0;
  std::vector<std::string> parts;  // digests of the blobs, in order
  std::int64_t feedback_rows = 0;  // labelled predictions
  std::vector<std::string> feedback_parts;
  std::int64_t labels_seq = 0;       // labels up to this number
  std::optional<std::string> first;  // times of the predictions among them
  std::optional<std::string> last;
  std::string digest;  // of all of it
};
struct KeptFile {
  std::string path;
  std::string digest;  // a blob
  std::int64_t bytes = 0;
};
// The code that a run was started with; each digest is a blob.
struct RunCode {
  std::int64_t project_number = 0;
  std::string project_file;    // as it was applied
  std::string project_digest;  // with every default filled in
  std::string command;
  std::vector<KeptFile> files;  // that the command names
  std::string digest;           // of the command and those files
  std::string git_commit;
  std::string git_diff;  // against that commit; empty: none
  std::string git_note;
};
// Why a run failed: data, code, memory, disk, time, dependency or killed; what happened, where, and what mends it.
struct Fault {
  std::string cause;
  std::string what;
  std::string where;  // "train.py line 12, in load"; "" when there is no place
  std::string next;   // with the command to give; "" when nothing is known
};
struct Run {
  std::string id;
  std::string kind;
  std::string state;
  std::string cause;
  std::string created;
  std::optional<std::string> started;
  std::optional<std::string> ended;
  std::map<std::string, std::string> params;
  std::map<std::string, double> metrics;  // last value of each
  std::string version;                    // "churn:3" once it has a number
  std::string verdict;
  std::string failure;         // all of it, with what was printed last
  std::optional<Fault> fault;  // its parts
  std::map<std::string, std::string> inputs;
  std::map<std::string, double> resources;
  std::map<std::string, std::string> limits;  // what held it, who said so, who enforced it
  std::string rule;                           // of the project file, or "by hand"
  std::optional<RunData> data;                // of one run, not of a list
  std::optional<RunCode> code;
  std::vector<std::string> events;  // attempts, lost workers, refused late commits: one line each
};
struct RunList {
  std::vector<Run> runs;
};
struct Point {
  std::int64_t step = 0;
  double value = 0;
  std::string time;
};
struct MetricHistory {
  std::map<std::string, std::vector<Point>> metrics;
};

// A line of `runs follow`: what the run is doing. The last one has how it ended.
struct RunProgress {
  std::string run;
  std::string state;
  std::string step;   // assemble, train, evaluate; "" while none is at work
  std::string phase;  // of the step
  double done = -1;   // 0..1, of the step; negative: unknown
  std::int64_t round = 0;
  std::vector<Named> metrics;
  std::optional<double> rows_per_second;  // that the training goes through, over the last rounds
  std::int64_t memory_bytes = 0;          // of the job; 0: not known
  std::string note;                       // of the step, or why it waits
  std::string version;
  std::string verdict;
  std::string failure;
};
// What differs between two runs or versions.
struct DiffLine {
  std::string section;
  std::string name;
  std::string before;  // of the first; "" where it has none
  std::string after;
};
struct Difference {
  std::string one;
  std::string other;
  std::vector<DiffLine> lines;
};

// ---- models

struct GateLine {
  std::string expression;
  std::string required;
  std::string got;
  bool passed = false;
  std::string why;
};
// What a version's predictions turned out to be worth, when the labels were looked at last.
struct LiveQuality {
  std::string metric;
  std::optional<double> value;
  std::optional<double> low;  // 95 % interval
  std::optional<double> high;
  std::int64_t predictions = 0;
  std::int64_t labelled = 0;
  std::int64_t waiting = 0;  // without a label that may still come
  std::string why;           // when there is no value
};
struct ModelVersion {
  std::string model;
  std::int64_t number = 0;
  std::vector<std::string> aliases;
  std::string verdict;  // passed, failed, overridden
  std::string override_by;
  std::string override_reason;
  std::vector<GateLine> gates;
  std::map<std::string, double> metrics;
  std::map<std::string, double> current_metrics;  // of what was current then, on the same rows
  std::map<std::string, double> baseline_metrics;
  std::vector<LiveQuality> live;  // of this version, the primary metric first
  std::int64_t compared_rows = 0;
  std::string compared_digest;
  std::int64_t bytes = 0;
  bool bytes_kept = true;
  bool quick = false;
  std::string artifact;
  std::string run;
  std::string created;
  std::map<std::string, std::string> params;  // of the trainer, as they were asked for
  std::map<std::string, std::string> lineage;
};
struct AliasMove {
  std::string alias;
  std::int64_t version = 0;
  std::string by;
  std::string reason;
  std::string since;
};
struct Model {
  std::string name;
  std::optional<std::int64_t> current;
  std::optional<std::int64_t> previous;
  std::int64_t version_count = 0;      // of all, without regard to `limit` and `offset`
  std::vector<ModelVersion> versions;  // newest first, `limit` of them (100; at most 1000) after `offset`
  std::vector<AliasMove> aliases;      // newest first, as many
};
struct ModelList {
  std::vector<Model> models;  // without aliases; the newest 20 versions, without gates, reports and lineage
};
struct ExampleInput {
  std::string name;
  std::string type;  // boolean, int64, float64, text, date, timestamp
};
struct ModelExamples {
  std::string model;
  std::int64_t version = 0;
  std::vector<ExampleInput> inputs;
  std::vector<std::vector<std::optional<std::string>>> rows;  // in the order of the inputs; null is missing
};
struct ReleaseRequest {
  std::string prediction;  // id, of the request's first row
  std::string at;
  std::int64_t version = 0;
  std::int64_t rows = 0;
  bool answered = false;
};
// The same version ended this predictor too.
struct ReleaseOtherDeath {
  std::string predictor;
  std::int64_t signal = 0;
  std::string name;
  std::string at;
  std::vector<ReleaseRequest> last_requests;
};
struct ReleaseDeath {
  std::int64_t signal = 0;
  std::string name;  // "SIGABRT"
  std::int64_t version = 0;
  std::string at;
  std::vector<ReleaseRequest> last_requests;  // newest first
  std::string predictor;                      // whose process ended; "": the server's own
  std::vector<ReleaseOtherDeath> others;
};
struct Release {
  std::string id;
  std::string model;
  std::int64_t candidate = 0;
  std::optional<std::int64_t> previous;
  std::vector<std::string> steps;
  std::int64_t step = 0;  // place of the present or last one, from 1
  double weight = 0;      // share of the requests that the candidate answers now
  std::string began;
  std::string since;  // the step began
  std::optional<std::string> ended;
  std::string outcome;  // "running", finished, back, ended, replaced, died
  std::string why;
  std::string cause;
  std::int64_t candidate_requests = 0;
  std::int64_t candidate_failed = 0;  // by the version itself, not by what was sent
  std::int64_t previous_requests = 0;
  std::int64_t previous_failed = 0;
  std::int64_t shadow_dropped = 0;  // shadow answers that were not tried since the server's start
  std::optional<ReleaseDeath> death;
};
struct ReleaseList {
  std::int64_t count = 0;         // of all, without regard to `limit` and `offset`
  std::vector<Release> releases;  // newest first
};
struct PromoteRequest {
  std::int64_t version = 0;
  std::string reason;
};
struct MoveAnswer {
  std::string model;
  std::int64_t current = 0;
  std::optional<std::int64_t> previous;
  bool changed = false;
  double took_ms = 0;  // until the new version answers
  // Connected predictors on other machines that had not reached it after a second; GET /api/v1/predictors says when.
  std::vector<std::string> not_reached;
};
struct GcRequest {
  bool dry_run = false;
};
struct GcKept {
  std::string why;
  std::int64_t blobs = 0;
  std::int64_t bytes = 0;
};
struct GcAnswer {
  bool dry_run = false;                      // nothing was removed: what follows would be
  std::vector<std::string> versions_let_go;  // by [retention] models; their records stay
  std::int64_t blobs = 0;
  std::int64_t bytes = 0;
  std::int64_t uploads = 0;      // abandoned ones
  std::int64_t quarantined = 0;  // damaged blobs, past their time
  std::int64_t jobs = 0;         // finished long ago, with their history
  std::int64_t outputs = 0;      // files with what such jobs printed
  std::int64_t scratch = 0;      // folders of attempts that nobody works in
  std::vector<GcKept> kept;
  double took_seconds = 0;
};
struct RebuildAnswer {
  std::string job;
};

// ---- labels and predictions

struct Label {
  std::optional<std::string> prediction;  // id; or
  std::optional<std::string> key;         // the entity: joins the last prediction before `time`
  std::optional<std::variant<std::string, double, bool>> value;
  bool withdraw = false;            // takes back what was said before; instead of a value
  std::optional<std::string> time;  // when it became true; now when absent
  std::string origin = "human";     // human, system, model
  std::string author;
  std::optional<std::string> id;  // the sender's own name for this label
};
struct LabelsAnswer {
  std::int64_t accepted = 0;
  std::int64_t already_known = 0;
};
struct QueueEntry {
  std::string prediction;
  double certainty = 0;
  std::string decision;
  std::map<std::string, std::string> inputs;
};
struct LabelQueue {
  std::vector<QueueEntry> entries;
  std::int64_t per_day = 0;       // [labels] queue.per_day: how many are wanted when nobody says
  std::int64_t labels_today = 0;  // that came already, since midnight in the project's time zone
};
struct Contribution {
  std::string input;
  std::string value;    // as it was sent
  std::string encoded;  // as the engine saw it
  double contribution = 0;
};
struct Why {
  std::string prediction;
  std::string model;
  std::int64_t version = 0;
  std::string time;
  std::string decision;
  std::map<std::string, double> scores;
  double margin = 0;  // of the decided class; the contributions and the bias sum to it
  double bias = 0;
  std::vector<Contribution> contributions;
  std::optional<std::string> label;
};

// ---- workers

struct ClaimRequest {
  std::string worker;
  std::vector<std::string> kinds;
};
struct ClaimAnswer {
  std::optional<std::string> job;  // absent: nothing to do
  std::int64_t token = 0;
  std::string kind;
  std::string input;
  std::string checkpoint;
  std::int64_t attempt = 0;
  double cpu = 0;
  std::int64_t memory_bytes = 0;
  double seconds_max = 0;
};
struct HeartbeatRequest {
  std::int64_t token = 0;
  std::vector<std::string> progress;  // JSON lines
  std::string checkpoint;
};
struct HeartbeatAnswer {
  bool cancel = false;
};
struct EndRequest {
  std::int64_t token = 0;
  std::string result;  // JSON; or
  std::string cause;   // data, code, memory, disk, time, dependency, killed
  std::string message;
  bool retry = false;
  bool given_back = false;  // neither: the worker stops, somebody else goes on from `checkpoint`
  std::string checkpoint;
  double wall_seconds = 0;
  double cpu_seconds = 0;
  std::int64_t memory_bytes_peak = 0;
  std::int64_t memory_bytes_max = 0;  // what it was allowed; 0: no limit
  std::string memory_from;            // who said so
  std::string limited_by;             // who enforced it: cgroup v2, cgroup v1, rlimit
  std::string output;                 // the last part of what the job printed
};
struct Empty {};

// Of a foreign server too: unknown members are passed over.
Result<ErrorAnswer> parse_error(std::string_view text);
// T is one of the structs above. invalid_argument `json.malformed`. Unknown members are errors.
template <class T>
Result<T> parse(std::string_view text);
template <class T>
std::string render(const T& value);
// JSON Schema 2020-12 of T.
template <class T>
std::string schema();

}  // namespace millrace::api
