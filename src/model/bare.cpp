#include "model/bare.hpp"

#include <simdjson.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <set>

#include "base/digest.hpp"
#include "model/bare_internal.hpp"
#include "model/flat_cache.hpp"
#include "model/runtime_internal.hpp"
#include "model/trees_proof_internal.hpp"
#include "model/ubj_reader_internal.hpp"

namespace millrace::model {
namespace {

constexpr std::size_t kFeaturesMax = 100'000;

struct BareFacts {
  std::size_t features = 0;
  std::vector<std::string> names;
};

// {learner: {feature_names: [...], learner_model_param: {num_feature: "30"}}}
class FactsReader {
 public:
  explicit FactsReader(std::string_view file) : reader_(file) {}

  Result<BareFacts> read() {
    const bool whole =
        reader_.object([&](std::string_view key) { return key == "learner" ? learner() : reader_.skip_value(); });
    if (!whole || !reader_.at_end()) {
      return fail(Code::data_loss, "model.bad_engine_file",
                  "it is no whole XGBoost model: it ends or goes wrong at byte " + std::to_string(reader_.at()) +
                      " of " + std::to_string(reader_.at() + reader_.left()));
    }
    const auto [end, error] =
        std::from_chars(num_feature_.data(), num_feature_.data() + num_feature_.size(), facts_.features);
    if (error != std::errc() || end != num_feature_.data() + num_feature_.size() || facts_.features == 0 ||
        facts_.features > kFeaturesMax)
      return fail(Code::data_loss, "model.bad_engine_file", "it does not say how many features it has");
    return std::move(facts_);
  }

 private:
  bool learner() {
    return reader_.object([&](std::string_view key) {
      if (key == "feature_names") {
        return reader_.array([&] {
          std::string_view name;
          if (reader_.marker() != 'S' || !reader_.text(&name) || facts_.names.size() >= kFeaturesMax) return false;
          facts_.names.emplace_back(name);
          return true;
        });
      }
      if (key != "learner_model_param") return reader_.skip_value();
      return reader_.object([&](std::string_view name) {
        if (name != "num_feature") return reader_.skip_value();
        return reader_.marker() == 'S' && reader_.text(&num_feature_);
      });
    });
  }

  UbjReader reader_;
  BareFacts facts_;
  std::string_view num_feature_;
};

// The file's names where there is one for each feature and all differ.
std::vector<Input> inputs_of(const BareFacts& facts) {
  const std::set<std::string_view> distinct(facts.names.begin(), facts.names.end());
  const bool named = facts.names.size() == facts.features && distinct.size() == facts.features &&
                     !distinct.contains("") && !distinct.contains("input-0");
  std::vector<Input> inputs(facts.features);
  for (std::size_t i = 0; i < inputs.size(); ++i) inputs[i].name = named ? facts.names[i] : "f" + std::to_string(i);
  return inputs;
}

// Zeros, nothing at all, small and large numbers of both signs, and gaps: the same every time.
std::vector<float> plain_rows(std::size_t features, std::size_t& rows) {
  constexpr float kValues[] = {0.0f, std::numeric_limits<float>::quiet_NaN(), 1.0f, -1.0f, 0.5f, 100.0f, -1e6f, 1e9f};
  rows = 16;
  std::vector<float> out;
  out.reserve(rows * features);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t i = 0; i < features; ++i) {
      const std::size_t at = row < 8 ? row : (row * 7 + i * 3 + i / 5) % 8;
      out.push_back(kValues[at]);
    }
  }
  return out;
}

Result<void> check_finite(const LoadedModel& model) {
  std::size_t rows = 0;
  const auto features = plain_rows(model.manifest().inputs.size(), rows);
  std::vector<float> outputs;
  TRY_VOID(model.runtime().predict(features, rows, outputs));
  const auto width = static_cast<std::size_t>(output_count(model.manifest()));
  if (outputs.size() != rows * width)
    return fail(Code::data_loss, "model.bad_engine_file", "it gives another number of outputs than it said");
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (std::isfinite(outputs[i])) continue;
    return fail(Code::failed_precondition, "model.not_finite",
                "it answers row " + std::to_string(i / width) + " of the plain test rows with " +
                    std::to_string(outputs[i]) + ", which is no finite number");
  }
  return {};
}

Result<void> check_golden_rows(const LoadedModel& model, const GoldenFile& golden) {
  const auto features = model.manifest().inputs.size();
  const auto width = static_cast<std::size_t>(output_count(model.manifest()));
  std::vector<float> rows;
  for (std::size_t i = 0; i < golden.inputs.size(); ++i) {
    if (golden.inputs[i].size() != features || golden.outputs[i].size() != width) {
      return fail(Code::invalid_argument, "model.bad_golden",
                  "golden row " + std::to_string(i) + " has " + std::to_string(golden.inputs[i].size()) +
                      " inputs and " + std::to_string(golden.outputs[i].size()) + " outputs; the model has " +
                      std::to_string(features) + " and " + std::to_string(width));
    }
    for (const auto& value : golden.inputs[i])
      rows.push_back(value ? to_feature(*value) : std::numeric_limits<float>::quiet_NaN());
  }
  std::vector<float> outputs;
  TRY_VOID(model.runtime().predict(rows, golden.inputs.size(), outputs));
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto expected = golden.outputs[i / width][i % width];
    const auto apart = std::fabs(static_cast<double>(outputs[i]) - expected);
    if (static_cast<float>(expected) == outputs[i] || apart <= golden.tolerance) continue;
    return fail(Code::failed_precondition, "model.golden_mismatch",
                "it answers golden row " + std::to_string(i / width) + " with " + std::to_string(outputs[i]) +
                    " instead of " + std::to_string(expected) + ": it is not served");
  }
  return {};
}

// In the cache: the engine's outputs and features, their names a line each, then the trees.
Digest bare_key(const Digest& file) { return sha256("bare\n" + file.hex()); }

bool uses_cache(const RuntimeOptions& options) { return options.cache && options.own_trees && !options.explains; }

std::unique_ptr<Runtime> from_cache(Manifest& manifest, const Digest& file, const RuntimeOptions& options) {
  if (!uses_cache(options)) return nullptr;
  const auto kept = options.cache->find(bare_key(file));
  if (!kept) return nullptr;
  std::string_view rest = *kept;
  const auto line = [&]() -> std::string_view {
    const auto end = rest.find('\0');
    const auto out = rest.substr(0, end);
    rest.remove_prefix(end == rest.npos ? rest.size() : end + 1);
    return out;
  };
  const auto number = [&] {
    std::size_t value = 0;
    const auto text = line();
    (void)std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  };
  const auto outputs = number(), features = number();
  if (outputs == 0 || features == 0 || features > kFeaturesMax) return nullptr;
  std::vector<Input> inputs(features);
  for (auto& input : inputs) input.name = line();
  auto runtime = runtime_of_flat(rest, features, outputs);
  if (!runtime) return nullptr;
  manifest.inputs = std::move(inputs);
  manifest.bare_outputs = static_cast<int>(outputs);
  manifest.engine.version = runtime->version();
  manifest.engine.build = runtime->build();
  return runtime;
}

void into_cache(const Manifest& manifest, const Runtime& runtime, const Digest& file, const RuntimeOptions& options) {
  if (!uses_cache(options)) return;
  const auto flat = flat_of(runtime);
  if (flat.empty()) return;
  std::string out = std::to_string(manifest.bare_outputs) + '\0' + std::to_string(manifest.inputs.size()) + '\0';
  for (const auto& input : manifest.inputs) {
    if (input.name.find('\0') != std::string::npos) return;
    out += input.name + '\0';
  }
  options.cache->keep(bare_key(file), out + flat);
}

}  // namespace

Result<std::shared_ptr<const LoadedModel>> load_bare(const BareFile& file, const RuntimeOptions& options) {
  if (file.bytes.size() < 2 || file.bytes.front() != '{')
    return fail(Code::data_loss, "model.bad_engine_file", "it is no XGBoost model in UBJSON or JSON");
  const auto digest = sha256(file.bytes);
  Manifest manifest;
  manifest.name = file.name;
  manifest.task = TaskType::regression;
  manifest.target = "predict";
  manifest.target_type = table::Type::float64;
  manifest.engine = {.name = "xgboost",
                     .file = "model.ubj",
                     .digest = digest.hex(),
                     .bytes = static_cast<std::uint64_t>(file.bytes.size())};
  const auto prove = [&](std::unique_ptr<Runtime> runtime) -> Result<std::shared_ptr<const LoadedModel>> {
    auto loaded = std::make_shared<const LoadedModel>(std::move(manifest), std::move(runtime), file.bytes.size());
    TRY_VOID(check_finite(*loaded));
    if (file.golden.empty()) return loaded;
    TRY(const auto golden, parse_golden(file.golden));
    TRY_VOID(check_golden_rows(*loaded, golden));
    return loaded;
  };
  if (auto runtime = from_cache(manifest, digest, options)) return prove(std::move(runtime));
  std::string converted;
  auto ubj = file.bytes;
  if (std::string_view("\" \t\r\n").find(file.bytes[1]) != std::string_view::npos) {
    manifest.engine.file = "model.json";
    // XGBoost takes a document that ends too early for a whole one.
    simdjson::dom::parser parser;
    simdjson::dom::element whole;
    if (const auto error = parser.parse(file.bytes.data(), file.bytes.size()).get(whole)) {
      return fail(Code::data_loss, "model.bad_engine_file",
                  std::string("it is no whole JSON document: ") + simdjson::error_message(error));
    }
    auto text = xgboost_json_to_ubj(file.bytes, options);
    if (!text) return fail(Code::data_loss, "model.bad_engine_file", text.error().message);
    converted = *std::move(text);
    ubj = converted;
  }
  TRY(const auto facts, FactsReader(ubj).read());
  manifest.inputs = inputs_of(facts);
  TRY(auto runtime, open_bare_xgboost(manifest, ubj, options));
  into_cache(manifest, *runtime, digest, options);
  return prove(std::move(runtime));
}

}  // namespace millrace::model
