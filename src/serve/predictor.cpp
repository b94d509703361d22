#include "serve/predictor.hpp"

#include <algorithm>
#include <format>

#include "base/log.hpp"
#include "serve/answer_internal.hpp"
#include "serve/predictor_internal.hpp"

namespace millrace::serve {

Predictor::Predictor(const Config& config, Env& env, WantedSource& wanted, VersionSource& versions, PredictionLog* log)
    : config_(config),
      env_(env),
      wanted_(wanted),
      versions_(versions),
      log_(log),
      ids_(env.clock, env.rng),
      routing_(std::make_shared<const Routing>()),
      shadow_(std::make_unique<Shadow>(env, log, config.last_words)) {}

Predictor::~Predictor() = default;

bool Predictor::ready() const { return ready_; }

std::shared_ptr<const model::LoadedModel> Predictor::loaded(std::string_view model, std::int64_t version) const {
  auto routing = routing_.load();
  const auto* routed = routing->find(model);
  if (!routed) return nullptr;
  for (const auto& one : routed->loaded) {
    if (one.number == version && one.served) return one.served->model;
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
  for (const auto& one : of_->loaded) out.push_back(one.number);
  std::ranges::sort(out);
  const auto same = std::ranges::unique(out);
  out.erase(same.begin(), same.end());
  return out;
}

std::vector<std::string> Predictor::names() const {
  std::vector<std::string> out;
  const auto routing = routing_.load(std::memory_order_acquire);
  for (const auto& part : routing->parts) {
    if (!part) continue;
    for (const auto& [name, routed] : *part) out.push_back(name);
  }
  std::ranges::sort(out);
  return out;
}

Result<Predictor::Held> Predictor::hold(std::string_view name, std::optional<std::int64_t> version) const {
  auto routing = routing_.load(std::memory_order_acquire);
  const auto* routed = routing->find(name);
  if (!routed && !names_known_) {
    return fail(Code::unavailable, "serve.not_ready", "what is served here is being looked up; try again in a second");
  }
  if (!routed) {
    constexpr std::size_t kShown = 10;
    const auto all = names();
    std::string shown;
    for (std::size_t i = 0; i < std::min(kShown, all.size()); ++i) shown += (i ? ", " : "") + all[i];
    if (all.size() > kShown) shown += std::format(" and {} more", all.size() - kShown);
    return fail(Code::not_found, "serve.no_model",
                std::format("no model '{}' is served here; there is: {}", name, all.empty() ? "none yet" : shown));
  }
  const Routed::Version* found = routed->serving ? &*routed->serving : nullptr;
  if (version && (!found || found->number != *version)) {
    // Of several contents of one number the newest.
    const auto match = std::find_if(routed->loaded.rbegin(), routed->loaded.rend(),
                                    [&](const auto& one) { return one.number == *version; });
    if (match == routed->loaded.rend()) {
      return fail(Code::not_found, "serve.not_loaded",
                  std::format("{}:{} is not in memory; these are: {}", name, *version, loaded_text(*routed)));
    }
    found = &*match;
  }
  if (!found) {
    return fail(Code::unavailable, "serve.not_ready",
                routed->error.empty() ? std::format("model '{}' has no version that serves yet", name) : routed->error);
  }
  if (!found->served) {
    return fail(Code::unavailable, kOnDisk,
                std::format("{}:{} left memory for others and is not back yet", name, found->number));
  }
  const auto* served = found->served.get();
  Held held(std::move(routing), routed, served);
  held.candidate_ = routed->release && routed->release->candidate.number == served->version;
  held.why_ = version ? Why::header : routed->probation ? Why::probation : Why::current;
  return held;
}

std::string Predictor::loaded_text(const Routed& routed) {
  std::string out;
  for (const auto& one : routed.loaded) out += std::format("{}{}", out.empty() ? "" : ", ", one.number);
  return out.empty() ? "none" : out;
}

Result<Predictor::Held> Predictor::hold(std::string_view name, std::optional<std::int64_t> version, bool may_wait) {
  const Predictor& self = *this;
  auto held = self.hold(name, version);
  // It may leave again before it is held, but hardly often.
  for (int tries = 0; may_wait && tries < 3 && !held && held.error().reason == kOnDisk; ++tries) {
    TRY_VOID(bring(name, version));
    held = self.hold(name, version);
  }
  return held;
}

Measure Predictor::measure(const Held& held, const Turn& turn) const {
  auto& counters = *held.of_->counters;
  return {*held.served_->statistics, counters.phases, counters.cost, env_.clock, turn};
}

Result<void> Predictor::admit(const Held& held, const Turn& turn) const {
  if (turn.place && *turn.place) return {};  // it has waited
  auto& counters = *held.of_->counters;
  const auto cost = counters.cost.of(turn.bytes);
  const bool quick =
      cost ? *cost <= kOnLoopMax : turn.bytes <= kOnLoopBytesMax && !held.model().manifest().takes_tensors();
  // While others are computed it may go with the next ones, which is for a thread that may wait.
  const bool joins = batches(held) && held.served_->batcher->busy();
  if (quick && !joins) return {};
  if (turn.place) {
    if (counters.pending.fetch_add(1, std::memory_order_relaxed) >= config_.queue_max) {
      counters.pending.fetch_sub(1, std::memory_order_relaxed);
      counters.overloaded.fetch_add(1, std::memory_order_relaxed);
      return fail(
          Code::unavailable, "serve.overloaded",
          std::format("{} requests wait for '{}' already; try again in a second", config_.queue_max, held.of_->name));
    }
    *turn.place = std::shared_ptr<void>(
        &counters, [kept = held.of_->counters](void*) { kept->pending.fetch_sub(1, std::memory_order_relaxed); });
  }
  if (turn.may_wait) return {};
  if (turn.lane) *turn.lane = counters.lane;
  return fail(Code::unavailable, kOnDisk, "computed on the pool");
}

std::vector<ModelReport> Predictor::statistics() const {
  const auto routing = routing_.load(std::memory_order_acquire);
  std::vector<ModelReport> out;
  for (const auto& part : routing->parts) {
    if (!part) continue;
    for (const auto& [name, model] : *part) {
      const auto& counters = *model->counters;
      ModelReport report{.name = name,
                         .phases = counters.phases.counts(),
                         .pending = counters.pending.load(std::memory_order_relaxed),
                         .overloaded = counters.overloaded.load(std::memory_order_relaxed),
                         .fallbacks = counters.fallbacks.load(std::memory_order_relaxed)};
      report.batching = model->batching.rows_max > 0;
      if (report.batching) report.batches = counters.batches.counts();
      for (const auto& one : model->loaded) report.versions.push_back({one.number, one.statistics->counts()});
      out.push_back(std::move(report));
    }
  }
  std::ranges::sort(out, {}, &ModelReport::name);
  return out;
}

Result<Answered> Predictor::answer(Held& held, const model::ParsedRows& asked, Measure& measure) {
  const auto& of = *held.of_;
  model::EncodeStats stats;
  Answered out;
  measure.infers();
  const auto first = held.first_id_ ? *held.first_id_ : ids_.make();
  std::optional<StoodIn> other;
  if (auto computed = compute(held, asked.rows, first, stats, measure))
    out.answers = *std::move(computed);
  else if ((other = stand_in(held, asked, measure, stats, computed.error())))
    out.answers = std::move(other->answers);
  else
    return fail(std::move(computed).error());
  out.fallback = other.has_value();
  const auto& rows = other && other->rows ? *other->rows : asked;
  const auto& answers = out.answers;

  auto now = env_.clock.now();
  measure.inferred(answers.size(), now);
  out.ids.resize(answers.size());
  std::vector<float> scores;
  std::uint64_t not_kept = 0, not_sampled = 0;
  const bool listed = !answers.empty() && !answers.front().probabilities.empty();
  for (std::size_t i = 0; i < answers.size(); ++i) {
    out.ids[i] = i == 0 ? first : ids_.make();
    if (!log_) continue;
    if (!in_share(out.ids[i], held.served_->log_share)) {
      ++not_sampled;
      out.unlogged.resize(answers.size());
      out.unlogged[i] = true;
      continue;
    }
    scores.clear();
    if (listed) {
      for (auto p : answers[i].probabilities) scores.push_back(static_cast<float>(p));
    } else {
      scores.push_back(static_cast<float>(answers[i].score));
    }
    auto kept = log_->append(held.served_->log, out.ids[i], now, rows.keys.empty() ? std::string_view() : rows.keys[i],
                             scores, answers[i].decision, rows.rows[i], held.why_);
    if (kept) continue;
    if (kept.error().reason == "serve.line_too_long") return fail(std::move(kept).error());
    line_missed(of.name, kept.error());
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
  counters.answered(answers.size(), now);
  if (not_kept) counters.not_logged.fetch_add(not_kept, std::memory_order_relaxed);
  if (not_sampled) counters.not_sampled.fetch_add(not_sampled, std::memory_order_relaxed);
  if (stats.unseen) counters.unseen.fetch_add(stats.unseen, std::memory_order_relaxed);
  if (of.release && of.release->shadow && !held.candidate_) cast_shadow(held, rows, out);
  return out;
}

Result<std::string> Predictor::predict(const PredictRequest& request, Problem* problem) {
  TRY(auto held, request.version ? hold(request.model, request.version, request.turn.may_wait)
                                 : hold(request.model, request.choice, request.turn.may_wait));
  TRY_VOID(admit(held, request.turn));
  if (held.model().manifest().takes_tensors()) return predict_tensors(held, request, problem);
  auto measured = measure(held, request.turn);
  TRY(const auto rows, this->rows(held, measured, [&](const model::LoadedModel& model) {
    return request.format == RowFormat::csv ? model.parser().parse_csv(request.body, {}, problem)
                                            : model.parser().parse_json(request.body, {}, problem);
  }));
  TRY(auto answered, answer(held, rows, measured));
  auto took_ms = std::chrono::duration<double, std::milli>(env_.clock.steady() - measured.came()).count();
  auto text = render_answer(held.model().manifest(), answered.answers, answered.ids, answered.unlogged, rows.single,
                            held.name_and_version(), took_ms, answered.fallback);
  if (answered.fallback && request.fell_back_to) *request.fell_back_to = held.version();
  measured.succeeded();
  return text;
}

}  // namespace millrace::serve
