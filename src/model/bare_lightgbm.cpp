#include "model/bare_lightgbm.hpp"

#include <cmath>
#include <cstring>
#include <format>
#include <limits>
#include <set>

#include "base/digest.hpp"
#include "model/bare_internal.hpp"
#include "model/lightgbm_internal.hpp"
#include "model/onnx_proof_internal.hpp"
#include "model/tensor_rows.hpp"

namespace millrace::model {

namespace {

constexpr std::string_view kOutputNames[] = {"predict", "raw_score"};

class LightgbmRuntime final : public Runtime, public TensorModel {
 public:
  LightgbmRuntime(LightgbmModel model, std::string version) : model_(std::move(model)), version_(std::move(version)) {
    signature_.inputs = {
        {.name = "input-0", .datatype = Datatype::fp64, .shape = {-1, static_cast<std::int64_t>(model_.features)}}};
    for (const auto name : kOutputNames) {
      signature_.outputs.push_back({.name = std::string(name),
                                    .datatype = Datatype::fp64,
                                    .shape = {-1, static_cast<std::int64_t>(model_.outputs)},
                                    .optional = name != kOutputNames[0]});
    }
  }

  OutputKind kind() const override { return OutputKind::value; }
  const std::string& version() const override { return version_; }
  const std::string& build() const override { return build_; }
  Result<void> predict(std::span<const float>, std::size_t, std::vector<float>&) const override {
    return fail(Code::failed_precondition, "model.takes_tensors", "this model computes in double: it takes tensors");
  }
  Result<void> contributions(std::span<const float>, std::size_t, std::vector<float>&) const override {
    return fail(Code::unimplemented, "model.no_contributions", "LightGBM's contributions are not computed here");
  }
  bool explains() const override { return false; }
  bool own_trees() const override { return true; }
  std::uint64_t memory_bytes() const override {
    return sizeof *this + model_.nodes.size() * sizeof model_.nodes[0] + model_.leaves.size() * sizeof(double) +
           model_.trees.size() * sizeof model_.trees[0] + model_.sets.size() * sizeof model_.sets[0];
  }
  const TensorModel* tensors() const override { return this; }
  const TensorSignature& signature() const override { return signature_; }

  Result<TensorAnswer> run(std::span<const TensorView> inputs, std::span<const std::size_t> outputs) const override {
    const auto rows = static_cast<std::size_t>(inputs[0].shape[0]);
    struct Room {
      std::vector<double> margins, values;
    };
    auto room = std::make_shared<Room>();
    room->margins.resize(rows * model_.outputs);
    std::vector<double> row(model_.features);
    const auto row_bytes = model_.features * sizeof(double);
    for (std::size_t i = 0; i < rows; ++i) {
      std::memcpy(row.data(), inputs[0].bytes.data() + i * row_bytes, row_bytes);  // it may lie anywhere
      lightgbm_margins(model_, row.data(), room->margins.data() + i * model_.outputs);
    }
    TensorAnswer answer;
    for (const auto output : outputs) {
      auto* values = &room->margins;
      if (output == 0) {
        room->values = room->margins;
        for (std::size_t i = 0; i < rows; ++i)
          lightgbm_transform(model_, std::span(room->values).subspan(i * model_.outputs, model_.outputs));
        values = &room->values;
      }
      answer.outputs.push_back(
          {.shape = {static_cast<std::int64_t>(rows), static_cast<std::int64_t>(model_.outputs)},
           .bytes = {reinterpret_cast<const char*>(values->data()), values->size() * sizeof(double)},
           .texts = {}});
    }
    answer.memory = std::move(room);
    return answer;
  }

 private:
  LightgbmModel model_;
  std::string version_, build_;
  TensorSignature signature_;
};

// Zeros, nothing at all, small and large numbers of both signs, and gaps: the same every time.
Result<void> check_plain_rows(const LightgbmRuntime& model) {
  constexpr double kValues[] = {0, std::numeric_limits<double>::quiet_NaN(), 1, -1, 0.5, 100, -1e6, 1e9};
  constexpr std::size_t kRows = 16;
  const auto features = static_cast<std::size_t>(model.signature().inputs[0].shape[1]);
  std::vector<double> values;
  for (std::size_t row = 0; row < kRows; ++row) {
    for (std::size_t i = 0; i < features; ++i) values.push_back(kValues[row < 8 ? row : (row * 7 + i * 3 + i / 5) % 8]);
  }
  const std::int64_t shape[] = {kRows, static_cast<std::int64_t>(features)};
  const TensorView view{.name = "input-0",
                        .datatype = Datatype::fp64,
                        .shape = shape,
                        .bytes = {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double)},
                        .texts = {}};
  const std::size_t both[] = {0, 1};
  TRY(const auto answer, model.run(std::span(&view, 1), both));
  for (const auto& output : answer.outputs) {
    if (!all_finite(Datatype::fp64, output)) {
      return fail(Code::failed_precondition, "model.not_finite",
                  "it answers the plain test rows with numbers that are not finite");
    }
  }
  return {};
}

// Rows of features and their predictions, as XGBoost's golden files have them.
Result<void> check_golden_rows_of(const LightgbmRuntime& model, const GoldenFile& golden) {
  const auto features = static_cast<std::size_t>(model.signature().inputs[0].shape[1]);
  for (std::size_t i = 0; i < golden.inputs.size(); ++i) {
    std::vector<double> row;
    for (const auto& value : golden.inputs[i]) row.push_back(value ? *value : std::numeric_limits<double>::quiet_NaN());
    const std::int64_t shape[] = {1, static_cast<std::int64_t>(features)};
    const TensorView view{.name = "input-0",
                          .datatype = Datatype::fp64,
                          .shape = shape,
                          .bytes = {reinterpret_cast<const char*>(row.data()), row.size() * sizeof(double)},
                          .texts = {}};
    const auto outputs = static_cast<std::size_t>(model.signature().outputs[0].shape[1]);
    if (row.size() != features || golden.outputs[i].size() != outputs) {
      return fail(Code::invalid_argument, "model.bad_golden",
                  std::format("golden row {} has {} inputs and {} outputs; the model has {} and {}", i, row.size(),
                              golden.outputs[i].size(), features, outputs));
    }
    const std::size_t predict[] = {0};
    TRY(const auto answer, model.run(std::span(&view, 1), predict));
    for (std::size_t k = 0; k < outputs; ++k) {
      double got = 0;
      std::memcpy(&got, answer.outputs[0].bytes.data() + k * sizeof got, sizeof got);
      const double expected = golden.outputs[i][k];
      if (got == expected || std::fabs(got - expected) <= golden.tolerance) continue;
      return fail(Code::failed_precondition, "model.golden_mismatch",
                  std::format("it answers golden row {} with {} instead of {}: it is not served", i, got, expected));
    }
  }
  return {};
}

Result<void> prove_lightgbm(const LightgbmRuntime& model, std::string_view golden) {
  TRY_VOID(check_plain_rows(model));
  if (golden.empty()) return {};
  if (const auto rows = parse_golden(golden)) return check_golden_rows_of(model, *rows);
  return prove_by_golden(model, golden, {});
}

}  // namespace

bool looks_like_lightgbm(std::string_view bytes) {
  return bytes.starts_with("tree\n") || bytes.starts_with("tree\r\n");
}

Result<std::shared_ptr<const LoadedModel>> load_bare_lightgbm(const BareFile& file, const RuntimeOptions&) {
  TRY(auto model, read_lightgbm(file.bytes));
  const auto names = model.names;
  auto runtime = std::make_unique<LightgbmRuntime>(std::move(model), "text");
  TRY_VOID(prove_lightgbm(*runtime, file.golden));
  Manifest manifest;
  manifest.name = file.name;
  manifest.task = TaskType::regression;
  manifest.target = "predict";
  manifest.target_type = table::Type::float64;
  manifest.engine = {.name = "lightgbm",
                     .version = runtime->version(),
                     .file = "model.txt",
                     .digest = sha256(file.bytes).hex(),
                     .bytes = static_cast<std::uint64_t>(file.bytes.size())};
  manifest.tensors = runtime->signature();
  manifest.inputs = row_inputs(manifest.tensors);
  // A row's columns are called as the file calls them, where it gives each a name of its own.
  const std::set<std::string_view> distinct(names.begin(), names.end());
  if (distinct.size() == names.size() && !distinct.contains("") && manifest.inputs.size() == names.size()) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      manifest.inputs[i].name = names[i];
      manifest.inputs[i].required = false;  // a missing one is NaN
    }
  }
  return std::make_shared<const LoadedModel>(std::move(manifest), std::move(runtime), file.bytes.size());
}

}  // namespace millrace::model
