#include <algorithm>
#include <mutex>

#include "base/digest.hpp"
#include "model/flat_cache.hpp"
#include "model/runtime_internal.hpp"
#include "model/trees_proof_internal.hpp"
#include "model/ubj_internal.hpp"
#include "model/xgboost_library.hpp"

namespace millrace::model {
namespace {

// XGBoost keeps the result of a call in memory of the calling thread for as long as the booster lives; this bounds it.
constexpr std::size_t kRowsPerCall = 16'384;

constexpr const char* kMarginConfig =
    R"({"type":1,"training":false,"iteration_begin":0,"iteration_end":0,"strict_shape":true,"cache_id":0,"missing":NaN})";
constexpr const char* kValueConfig =
    R"({"type":0,"training":false,"iteration_begin":0,"iteration_end":0,"strict_shape":true,"cache_id":0,"missing":NaN})";
constexpr const char* kContributionConfig =
    R"({"type":2,"training":false,"iteration_begin":0,"iteration_end":0,"strict_shape":true})";

Result<Booster> load_booster(const XgboostPtr& library, std::string_view file, int threads) {
  TRY(auto booster, Booster::create(library, {}));
  // Before the trees: loading them would start a thread per processor.
  TRY_VOID(booster.set("nthread", std::to_string(threads)));
  TRY_VOID(booster.set("verbosity", "0"));
  TRY_VOID(library->check(library->XGBoosterLoadModelFromBuffer(booster.get(), file.data(), file.size()),
                          "loading the trees"));
  return booster;
}

// One path for one row and for many: XGBoost's in-place prediction, which reads the caller's floats and changes nothing
// in the booster, so that threads share it without a lock. The one thing it would change, a pending configuration, is
// settled by a first call at opening.
class XgboostRuntime final : public Runtime {
 public:
  XgboostRuntime(XgboostPtr library, Booster booster, std::string file, TaskType task, std::size_t features,
                 std::size_t outputs)
      : library_(std::move(library)),
        booster_(std::move(booster)),
        file_(std::move(file)),
        regression_(task == TaskType::regression),
        features_(features),
        outputs_(outputs) {}

  Result<std::string> save_ubj() const { return booster_.save_ubj(); }

  OutputKind kind() const override { return regression_ ? OutputKind::value : OutputKind::margin; }
  const std::string& version() const override { return library_->version(); }
  const std::string& build() const override { return library_->build(); }
  // The file is kept to explain; its booster was measured to take about as much twice.
  std::uint64_t memory_bytes() const override { return file_.size() * 3; }

  Result<void> predict(std::span<const float> features, std::size_t rows, std::vector<float>& out) const override {
    out.resize(rows * outputs_);
    for (std::size_t row = 0; row < rows; row += kRowsPerCall) {
      const std::size_t count = std::min(kRowsPerCall, rows - row);
      const std::string values = array_interface(features.data() + row * features_, count, features_);
      const bst_ulong* shape = nullptr;
      bst_ulong dimensions = 0;
      const float* result = nullptr;
      TRY_VOID(library_->check(library_->XGBoosterPredictFromDense(booster_.get(), values.c_str(),
                                                                   regression_ ? kValueConfig : kMarginConfig, nullptr,
                                                                   &shape, &dimensions, &result),
                               "predicting"));
      if (dimensions != 2 || shape[0] != count || shape[1] != outputs_) {
        return fail(Code::data_loss, "model.bad_engine_file",
                    "the trees give another number of outputs than the manifest says");
      }
      std::copy_n(result, count * outputs_, out.data() + row * outputs_);
    }
    return {};
  }

  Result<void> contributions(std::span<const float> features, std::size_t rows,
                             std::vector<float>& out) const override {
    // Prediction through a matrix changes the booster's cache: a booster of its own, one caller at a time.
    const std::lock_guard lock(explain_mutex_);
    if (!explainer_.get()) {
      TRY(explainer_, load_booster(library_, file_, 1));
    }
    TRY(auto matrix, Matrix::dense(library_, features.first(rows * features_), rows, 1));
    const bst_ulong* shape = nullptr;
    bst_ulong dimensions = 0;
    const float* result = nullptr;
    TRY_VOID(library_->check(library_->XGBoosterPredictFromDMatrix(explainer_.get(), matrix.get(), kContributionConfig,
                                                                   &shape, &dimensions, &result),
                             "explaining"));
    bst_ulong total = 1;
    for (bst_ulong i = 0; i < dimensions; ++i) total *= shape[i];
    if (total != rows * outputs_ * (features_ + 1)) {
      return fail(Code::internal, "model.engine", "explaining: contributions of an unexpected shape");
    }
    out.assign(result, result + total);
    return {};
  }

 private:
  XgboostPtr library_;
  Booster booster_;
  std::string file_;
  bool regression_;
  std::size_t features_, outputs_;
  mutable std::mutex explain_mutex_;
  mutable Booster explainer_;
};

// The outputs mean what Runtime promises only under some objectives; a model from elsewhere may have any.
bool fits(TaskType task, std::string_view objective) {
  switch (task) {
    case TaskType::binary:
      return objective == "binary:logistic" || objective == "binary:logitraw" || objective == "reg:logistic";
    case TaskType::multiclass:
      return objective == "multi:softprob" || objective == "multi:softmax";
    case TaskType::regression:
      return !objective.starts_with("binary:") && !objective.starts_with("multi:") && !objective.starts_with("rank:") &&
             !objective.starts_with("survival:");
  }
  return false;
}

Result<std::string> objective_of(const XgboostLibrary& library, const Booster& booster) {
  bst_ulong length = 0;
  const char* text = nullptr;
  TRY_VOID(library.check(library.XGBoosterSaveJsonConfig(booster.get(), &length, &text), "reading the objective"));
  return xgboost_objective(std::string_view(text, length));
}

// Floats per row of the prediction.
Result<std::size_t> outputs_of(const XgboostLibrary& library, const Booster& booster, std::size_t features) {
  const std::vector<float> zeros(features);
  const bst_ulong* shape = nullptr;
  bst_ulong dimensions = 0;
  const float* result = nullptr;
  TRY_VOID(
      library.check(library.XGBoosterPredictFromDense(booster.get(), array_interface(zeros.data(), 1, features).c_str(),
                                                      kValueConfig, nullptr, &shape, &dimensions, &result),
                    "predicting"));
  if (dimensions != 2 || shape[0] != 1 || shape[1] < 1 || shape[1] > 65'536)
    return fail(Code::unimplemented, "model.odd_outputs", "its prediction for a row is no row of numbers");
  return static_cast<std::size_t>(shape[1]);
}

}  // namespace

Result<std::unique_ptr<Runtime>> open_bare_xgboost(Manifest& manifest, std::string_view ubj,
                                                   const RuntimeOptions& options) {
  TRY(auto library, XgboostLibrary::open(options.libraries.xgboost));
  manifest.engine.version = library->version();
  manifest.engine.build = library->build();
  const auto features = manifest.inputs.size();
  if (auto whole = check_ubj(ubj, features); !whole) return bad_engine_file(manifest, whole.error().message);
  auto booster = load_booster(library, ubj, options.threads);
  if (!booster) return bad_engine_file(manifest, booster.error().message);
  const auto outputs = outputs_of(*library, *booster, features);
  if (!outputs) return bad_engine_file(manifest, outputs.error().message);
  manifest.bare_outputs = static_cast<int>(*outputs);
  auto runtime = std::make_unique<XgboostRuntime>(library, std::move(*booster), std::string(ubj), TaskType::regression,
                                                  features, *outputs);
  if (!options.own_trees) return runtime;
  auto forest = read_forest(ubj);
  if (forest) {
    if (const auto transform = value_transform(forest->objective)) {
      forest->transform = *transform;
      return with_own_trees(std::move(runtime), *forest, options);
    }
    forest = fail(Code::unimplemented, "model.no_flat_trees", "objective '" + forest->objective + "'");
  }
  return engine_after_all(std::move(runtime), forest.error(), options);
}

Result<std::string> xgboost_json_to_ubj(std::string_view json, const RuntimeOptions& options) {
  TRY(auto library, XgboostLibrary::open(options.libraries.xgboost));
  TRY(const auto booster, load_booster(library, json, options.threads));
  return booster.save_ubj();
}

Result<std::unique_ptr<Runtime>> open_xgboost(const Manifest& manifest, std::string_view file,
                                              const RuntimeOptions& options) {
  const bool cached = options.cache && options.own_trees && !options.explains && !manifest.engine.digest.empty();
  const auto key = sha256(std::string(task_name(manifest.task)) + "\n" + manifest.engine.digest);
  if (cached) {
    if (const auto kept = options.cache->find(key)) {
      if (auto runtime = runtime_of_flat(*kept, static_cast<std::size_t>(feature_count(manifest.inputs)),
                                         static_cast<std::size_t>(output_count(manifest))))
        return runtime;
    }
  }
  const auto keep = [&](std::unique_ptr<Runtime> runtime) {
    if (cached && runtime->own_trees()) options.cache->keep(key, flat_of(*runtime));
    return runtime;
  };
  TRY(auto library, XgboostLibrary::open(options.libraries.xgboost));
  if (file.size() < 2 || file.front() != '{') return bad_engine_file(manifest, "it is no XGBoost model in UBJ or JSON");
  const auto expected = static_cast<std::size_t>(feature_count(manifest.inputs));
  const bool json = std::string_view("\" \t\r\n").find(file[1]) != std::string_view::npos;
  if (auto whole = json ? Result<void>{} : check_ubj(file, expected); !whole)
    return bad_engine_file(manifest, whole.error().message);
  auto booster = load_booster(library, file, options.threads);
  if (!booster) return bad_engine_file(manifest, booster.error().message);
  bst_ulong features = 0;
  TRY_VOID(library->check(library->XGBoosterGetNumFeature(booster->get(), &features), "counting features"));
  if (features != expected) {
    return bad_engine_file(manifest, "it wants " + std::to_string(features) + " features, the manifest's inputs give " +
                                         std::to_string(expected));
  }
  TRY(const auto objective, objective_of(*library, *booster));
  if (!fits(manifest.task, objective)) {
    return bad_engine_file(manifest, "it was trained for '" + objective + "', which does not fit a " +
                                         std::string(task_name(manifest.task)) + " task");
  }
  auto runtime = std::make_unique<XgboostRuntime>(library, std::move(*booster), std::string(file), manifest.task,
                                                  expected, static_cast<std::size_t>(output_count(manifest)));
  const std::vector<float> zeros(expected);
  std::vector<float> out;
  if (auto first = runtime->predict(zeros, 1, out); !first) return bad_engine_file(manifest, first.error().message);
  if (!options.own_trees) return runtime;
  if (!json) return keep(with_own_trees(std::move(runtime), file, options));
  TRY(const auto ubj, runtime->save_ubj());
  return keep(with_own_trees(std::move(runtime), ubj, options));
}

}  // namespace millrace::model
