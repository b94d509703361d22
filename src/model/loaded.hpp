// A model in memory, proven: what the predict path, evaluation and batch prediction use.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "model/encoder.hpp"
#include "model/manifest.hpp"
#include "model/rows.hpp"
#include "model/runtime.hpp"

namespace millrace::model {

struct Answer {
  double score = 0;   // binary: probability of the positive class; multiclass: of the decision; regression: the value
  float margin = 0;   // the engine's output behind the score: log-odds, the decision's logit, or the value
  int decision = -1;  // into Manifest::classes; -1 for regression
  std::string label;  // classes[decision]; "" for regression
  // Multiclass: one per class; a bare model's outputs where there are several; else empty (binary: score and 1 -
  // score).
  std::vector<double> probabilities;
  bool operator==(const Answer&) const = default;
};

struct Contribution {
  std::string feature;  // as feature_names()
  std::string value;    // the input, as table::to_text; "" when missing
  float encoded = 0;    // what the engine saw; NaN when missing
  double amount = 0;    // added to the margin
};

struct Explanation {
  Answer answer;
  double bias = 0;  // the margin of an average row
  std::vector<Contribution>
      contributions;  // largest amount first; with the bias they sum to answer.margin (float rounding)
};

// Immutable; any thread may call anything.
class LoadedModel {
 public:
  // Reads and checks the artifact, opens its engine, and answers the golden rows: bit by bit where engine version and
  // build are those of the training, within the manifest's tolerance elsewhere. failed_precondition
  // `model.golden_mismatch` when they differ; else read_artifact's and open_runtime's errors. `artifact` is not kept.
  static Result<std::shared_ptr<const LoadedModel>> load(std::string_view artifact, const RuntimeOptions& options = {});

  const Manifest& manifest() const { return manifest_; }
  const Encoder& encoder() const { return encoder_; }
  const RowParser& parser() const { return parser_; }
  const Runtime& runtime() const { return *runtime_; }
  std::uint64_t artifact_bytes() const { return artifact_bytes_; }
  std::uint64_t memory_bytes() const;  // that it takes, about

  // One answer per row, in order. The three give bit-equal answers for equal rows.
  Result<std::vector<Answer>> predict(const std::vector<table::Row>& rows, EncodeStats& stats) const;
  Result<std::vector<Answer>> predict(const table::Batch& batch,
                                      EncodeStats& stats) const;  // predict_batch.cpp: needs Arrow
  Result<std::vector<Answer>> predict_features(std::span<const float> features, std::size_t rows) const;

  // A row in the order of the inputs. unimplemented `model.no_contributions`.
  Result<Explanation> explain(const table::Row& row) const;

  LoadedModel(Manifest manifest, std::unique_ptr<Runtime> runtime, std::uint64_t artifact_bytes);

 private:
  Answer answer(std::span<const float> outputs) const;

  Manifest manifest_;
  std::unique_ptr<Runtime> runtime_;
  Encoder encoder_;
  RowParser parser_;
  std::uint64_t artifact_bytes_;
};

// Completes a trained model: opens the engine on its file, writes down its version, build and what it answers to
// `golden_rows` (in the order of the inputs), writes the artifact and proves that it loads. Returns the artifact's
// bytes.
Result<std::string> build_artifact(Manifest manifest, std::string_view engine_file,
                                   const std::vector<table::Row>& golden_rows, const RuntimeOptions& options = {});

}  // namespace millrace::model
