// Gradient-boosted trees by XGBoost. Three things make it repeatable, also when it is killed and taken up again
// (measured, see docs/adr/0003-repeatable-training.md): seed_per_iteration, the recorded thread count, and snapshots
// instead of saved models as checkpoints.
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/clock.hpp"
#include "base/digest.hpp"
#include "model/artifact.hpp"
#include "model/loaded.hpp"
#include "train/checkpoint_internal.hpp"
#include "train/matrices_internal.hpp"
#include "train/parameters_internal.hpp"
#include "train/trainers_internal.hpp"

namespace millrace::train {
namespace {

using model::Booster;
using model::TaskType;

constexpr std::size_t kImportanceMax = 100;

struct Objective {
  const char* name;
  const char* metric;
};
Objective objective_of(TaskType task) {
  switch (task) {
    case TaskType::binary:
      return {"binary:logistic", "logloss"};
    case TaskType::multiclass:
      return {"multi:softprob", "mlogloss"};
    case TaskType::regression:
      return {"reg:squarederror", "rmse"};
  }
  return {"", ""};
}

std::int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
}

// Everything that decides the bytes of the result.
std::string identity_of(const model::Manifest& manifest, const model::XgboostLibrary& library) {
  return sha256(model::render_manifest(manifest) + "\n" + library.version() + "\n" + library.build()).hex();
}

// "[3]\ttrain-logloss:0.51\tvalidation-logloss:0.55": the number after the last colon.
Result<double> last_score(std::string_view text) {
  const auto colon = text.rfind(':');
  double value = 0;
  if (colon != std::string_view::npos) {
    const std::string_view number = text.substr(colon + 1);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (error == std::errc() && std::isfinite(value)) return value;
  }
  return fail(Code::internal, "train.no_score", "the score of a round is no number: \"" + std::string(text) + "\"");
}

// One training, from the matrices on.
class Boosting {
 public:
  Boosting(const TrainInput& input, const Prepared& prepared, BoostingParameters parameters, model::XgboostPtr library,
           Matrices matrices, std::string identity, RunLog& log, Task& task)
      : input_(input),
        prepared_(prepared),
        parameters_(std::move(parameters)),
        library_(std::move(library)),
        matrices_(std::move(matrices)),
        identity_(std::move(identity)),
        log_(log),
        task_(task) {}

  // From the checkpoint if it is this training's, else from the start; returns the round begun at.
  Result<int> begin(std::string_view bytes) {
    std::vector<DMatrixHandle> cached = {matrices_.train.get()};
    if (validates()) cached.push_back(matrices_.validation.get());
    TRY(booster_, Booster::create(library_, cached));
    auto checkpoint = parse_checkpoint(bytes);
    if (checkpoint && checkpoint->identity == identity_) {
      TRY_VOID(library_->check(library_->XGBoosterUnserializeFromBuffer(booster_.get(), checkpoint->snapshot.data(),
                                                                        checkpoint->snapshot.size()),
                               "taking up a checkpoint"));
      state_ = {
          .rounds = checkpoint->rounds, .best_round = checkpoint->best_round, .best_score = checkpoint->best_score};
    }
    TRY_VOID(configure());
    return state_.rounds;
  }

  Result<void> run() {
    SteadyPoint saved_at = task_.env.clock.steady(), began = saved_at;
    int saved_rounds = state_.rounds;
    const int first = state_.rounds;
    while (!finished()) {
      TRY_VOID(check_cancelled(task_));
      TRY_VOID(library_->check(library_->XGBoosterUpdateOneIter(booster_.get(), state_.rounds, matrices_.train.get()),
                               "training a round"));
      ++state_.rounds;
      TRY(const double score, evaluate());
      const SteadyPoint now = task_.env.clock.steady();
      tell(score, state_.rounds - first, std::chrono::duration<double>(now - began).count());
      const bool by_rounds = input_.checkpoint_rounds > 0 && state_.rounds - saved_rounds >= input_.checkpoint_rounds;
      const bool by_time = input_.checkpoint_seconds > 0 &&
                           std::chrono::duration<double>(now - saved_at).count() >= input_.checkpoint_seconds;
      if ((by_rounds || by_time) && !finished()) {
        TRY_VOID(save());
        saved_at = now;
        saved_rounds = state_.rounds;
      }
    }
    return {};
  }

  // The trees to keep: up to the best round where validation rows chose one.
  Result<std::string> finish(model::TrainingFacts& facts) {
    facts.rounds_run = state_.rounds;
    facts.rounds = kept();
    facts.metric = objective_of(prepared_.task).metric;
    if (validates()) facts.validation_score = state_.best_score;
    if (facts.rounds < state_.rounds) {
      BoosterHandle slice = nullptr;
      TRY_VOID(library_->check(library_->XGBoosterSlice(booster_.get(), 0, facts.rounds, 1, &slice),
                               "keeping the best rounds"));
      booster_ = Booster(library_, slice);
    }
    TRY(facts.importance, importance());
    return booster_.save_ubj();
  }

 private:
  struct State {
    int rounds = 0;
    int best_round = -1;
    double best_score = 0;
  };

  bool validates() const { return matrices_.validation.get() != nullptr; }
  int kept() const { return validates() ? state_.best_round + 1 : state_.rounds; }

  bool finished() const {
    if (state_.rounds >= parameters_.rounds) return true;
    return validates() && parameters_.early_stopping_rounds > 0 && state_.best_round >= 0 &&
           state_.rounds - 1 - state_.best_round >= parameters_.early_stopping_rounds;
  }

  Result<void> configure() {
    const Objective objective = objective_of(prepared_.task);
    TRY_VOID(booster_.set("verbosity", "0"));
    TRY_VOID(booster_.set("nthread", std::to_string(input_.nthread)));
    TRY_VOID(booster_.set("device", "cpu"));
    TRY_VOID(booster_.set("tree_method", "hist"));
    TRY_VOID(booster_.set("objective", objective.name));
    TRY_VOID(booster_.set("eval_metric", objective.metric));
    if (prepared_.task == TaskType::multiclass)
      TRY_VOID(booster_.set("num_class", std::to_string(prepared_.classes.size())));
    TRY_VOID(booster_.set("seed", std::to_string(input_.seed % 2'147'483'648u)));  // XGBoost keeps 31 bits
    TRY_VOID(booster_.set("seed_per_iteration", "1"));
    for (const auto& [name, value] : parameters_.engine) TRY_VOID(booster_.set(name, value));
    return {};
  }

  Result<double> evaluate() {
    const char* text = nullptr;
    DMatrixHandle matrix[] = {validates() ? matrices_.validation.get() : matrices_.train.get()};
    const char* names[] = {validates() ? "validation" : "train"};
    TRY_VOID(library_->check(library_->XGBoosterEvalOneIter(booster_.get(), state_.rounds - 1, matrix, names, 1, &text),
                             "scoring a round"));
    TRY(const double score, last_score(text));
    if (state_.best_round < 0 || score < state_.best_score) {
      state_.best_round = state_.rounds - 1;
      state_.best_score = score;
    }
    return score;
  }

  void tell(double score, int rounds, double seconds) {
    const std::string metric =
        std::string(validates() ? "validation." : "train.") + objective_of(prepared_.task).metric;
    const double rows_per_s = seconds > 0 ? static_cast<double>(prepared_.rows) * rounds / seconds : 0;
    log_.metric(metric, state_.rounds, score);
    report(task_, {.phase = "train",
                   .done = static_cast<double>(state_.rounds) / parameters_.rounds,
                   .step = state_.rounds,
                   .metrics = {{metric, score},
                               {"rows_per_s", rows_per_s},
                               {"memory_bytes", static_cast<double>(peak_memory_bytes())}}});
  }

  Result<void> save() {
    bst_ulong length = 0;
    const char* bytes = nullptr;
    TRY_VOID(
        library_->check(library_->XGBoosterSerializeToBuffer(booster_.get(), &length, &bytes), "writing a checkpoint"));
    return log_.checkpoint(render_checkpoint(
        {state_.rounds, state_.best_round, state_.best_score, identity_, std::string(bytes, length)}));
  }

  Result<std::vector<model::Importance>> importance() {
    bst_ulong count = 0, dimensions = 0;
    const char** features = nullptr;
    const bst_ulong* shape = nullptr;
    const float* scores = nullptr;
    TRY_VOID(library_->check(library_->XGBoosterFeatureScore(booster_.get(), R"({"importance_type":"total_gain"})",
                                                             &count, &features, &dimensions, &shape, &scores),
                             "reading the features' gains"));
    const auto names = model::feature_names(prepared_.fitted.inputs);
    std::vector<model::Importance> out;
    double total = 0;
    for (bst_ulong i = 0; i < count; ++i) {
      const std::string_view id = features[i];  // "f12"
      std::size_t feature = names.size();
      std::from_chars(id.data() + 1, id.data() + id.size(), feature);
      if (feature >= names.size() || !(scores[i] > 0)) continue;
      out.push_back({names[feature], scores[i]});
      total += scores[i];
    }
    for (auto& entry : out) entry.gain /= total;
    std::ranges::sort(
        out, [](const auto& a, const auto& b) { return std::tie(b.gain, a.feature) < std::tie(a.gain, b.feature); });
    if (out.size() > kImportanceMax) out.resize(kImportanceMax);
    return out;
  }

  const TrainInput& input_;
  const Prepared& prepared_;
  BoostingParameters parameters_;
  model::XgboostPtr library_;
  Matrices matrices_;
  std::string identity_;
  RunLog& log_;
  Task& task_;
  Booster booster_;
  State state_;
};

class BoostedTrees final : public Trainer {
 public:
  explicit BoostedTrees(const TrainerConfig& config) : config_(config) {}
  std::string_view name() const override { return "boosted-trees"; }
  std::vector<ParameterInfo> parameters() const override { return boosting_parameters(); }

  Result<TrainOutput> train(const TrainInput& input, TrainingData& data, RunLog& log, Task& task,
                            std::string_view checkpoint) override {
    TRY(auto kind, model::parse_task(input.task));
    TRY(auto parameters, resolve_boosting(input.parameters, kind));
    if (input.nthread < 1) return fail(Code::invalid_argument, "train.bad_parameter", "nthread is at least 1");
    TRY(auto library, model::XgboostLibrary::open(config_.libraries.xgboost));
    TRY(auto prepared, prepare(input, data, task));
    balance(parameters, prepared.class_rows);
    model::Manifest manifest = start_manifest(input, prepared, "boosted-trees", parameters.resolved);
    manifest.engine = {.name = "xgboost", .file = "model.ubj"};
    const model::Encoder encoder(prepared.fitted.inputs);
    const int max_bin = std::stoi(parameters.resolved.at("max_bin"));
    TRY(auto matrices, build_matrices(input, prepared, encoder, max_bin, library, data, task));

    Boosting boosting(input, prepared, std::move(parameters), library, std::move(matrices),
                      identity_of(manifest, *library), log, task);
    TRY(const int resumed_at, boosting.begin(checkpoint));
    if (resumed_at > 0) {
      report(task,
             {.phase = "resume", .step = resumed_at, .note = "taken up after round " + std::to_string(resumed_at)});
    }
    TRY_VOID(boosting.run());
    TRY(auto trees, boosting.finish(manifest.facts));
    TrainOutput out{.facts = manifest.facts, .resumed_at = resumed_at};
    TRY(out.artifact,
        model::build_artifact(std::move(manifest), trees, model::make_golden_rows(prepared.fitted, kGoldenSeed),
                              {.libraries = config_.libraries}));
    return out;
  }

 private:
  TrainerConfig config_;
};

}  // namespace

std::unique_ptr<Trainer> make_boosted_trees(const TrainerConfig& config) {
  return std::make_unique<BoostedTrees>(config);
}

}  // namespace millrace::train
