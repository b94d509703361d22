#include "serve/predictor.hpp"

#include <algorithm>
#include <format>

#include "base/fault.hpp"
#include "base/log.hpp"
#include "base/memory.hpp"
#include "serve/answer_internal.hpp"

namespace millrace::serve {

struct Predictor::Served {
  std::int64_t version = 0;
  std::string name_and_version;
  std::shared_ptr<const model::LoadedModel> model;
  PredictionLog::Handle log;
  double log_share = 1;

  // Of a share of its rows: the lines of requests that begin from now on.
  void log_to(PredictionLog& to, const std::string& name, double share) {
    const auto& manifest = model->manifest();
    log = to.schema({name, version, model::input_schema(manifest).fields, manifest.classes, share});
    log_share = share;
  }
};

// Counters live as long as the Predictor, so that requests can add to them without a lock.
struct Counters {
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> rows{0};
  std::atomic<std::uint64_t> unseen{0};
  std::atomic<std::uint64_t> not_logged{0};
  std::atomic<std::uint64_t> not_sampled{0};
};

struct Predictor::Known {
  std::string name;
  std::map<std::int64_t, VersionState> states;
  std::map<std::int64_t, std::shared_ptr<const Served>> loaded;
  std::optional<std::int64_t> serving;
  bool refuse_unlogged = false;
  double log_share = 1;
  std::string error;
  Counters counters;
};

struct Predictor::Routed {
  std::shared_ptr<const Served> serving;
  std::vector<std::shared_ptr<const Served>> loaded;
  bool refuse_unlogged = false;
  Counters* counters = nullptr;
};
struct Predictor::Routing {
  std::map<std::string, Routed, std::less<>> models;
};

Predictor::Predictor(const Config& config, Env& env, WantedSource& wanted, blob::Store& blobs, PredictionLog& log)
    : config_(config),
      env_(env),
      wanted_(wanted),
      blobs_(blobs),
      log_(log),
      ids_(env.clock, env.rng),
      routing_(std::make_shared<const Routing>()) {}

Predictor::~Predictor() = default;

Result<std::shared_ptr<const Predictor::Served>> Predictor::load(const std::string& name, const VersionRef& ref,
                                                                 double log_share) {
  auto began = env_.clock.steady();
  TRY_VOID(env_.faults.reach("serve.load.before_read"));
  TRY(auto artifact, blobs_.read(ref.artifact, config_.artifact_bytes_max));
  auto options = config_.runtime;
  options.explains = false;  // who asks why loads the version once more
  options.log = &env_.log;
  options.name = std::format("{}:{}", name, ref.number);
  TRY(auto model, model::LoadedModel::load(artifact, options));
  TRY_VOID(env_.faults.reach("serve.load.after_golden"));
  auto served = std::make_shared<Served>();
  served->version = ref.number;
  served->name_and_version = options.name;
  served->model = std::move(model);
  served->log_to(log_, name, log_share);
  auto took = std::chrono::duration<double, std::milli>(env_.clock.steady() - began).count();
  env_.log.info(
      "model_loaded",
      {{"model", name}, {"version", ref.number}, {"ms", took}, {"own_trees", served->model->runtime().own_trees()}});
  return std::shared_ptr<const Served>(std::move(served));
}

void Predictor::act(Known& known, const WantedModel& wanted) {
  WantedVersions numbers;
  if (wanted.current) numbers.current = wanted.current->number;
  if (wanted.previous) numbers.previous = wanted.previous->number;
  for (;;) {
    std::vector<VersionState> states;
    {
      std::lock_guard lock(mutex_);
      for (const auto& [number, state] : known.states) states.push_back(state);
    }
    auto action = next_swap(states, numbers, env_.clock.steady());
    if (!action) return;
    VersionState* state = nullptr;
    {
      std::lock_guard lock(mutex_);
      state = &known.states[action->version];
      state->version = action->version;
    }
    switch (action->kind) {
      case SwapAction::Kind::load: {
        const auto& ref =
            wanted.current && wanted.current->number == action->version ? *wanted.current : *wanted.previous;
        auto served = load(known.name, ref, known.log_share);  // without the lock: requests and states() go on
        std::lock_guard lock(mutex_);
        if (served) {
          state->loaded = true;
          state->failures = 0;
          known.loaded[action->version] = *std::move(served);
          known.error.clear();
        } else {
          ++state->failures;
          state->retry_at = env_.clock.steady() + load_backoff(state->failures);
          known.error = std::format("{}:{} can't be loaded: {}", known.name, action->version, served.error().message);
          env_.log.error("model_not_loaded", {{"model", known.name},
                                              {"version", action->version},
                                              {"reason", served.error().reason},
                                              {"error", served.error().message}});
        }
        break;
      }
      case SwapAction::Kind::swap: {
        if (auto fault = env_.faults.reach("serve.swap.before"); !fault) return;
        {
          std::lock_guard lock(mutex_);
          for (auto& [number, other] : known.states) other.serving = number == action->version;
          known.serving = action->version;
        }
        publish();
        env_.log.info("model_swapped", {{"model", known.name}, {"version", action->version}});
        if (auto fault = env_.faults.reach("serve.swap.after"); !fault) return;
        break;
      }
      case SwapAction::Kind::unload: {
        std::shared_ptr<const Served> last;  // destroyed without the lock, when the last request has let go of it
        {
          std::lock_guard lock(mutex_);
          if (auto at = known.loaded.find(action->version); at != known.loaded.end()) {
            last = std::move(at->second);
            known.loaded.erase(at);
          }
          known.states.erase(action->version);
        }
        publish();
        last.reset();
        return_free_memory();
        if (auto fault = env_.faults.reach("serve.unload.after"); !fault) return;
        break;
      }
    }
  }
}

// The versions in memory get lines of another share from now on. Requests under way finish with the one before.
void Predictor::share_log(Known& known, double share) {
  std::lock_guard lock(mutex_);
  known.log_share = share;
  for (auto& [number, served] : known.loaded) {
    auto other = std::make_shared<Served>(*served);
    other->log_to(log_, known.name, share);
    served = std::move(other);
  }
}

void Predictor::publish() {
  auto routing = std::make_shared<Routing>();
  std::lock_guard lock(mutex_);
  for (const auto& [name, known] : known_) {
    auto& model = routing->models[name];
    model.counters = &known->counters;
    model.refuse_unlogged = known->refuse_unlogged;
    for (const auto& [number, served] : known->loaded) {
      model.loaded.push_back(served);
      if (number == known->serving) model.serving = served;
    }
  }
  routing_.store(std::move(routing));
}

Result<void> Predictor::reconcile() {
  std::lock_guard one_at_a_time(reconcile_mutex_);
  TRY(auto wanted, wanted_.wanted());
  if (!wanted.empty()) TRY_VOID(env_.faults.reach("serve.wanted.after_read"));
  bool some_answer = false, all_answer = true;
  for (const auto& model : wanted) {
    Known* known = nullptr;
    {
      std::lock_guard lock(mutex_);
      auto& slot = known_[model.name];
      if (!slot) {
        slot = std::make_unique<Known>();
        slot->name = model.name;
      }
      known = slot.get();
      known->refuse_unlogged = model.refuse_unlogged;
    }
    if (known->log_share != model.log_share) share_log(*known, model.log_share);
    act(*known, model);
    std::lock_guard lock(mutex_);
    if (known->serving) some_answer = true;
    if (model.current && !known->serving) all_answer = false;
  }
  publish();
  if (some_answer && all_answer) ready_ = true;
  return {};
}

std::optional<SteadyPoint> Predictor::next_retry() const {
  std::lock_guard lock(mutex_);
  std::optional<SteadyPoint> next;
  for (const auto& [name, known] : known_) {
    for (const auto& [number, state] : known->states) {
      if (!state.loaded && state.failures > 0 && (!next || state.retry_at < *next)) next = state.retry_at;
    }
  }
  return next;
}

bool Predictor::ready() const { return ready_; }

std::vector<Predictor::ModelState> Predictor::states() const {
  std::lock_guard lock(mutex_);
  std::vector<ModelState> out;
  for (const auto& [name, known] : known_) {
    ModelState state;
    state.name = name;
    state.serving = known->serving;
    for (const auto& [number, version] : known->states) state.versions.push_back(version);
    state.error = known->error;
    state.requests = known->counters.requests.load();
    state.rows = known->counters.rows.load();
    state.unseen = known->counters.unseen.load();
    state.not_logged = known->counters.not_logged.load();
    state.not_sampled = known->counters.not_sampled.load();
    out.push_back(std::move(state));
  }
  return out;
}

std::shared_ptr<const model::LoadedModel> Predictor::loaded(std::string_view model, std::int64_t version) const {
  auto routing = routing_.load();
  auto at = routing->models.find(model);
  if (at == routing->models.end()) return nullptr;
  for (const auto& served : at->second.loaded) {
    if (served->version == version) return served->model;
  }
  return nullptr;
}

std::optional<Predictor::Unlogged> Predictor::unlogged() const {
  std::lock_guard lock(mutex_);
  return unlogged_;
}

// A thousand a second may be missed; the log gets a line at the beginning and one at the end.
void Predictor::line_missed(const std::string& model, const Error& why) {
  std::lock_guard lock(mutex_);
  unlogged_ = {env_.clock.now(), why.message, true};
  if (unlogged_lasts_.exchange(true)) return;
  env_.log.error("predictions_not_logged", {{"model", model}, {"reason", why.reason}, {"error", why.message}});
}

void Predictor::line_kept() {
  std::lock_guard lock(mutex_);
  if (!unlogged_lasts_.exchange(false)) return;
  if (unlogged_) unlogged_->lasts = false;
  env_.log.info("predictions_logged_again", {});
}

const model::LoadedModel& Predictor::Held::model() const { return *served_->model; }
std::int64_t Predictor::Held::version() const { return served_->version; }
const std::string& Predictor::Held::name_and_version() const { return served_->name_and_version; }

std::vector<std::int64_t> Predictor::Held::versions() const {
  std::vector<std::int64_t> out;
  for (const auto& one : of_->second.loaded) out.push_back(one->version);
  return out;
}

std::vector<std::string> Predictor::names() const {
  std::vector<std::string> out;
  for (const auto& [name, model] : routing_.load(std::memory_order_acquire)->models) out.push_back(name);
  return out;
}

Result<Predictor::Held> Predictor::hold(std::string_view name, std::optional<std::int64_t> version) const {
  auto routing = routing_.load(std::memory_order_acquire);
  auto at = routing->models.find(name);
  if (at == routing->models.end()) {
    std::string names;
    for (const auto& [other, model] : routing->models) names += (names.empty() ? "" : ", ") + other;
    return fail(Code::not_found, "serve.no_model",
                std::format("no model '{}' is served here; there is: {}", name, names.empty() ? "none yet" : names));
  }
  const Served* served = at->second.serving.get();
  if (version) {
    auto match = std::find_if(at->second.loaded.begin(), at->second.loaded.end(),
                              [&](const auto& one) { return one->version == *version; });
    if (match == at->second.loaded.end()) {
      return fail(Code::not_found, "serve.not_loaded",
                  std::format("{}:{} is not in memory; only current and previous are", name, *version));
    }
    served = match->get();
  }
  if (!served) {
    return fail(Code::unavailable, "serve.not_ready", std::format("model '{}' has no version that serves yet", name));
  }
  return Held(std::move(routing), &*at, served);
}

Result<Answered> Predictor::answer(const Held& held, const model::ParsedRows& rows) {
  const auto& [name, of] = *held.of_;
  const auto& model = held.model();
  model::EncodeStats stats;
  Answered out;
  TRY(out.answers, model.predict(rows.rows, stats));
  const auto& answers = out.answers;

  auto now = env_.clock.now();
  out.ids.resize(answers.size());
  std::vector<float> scores;
  std::uint64_t not_kept = 0, not_sampled = 0;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    out.ids[i] = ids_.make();
    if (!in_share(out.ids[i], held.served_->log_share)) {
      ++not_sampled;
      out.unlogged.resize(answers.size());
      out.unlogged[i] = true;
      continue;
    }
    scores.clear();
    if (model.manifest().task == model::TaskType::multiclass) {
      for (auto p : answers[i].probabilities) scores.push_back(static_cast<float>(p));
    } else {
      scores.push_back(static_cast<float>(answers[i].score));
    }
    auto kept = log_.append(held.served_->log, out.ids[i], now, rows.keys.empty() ? std::string_view() : rows.keys[i],
                            scores, answers[i].decision, rows.rows[i]);
    if (kept) continue;
    if (kept.error().reason == "serve.line_too_long") return fail(std::move(kept).error());
    line_missed(name, kept.error());
    if (of.refuse_unlogged) {
      return fail(Code::unavailable, "serve.not_logged",
                  std::format("the prediction log can't keep a line ({}), and [serve.log] full = \"refuse\" wants no "
                              "answer without one",
                              kept.error().message));
    }
    ++not_kept;
    out.unlogged.resize(answers.size());
    out.unlogged[i] = true;
  }
  if (not_kept == 0 && not_sampled < answers.size() && unlogged_lasts_.load(std::memory_order_relaxed)) line_kept();
  auto& counters = *of.counters;
  counters.requests.fetch_add(1, std::memory_order_relaxed);
  counters.rows.fetch_add(answers.size(), std::memory_order_relaxed);
  if (not_kept) counters.not_logged.fetch_add(not_kept, std::memory_order_relaxed);
  if (not_sampled) counters.not_sampled.fetch_add(not_sampled, std::memory_order_relaxed);
  if (stats.unseen) counters.unseen.fetch_add(stats.unseen, std::memory_order_relaxed);
  return out;
}

Result<std::string> Predictor::predict(const PredictRequest& request, Problem* problem) {
  auto began = env_.clock.steady();
  TRY(auto held, hold(request.model, request.version));
  const auto& parser = held.model().parser();
  TRY(auto rows, request.format == RowFormat::csv ? parser.parse_csv(request.body, {}, problem)
                                                  : parser.parse_json(request.body, {}, problem));
  TRY(auto answered, answer(held, rows));
  auto took_ms = std::chrono::duration<double, std::milli>(env_.clock.steady() - began).count();
  return render_answer(held.model().manifest(), answered.answers, answered.ids, answered.unlogged, rows.single,
                       held.name_and_version(), took_ms);
}

}  // namespace millrace::serve
