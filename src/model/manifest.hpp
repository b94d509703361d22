// What a model is, besides its engine's own file: inputs and how each becomes numbers, outputs, engine, provenance, and
// golden rows with the answers that a loader must repeat. Written as manifest.json into the artifact.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "model/tensor.hpp"
#include "table/value.hpp"

namespace millrace::model {

enum class TaskType { binary, multiclass, regression };
std::string_view task_name(TaskType task);
Result<TaskType> parse_task(std::string_view name);  // invalid_argument `model.bad_task`

// How a column becomes features (float32; NaN is missing):
//   number      one feature: the value
//   boolean     one feature: 0 or 1
//   category    one feature: the value's place in `categories`; `categories.size()` is "other"
//   date_parts  year, month, day, weekday (1 = Monday ... 7); for timestamps also hour, all in UTC
enum class Encoding { number, boolean, category, date_parts };
std::string_view encoding_name(Encoding encoding);
Result<Encoding> parse_encoding(std::string_view name);  // invalid_argument `model.bad_encoding`

// A category that the table does not hold.
enum class UnseenRule { other, as_missing };

struct Input {
  std::string name;
  table::Type type = table::Type::float64;
  Encoding encoding = Encoding::number;
  std::vector<std::string> categories;  // sorted by bytes, no doubles; empty unless encoding is category
  UnseenRule unseen = UnseenRule::other;
  // A request row without this column is refused. A column that is there and null is missing, never an error: the
  // engine sends it the way it learned, or takes `fill`.
  bool required = false;
  std::optional<double>
      fill;  // the feature of a missing value, for engines that take no NaN; of a category, a code like -1
  bool operator==(const Input&) const = default;
};

int feature_count(const Input& input);
int feature_count(const std::vector<Input>& inputs);
// "age"; for date parts "signup.year", ...
std::vector<std::string> feature_names(const std::vector<Input>& inputs);

struct EngineInfo {
  std::string name;     // xgboost | constant | onnx
  std::string version;  // of the library that trained it: "3.3.0"
  std::string build;    // compiler and switches, as the library says; "" when it does not
  std::string file;     // its file in the artifact: "model.ubj"
  std::string digest;   // SHA-256 of that file, 64 hex digits
  std::uint64_t bytes = 0;
  bool operator==(const EngineInfo&) const = default;
};

// Inputs of the training that, all equal, give the same artifact. Digests are 64 hex digits or empty.
struct Provenance {
  std::string trainer;                            // boosted-trees | baseline | command
  std::map<std::string, std::string> parameters;  // resolved: defaults included
  std::uint64_t seed = 0;
  int nthread = 1;
  std::string data;     // of the dataset version
  std::string project;  // of the resolved project file
  std::string code;     // of the files that the trainer's command names, or the build
  std::string created;  // RFC 3339; of the run's first start, handed in, so that a rebuild repeats it
  bool quick = false;   // trained on a sample: can't pass a gate
  bool operator==(const Provenance&) const = default;
};

struct Importance {
  std::string feature;
  double gain = 0;  // share of the total gain, sums to 1
  bool operator==(const Importance&) const = default;
};

// What came out. Nothing that differs between two runs of the same training: no times, no memory.
struct TrainingFacts {
  std::int64_t rows = 0;             // learned from
  std::int64_t validation_rows = 0;  // early stopping looked at these
  std::int64_t unlabelled_rows = 0;  // left out: no target
  int rounds = 0;                    // kept in the model
  int rounds_run = 0;
  std::string metric;  // of early stopping: logloss, mlogloss, rmse
  std::optional<double> validation_score;
  std::vector<std::int64_t> class_rows;  // by class, of the rows learned from
  std::vector<Importance> importance;    // largest first, at most 100
  bool operator==(const TrainingFacts&) const = default;
};

// Made up (see golden.hpp), never copied from data.
struct GoldenRow {
  std::vector<std::optional<std::string>>
      inputs;                  // in the order of Manifest::inputs, as table::to_text; absent is null
  std::vector<float> outputs;  // the engine's, one per output
  bool operator==(const GoldenRow&) const = default;
};

struct Manifest {
  static constexpr int kFormat = 1;
  int format = kFormat;
  std::string name;
  TaskType task = TaskType::binary;
  std::string target;
  table::Type target_type = table::Type::text;
  std::vector<std::string>
      classes;             // in the order of the engine's outputs, as table::to_text; binary: {negative, positive}
  std::string positive;    // binary only: classes[1]
  double threshold = 0.5;  // binary only: positive when its probability is at least this
  std::vector<Input> inputs;
  std::string key;                   // the column that names an entity in requests; may be empty
  std::vector<std::string> ignored;  // columns of the data that are no inputs: a request may carry them
  EngineInfo engine;
  Provenance provenance;
  TrainingFacts facts;
  std::vector<GoldenRow> golden;
  // Golden outputs must be equal bit by bit where the engine's version and build are those that trained it; elsewhere
  // within this much, absolute or relative to the expected output, whichever is larger.
  double golden_tolerance = 1e-4;
  // Of a file that came without a manifest (bare.hpp; never written): above 0, and then answers are the engine's own
  // outputs, so many floats a row. The task is `regression` and there are no classes.
  int bare_outputs = 0;
  // Of a file that came without a manifest and takes tensors of its own (bare_onnx.hpp; never written). `inputs` are
  // then the columns of the rows that it takes besides (tensor_rows.hpp), or none.
  TensorSignature tensors;
  bool takes_tensors() const { return !tensors.outputs.empty(); }
  bool operator==(const Manifest&) const = default;
};

// Columns a request row may carry, in order.
table::Schema input_schema(const Manifest& manifest);
// What the engine gives per row: 1, or one per class for multiclass.
int output_count(const Manifest& manifest);

// The same value gives the same text.
std::string render_manifest(const Manifest& manifest);
// Reads and checks the whole: names unique and not empty, tables sorted, class count fits the task, golden rows of the
// right width. invalid_argument `model.bad_artifact` for anything wrong; failed_precondition `model.newer_format`.
Result<Manifest> parse_manifest(std::string_view text);
// The checks alone.
Result<void> check_manifest(const Manifest& manifest);

}  // namespace millrace::model
