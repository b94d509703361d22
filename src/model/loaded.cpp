#include "model/loaded.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "model/artifact.hpp"

namespace millrace::model {
namespace {

double sigmoid(double margin) { return 1.0 / (1.0 + std::exp(-margin)); }

std::vector<double> softmax(std::span<const float> margins) {
  const double top = *std::ranges::max_element(margins);
  std::vector<double> out;
  out.reserve(margins.size());
  double sum = 0;
  for (const float margin : margins) {
    out.push_back(std::exp(static_cast<double>(margin) - top));
    sum += out.back();
  }
  for (double& p : out) p /= sum;
  return out;
}

Result<table::Row> golden_values(const Manifest& manifest, const GoldenRow& golden) {
  table::Row row;
  for (std::size_t i = 0; i < golden.inputs.size(); ++i) {
    const table::Type type = manifest.inputs[i].type;
    if (!golden.inputs[i]) {
      row.emplace_back(std::monostate{});
    } else if (type == table::Type::text) {
      row.emplace_back(*golden.inputs[i]);
    } else {
      TRY(auto value, table::from_text(*golden.inputs[i], type));
      row.push_back(std::move(value));
    }
  }
  return row;
}

bool same(float expected, float got, bool exact, double tolerance) {
  if (exact) return std::bit_cast<std::uint32_t>(expected) == std::bit_cast<std::uint32_t>(got);
  const double apart = std::fabs(static_cast<double>(expected) - static_cast<double>(got));
  return apart <= tolerance * std::max(1.0, std::fabs(static_cast<double>(expected)));
}

Result<std::vector<float>> encode(const Encoder& encoder, const std::vector<table::Row>& rows, EncodeStats& stats) {
  std::vector<float> features(rows.size() * static_cast<std::size_t>(encoder.features()));
  float* to = features.data();
  for (const auto& row : rows) {
    TRY_VOID(encoder.encode_row(row, to, stats));
    to += encoder.features();
  }
  return features;
}

Result<void> check_golden(const Manifest& manifest, const Encoder& encoder, const Runtime& runtime) {
  std::vector<table::Row> rows;
  for (const auto& golden : manifest.golden) {
    auto row = golden_values(manifest, golden);
    if (!row) return fail(Code::data_loss, "model.bad_artifact", "a golden row can't be read: " + row.error().message);
    rows.push_back(std::move(*row));
  }
  EncodeStats stats;
  TRY(auto features, encode(encoder, rows, stats));
  std::vector<float> outputs;
  TRY_VOID(runtime.predict(features, rows.size(), outputs));
  const bool exact = runtime.version() == manifest.engine.version && runtime.build() == manifest.engine.build;
  const auto width = static_cast<std::size_t>(output_count(manifest));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t k = 0; k < width; ++k) {
      const float expected = manifest.golden[i].outputs[k], got = outputs[i * width + k];
      if (same(expected, got, exact, manifest.golden_tolerance)) continue;
      return fail(Code::failed_precondition, "model.golden_mismatch",
                  "the loaded model answers golden row " + std::to_string(i) + " with " + std::to_string(got) +
                      " instead of " + std::to_string(expected) + " (engine " + manifest.engine.name + " " +
                      runtime.version() + ", trained with " + manifest.engine.version + "): it is not served");
    }
  }
  return {};
}

}  // namespace

LoadedModel::LoadedModel(Manifest manifest, std::unique_ptr<Runtime> runtime, std::uint64_t artifact_bytes)
    : manifest_(std::move(manifest)),
      runtime_(std::move(runtime)),
      encoder_(manifest_.inputs),
      parser_(manifest_),
      artifact_bytes_(artifact_bytes) {}

Result<std::shared_ptr<const LoadedModel>> LoadedModel::load(std::string_view bytes, const RuntimeOptions& options) {
  TRY(auto artifact, read_artifact(bytes));
  TRY(auto runtime, open_runtime(artifact.manifest, artifact.engine_file, options));
  auto loaded = std::make_shared<const LoadedModel>(std::move(artifact.manifest), std::move(runtime), bytes.size());
  TRY_VOID(check_golden(loaded->manifest(), loaded->encoder(), loaded->runtime()));
  return loaded;
}

// Each input is in the manifest, the encoder and the parser, and has an entry in a map of the last two.
std::uint64_t LoadedModel::memory_bytes() const {
  constexpr std::uint64_t kModel = 4'096, kInput = 3 * sizeof(Input) + 160, kCategory = 160;
  std::uint64_t bytes = kModel + runtime_->memory_bytes();
  for (const auto& input : manifest_.inputs) bytes += kInput + kCategory * input.categories.size();
  return bytes;
}

Answer LoadedModel::answer(std::span<const float> outputs) const {
  Answer answer;
  const bool margins = runtime_->kind() == OutputKind::margin;
  switch (manifest_.task) {
    case TaskType::regression:
      answer.margin = outputs[0];
      answer.score = outputs[0];
      if (outputs.size() > 1) answer.probabilities.assign(outputs.begin(), outputs.end());
      return answer;
    case TaskType::binary:
      answer.margin = outputs[0];
      answer.score = margins ? sigmoid(outputs[0]) : outputs[0];
      answer.decision = answer.score >= manifest_.threshold ? 1 : 0;
      break;
    case TaskType::multiclass:
      answer.probabilities = margins ? softmax(outputs) : std::vector<double>(outputs.begin(), outputs.end());
      answer.decision = static_cast<int>(std::ranges::max_element(outputs) - outputs.begin());  // the first of equals
      answer.margin = outputs[static_cast<std::size_t>(answer.decision)];
      answer.score = answer.probabilities[static_cast<std::size_t>(answer.decision)];
      break;
  }
  answer.label = manifest_.classes[static_cast<std::size_t>(answer.decision)];
  return answer;
}

Result<std::vector<Answer>> LoadedModel::predict_features(std::span<const float> features, std::size_t rows) const {
  std::vector<float> outputs;
  TRY_VOID(runtime_->predict(features, rows, outputs));
  const auto width = static_cast<std::size_t>(output_count(manifest_));
  std::vector<Answer> answers;
  answers.reserve(rows);
  for (std::size_t i = 0; i < rows; ++i) answers.push_back(answer(std::span(outputs).subspan(i * width, width)));
  return answers;
}

Result<std::vector<Answer>> LoadedModel::predict(const std::vector<table::Row>& rows, EncodeStats& stats) const {
  TRY(auto features, encode(encoder_, rows, stats));
  return predict_features(features, rows.size());
}

Result<Explanation> LoadedModel::explain(const table::Row& row) const {
  EncodeStats stats;
  TRY(auto features, encode(encoder_, {row}, stats));
  TRY(auto answers, predict_features(features, 1));
  std::vector<float> amounts;
  TRY_VOID(runtime_->contributions(features, 1, amounts));
  const std::size_t width = features.size() + 1;
  const std::size_t output = manifest_.task == TaskType::multiclass ? static_cast<std::size_t>(answers[0].decision) : 0;
  const auto mine = std::span(amounts).subspan(output * width, width);
  Explanation explanation{.answer = std::move(answers[0]), .bias = mine[width - 1]};
  const auto names = feature_names(manifest_.inputs);
  std::size_t feature = 0;
  for (std::size_t i = 0; i < manifest_.inputs.size(); ++i) {
    for (int k = 0; k < feature_count(manifest_.inputs[i]); ++k, ++feature) {
      explanation.contributions.push_back({names[feature], table::to_text(row[i]), features[feature], mine[feature]});
    }
  }
  std::ranges::stable_sort(explanation.contributions, std::greater<>(),
                           [](const Contribution& c) { return std::fabs(c.amount); });
  return explanation;
}

Result<std::string> build_artifact(Manifest manifest, std::string_view engine_file,
                                   const std::vector<table::Row>& golden_rows, const RuntimeOptions& options) {
  TRY(auto runtime, open_runtime(manifest, engine_file, options));
  manifest.engine.version = runtime->version();
  manifest.engine.build = runtime->build();
  manifest.golden.clear();
  for (const auto& row : golden_rows) {
    GoldenRow golden;
    for (const auto& value : row) {
      golden.inputs.push_back(table::is_null(value) ? std::nullopt : std::optional(table::to_text(value)));
    }
    manifest.golden.push_back(std::move(golden));
  }
  // The answers of what will be read back, not of what was handed in: they go through the same text.
  const Encoder encoder(manifest.inputs);
  std::vector<table::Row> rows;
  for (const auto& golden : manifest.golden) {
    TRY(auto row, golden_values(manifest, golden));
    rows.push_back(std::move(row));
  }
  EncodeStats stats;
  TRY(auto features, encode(encoder, rows, stats));
  std::vector<float> outputs;
  TRY_VOID(runtime->predict(features, rows.size(), outputs));
  const auto width = static_cast<std::size_t>(output_count(manifest));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto mine = std::span(outputs).subspan(i * width, width);
    manifest.golden[i].outputs.assign(mine.begin(), mine.end());
  }
  TRY(auto bytes, write_artifact(std::move(manifest), engine_file));
  TRY_VOID(LoadedModel::load(bytes, options));
  return bytes;
}

}  // namespace millrace::model
