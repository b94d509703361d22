// The project file, millrace.toml: read, checked, completed with its defaults, compared. Pure; no files are opened
// here. Every key is declared once (project_keys.cpp): the checker, the JSON Schema and `millrace explain` come from
// that.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/result.hpp"
#include "base/tree.hpp"
#include "flow/schedule.hpp"
#include "flow/window.hpp"
#include "loop/release.hpp"
#include "serve/policy.hpp"

namespace millrace::loop {

// ">= 0.80", "<= 2%", "< 20ms", "<= 50MB", "> error", "< -error".
struct Comparison {
  enum class Op { less, less_equal, greater, greater_equal, equal, not_equal };
  enum class Unit { none, percent, duration, bytes, error };
  Op op = Op::greater_equal;
  double value =
      0;  // a share for a percentage, seconds for a duration, bytes for a size; 0 for `error`, whose sign is in `text`
  Unit unit = Unit::none;             // error: the 95 % error of the left side; gates only
  std::string text;                   // as written
  bool holds(double measured) const;  // NaN never holds
  bool operator==(const Comparison&) const = default;
};
// invalid_argument `project.bad_comparison`.
Result<Comparison> parse_comparison(std::string_view text);

// [source.NAME]
struct SourceConfig {
  std::string name;
  std::string uri;                 // "file:customers.csv" (relative to the project file) or "upload"
  std::string key;                 // column that names a row; empty: none
  bool header = true;              // the first line of a CSV holds the names
  std::vector<std::string> names;  // column names for a file without a header
  std::string delimiter;           // one character; empty: found out from the file
  std::string encoding = "utf-8";  // utf-8, latin1
  std::string format = "auto";     // auto (by the name), csv, parquet
  bool upload() const { return uri == "upload"; }
  std::string path() const;  // what follows "file:"; empty for an upload
  bool operator==(const SourceConfig&) const = default;
};

// One column of [check.SOURCE].
struct ColumnCheck {
  std::string column;
  std::string type;  // int float number bool category text date timestamp; empty: not checked
  std::optional<double> min, max;
  std::optional<Comparison> nulls;  // of the share of nulls
  std::vector<std::string> values;  // allowed; empty: all
  bool unique = false;
  std::string new_values = "allow";  // values that the version before did not have: allow, warn, fail
  std::string sensitive;             // "personal": masked, never an input; empty: not
  bool operator==(const ColumnCheck&) const = default;
};

// [check.SOURCE]
struct CheckConfig {
  std::string source;
  std::optional<Comparison> rows;
  std::vector<ColumnCheck> columns;
  bool operator==(const CheckConfig&) const = default;
};

struct TargetConfig {
  std::string source;
  std::string column;
  std::string type = "auto";  // auto, binary, multiclass, regression
  bool operator==(const TargetConfig&) const = default;
};

struct TrainerConfig {
  std::string name = "auto";       // auto (boosted-trees), boosted-trees, command
  std::string command;             // of the trainer `command`
  std::vector<std::string> files;  // that it needs besides those it names
  double learning_rate = 0.1;
  int depth = 6;
  int rounds = 300;
  int early_stopping = 20;  // rounds without a better validation metric; 0: never stops early
  double subsample = 1;
  double colsample = 1;
  double min_child_weight = 1;
  double lambda = 1;
  double alpha = 0;
  double colsample_level = 1;
  double colsample_node = 1;
  double gamma = 0;
  int max_leaves = 0;  // 0: only depth bounds a tree
  std::string grow_policy = "depthwise";
  int max_bin = 256;
  double max_delta_step = 0;
  std::optional<double> positive_weight = 1;  // nothing: "balanced"
  std::int64_t seed = 1;
  int threads = 0;                                // 0: as many as resources.cpu
  std::map<std::string, std::string> parameters;  // of the trainer `command`: each value as JSON
  bool operator==(const TrainerConfig&) const = default;
};

struct SplitConfig {
  std::string by = "hash";  // of the row's key; without a key, of its content
  double test = 0.2;
  double validation = 0.1;
  bool operator==(const SplitConfig&) const = default;
};

// [model]
struct ModelConfig {
  TargetConfig target;
  std::string positive;              // value of the target that counts as positive; empty: found out
  std::vector<std::string> inputs;   // columns; empty: all that are fit
  std::vector<std::string> exclude;  // columns that are never inputs
  TrainerConfig trainer;
  SplitConfig split;
  bool operator==(const ModelConfig&) const = default;
};

// One line of [gates]: "auc - current.auc" = ">= -0.005", which eval::parse_gate takes as `expression` and
// `bound.text`.
struct GateConfig {
  std::string expression;
  Comparison bound;
  bool operator==(const GateConfig&) const = default;
};

// One condition of [retrain] when.
struct RetrainRule {
  enum class Kind { new_rows, new_labels, live_below, live_above };
  Kind kind = Kind::new_rows;
  std::string text;    // "new_labels >= 2000"
  double bound = 0;    // N, or the value that the live metric may not pass
  std::string metric;  // of live_*: "auc"
  bool operator==(const RetrainRule&) const = default;
};

struct ResourcesConfig {
  double cpu = 0;                 // cores; 0: all of them
  std::int64_t memory_bytes = 0;  // 0: no limit of its own
  Duration max_duration = std::chrono::hours(2);
  bool operator==(const ResourcesConfig&) const = default;
};

// [retrain]
struct RetrainConfig {
  std::optional<flow::Schedule> schedule;
  std::vector<RetrainRule> when;
  flow::Window window;
  ResourcesConfig resources;
  // Rows of the next training set; nothing: all. Less than all is a deterministic sample.
  std::optional<std::int64_t> newest_rows, old_rows;
  bool operator==(const RetrainConfig&) const = default;
};

// [release]
struct ReleaseConfig {
  std::vector<std::string> steps = {"full"};
  Probation probation;
  std::string rollback = "manual";  // auto: go back when live quality falls; manual
  bool operator==(const ReleaseConfig&) const = default;
};

// [labels]
struct LabelsConfig {
  std::string field;                 // name of the label in what people send; empty: the target's column
  std::vector<std::string> classes;  // allowed values; empty: all
  std::vector<std::string> trust = {"human", "system"};  // origins that may be trained and evaluated on
  Duration mature = std::chrono::days(30);               // a label by key joins a prediction no older than this
  int queue_per_day = 100;
  std::string queue_pick = "uncertain";  // uncertain, random
  double queue_random_share = 0.3;
  bool operator==(const LabelsConfig&) const = default;
};

// [retention]
struct RetentionConfig {
  std::optional<int> models;            // newest versions whose bytes are kept; nothing: all
  std::optional<Duration> predictions;  // nothing: for ever
  bool operator==(const RetentionConfig&) const = default;
};

// [serve]
struct ServeConfig {
  std::string access_log = "off";           // all, errors, or a share as "1%"
  std::vector<std::string> origins;         // of pages that may ask for predictions; "*": of all
  int queue = 64;                           // requests of one model that may wait
  std::optional<std::int64_t> concurrency;  // of one model; nothing: as many as there are processors
  std::string priority = "normal";          // high, normal, low
  serve::BatchPolicy batching;
  serve::Fallback fallback;
  std::string log_full = "answer";  // refuse: no answer without a line in the prediction log
  double log_share = 1;             // of the rows that get a line, 0 to 1
  std::int64_t log_bytes = 0;       // on disk, of lines that are not rolled yet; 0: no bound
  bool operator==(const ServeConfig&) const = default;
};

// [telemetry]
struct TelemetryConfig {
  std::string otlp;      // address of a collector; empty: no traces
  double sample = 0.01;  // of the requests that bring no traceparent
  bool operator==(const TelemetryConfig&) const = default;
};

// [batch.NAME]
struct BatchConfig {
  std::string name;
  std::string model;                       // "churn" or "churn:3"; empty: the project's
  std::optional<flow::Schedule> schedule;  // nothing: only by hand
  std::string in;                          // one of these two: a path or pattern,
  std::string rows;                        // or a source
  std::string out;
  bool operator==(const BatchConfig&) const = default;
};

// [profile.NAME]: where and how this project runs; no part of its digest.
struct Profile {
  std::string name = "default";
  std::string listen = "127.0.0.1:7070";
  std::string grpc;                    // "127.0.0.1:8001": where gRPC listens too; "" nowhere
  std::vector<std::string> hosts;      // names besides localhost that a browser may call it by
  std::string data_dir = ".millrace";  // relative to the project file
  std::string seal;                    // "file:" and the path of the master key, relative to the project file; "" off
  struct Tls {                         // with it HTTP and gRPC speak TLS only; paths relative to the project file
    std::string certificate, key;
    bool operator==(const Tls&) const = default;
  } tls;
  std::string master_key() const { return seal.empty() ? "" : seal.substr(5); }  // the path
  bool operator==(const Profile&) const = default;
};

struct Project {
  std::string name;
  std::string timezone = "UTC";
  std::vector<SourceConfig> sources;  // in the order of the file
  std::vector<CheckConfig> checks;
  ModelConfig model;
  std::vector<GateConfig> gates;
  RetrainConfig retrain;
  ReleaseConfig release;
  LabelsConfig labels;
  RetentionConfig retention;
  ServeConfig serve;
  std::vector<BatchConfig> batches;
  TelemetryConfig telemetry;
  Profile profile;                                          // the chosen one
  const SourceConfig* source(std::string_view name) const;  // nullptr: none
  const CheckConfig* check(std::string_view source_name) const;
  const BatchConfig* batch(std::string_view name) const;
  bool operator==(const Project&) const = default;
};

// Something wrong with a project file.
struct Problem {
  enum class Kind { unknown_key, wrong_type, bad_value, missing, not_available };
  Kind kind = Kind::bad_value;
  Position at{};             // unknown in JSON
  std::string path;          // "retrain.scedule"
  bool section = false;      // a [table]
  std::string message;       // without the place
  std::string text() const;  // with it: "line 12, column 1: unknown key retrain.scedule; did you mean schedule?"
};

// Every problem of a file that parses, by place. Empty: project_from_tree with any declared profile succeeds.
std::vector<Problem> check_project(const Tree& tree);

// A chosen `profile` must be declared in the file (not_found `project.no_profile`); empty: "default", declared or not.
// Fails with all problems at once, by line: unimplemented `project.not_available` when keys of later versions are all
// that is wrong ("not available yet: [privacy] line 148"), else invalid_argument with the first one's reason:
// `project.unknown_key`, `project.wrong_type`, `project.bad_value`, `project.missing`; or `tree.malformed`. `file` is
// for messages.
Result<Project> parse_project(std::string_view text, std::string_view profile = {},
                              std::string_view file = "millrace.toml");
Result<Project> parse_project_json(std::string_view text, std::string_view profile = {},
                                   std::string_view file = "project");
Result<Project> project_from_tree(const Tree& tree, std::string_view profile, std::string_view file,
                                  std::string_view text = {});

// The file with every default filled in; parses to the same project, and the same project gives the same text. Stored
// with each model version. Without `with_profile` it says only what the project is, not where it runs.
Tree resolved_tree(const Project& project, bool with_profile);
std::string render_resolved(const Project& project, bool with_profile = false);
// Of render_resolved without the profile.
Digest project_digest(const Project& project);
// Of the keys alone whose change makes another model (sources, model).
Digest model_digest(const Project& project);

// What a change of the file causes, mildest last.
enum class Effect { retrain, checks, gates, restart, schedule, nothing };
std::string_view effect_name(Effect effect);  // "retrain", "checks run again", "gates only", "schedule only", ...
struct Change {
  std::string path;           // "model.trainer.depth"
  std::string before, after;  // as TOML; empty: absent
  Effect effect = Effect::nothing;
  bool operator==(const Change&) const = default;
};
// Differences of the completed files, in the order of the file; empty when they mean the same.
std::vector<Change> diff_projects(const Project& before, const Project& after);

// For `millrace schema` (JSON Schema 2020-12) and `millrace explain`.
std::string json_schema();
struct KeyInfo {
  std::string path, type, fallback, help, example;
  bool available = true;
  Effect effect = Effect::nothing;
};
std::vector<KeyInfo> describe_keys();
std::string explain_keys();  // describe_keys as a text table

// What `init` found out about a file; write_init makes the short project file from it. The result parses.
struct InitFacts {
  struct Excluded {
    std::string column, reason;
  };
  struct Gate {
    std::string expression, condition, comment;
  };
  std::string project;
  std::string source;
  std::string uri;       // "file:customers.csv", "upload"
  std::string key;       // empty: none found
  std::string timezone;  // empty: UTC, not written
  bool header = true;
  std::vector<std::string> names;
  std::string delimiter;  // empty: not written
  std::string encoding;   // empty: not written
  std::string target;     // column
  std::string task;       // for a comment: "binary, 26.5 % positive"
  std::string positive;
  std::vector<Excluded> excluded;
  std::vector<Gate> gates;
  std::vector<std::string> notes;  // what was odd: comments above the source
};
std::string write_init(const InitFacts& facts);

}  // namespace millrace::loop
