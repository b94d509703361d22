// The half of the predictor that changes what is loaded.
#include <algorithm>
#include <condition_variable>
#include <format>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "base/fault.hpp"
#include "base/log.hpp"
#include "base/memory.hpp"
#include "base/priority.hpp"
#include "base/tracing.hpp"
#include "serve/predictor_internal.hpp"

namespace millrace::serve {

namespace {

// As much as was let go since memory was given back to the machine, before it is done again while requests go on.
constexpr std::uint64_t kTrimBytes = 16u << 20;

// Threads that answer come first for so long; then a load is as important as they are, so that a saturated server swaps
// all the same.
constexpr auto kRaiseAfter = std::chrono::seconds(3);

// What `run` gives, on a thread of the lowest priority. Where the system does not let that be raised in time, `run` is
// called once more here, and the thread is left to `overtaken`.
template <class T>
T give_way(const std::function<T()>& run, std::vector<std::jthread>& overtaken) {
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    int thread = 0;
    std::optional<T> done;
  };
  const auto shared = std::make_shared<Shared>();
  std::jthread aside([shared, run] {
    {
      std::lock_guard lock(shared->mutex);
      shared->thread = this_thread();
    }
    lowest_thread_priority();
    auto done = run();
    std::lock_guard lock(shared->mutex);
    shared->done = std::move(done);
    shared->changed.notify_all();
  });
  std::unique_lock lock(shared->mutex);
  const auto is_done = [&] { return shared->done.has_value(); };
  if (!shared->changed.wait_for(lock, kRaiseAfter, is_done)) {
    if (shared->thread != 0 && raise_thread_priority(shared->thread)) {
      shared->changed.wait(lock, is_done);
    } else {
      lock.unlock();
      auto mine = run();
      constexpr std::size_t overtaken_max = 4;
      if (overtaken.size() >= overtaken_max) overtaken.clear();  // waits for them
      overtaken.push_back(std::move(aside));
      return mine;
    }
  }
  return *std::move(shared->done);
}

}  // namespace

Result<std::shared_ptr<const model::LoadedModel>> BlobVersions::load(const std::string&, const VersionRef& ref,
                                                                     const model::RuntimeOptions& options) {
  TRY(auto artifact, blobs_.read(ref.artifact, bytes_max_));
  return model::LoadedModel::load(artifact, options);
}

Result<std::shared_ptr<const Predictor::Served>> Predictor::load(const std::string& name, const VersionRef& ref,
                                                                 double log_share,
                                                                 std::shared_ptr<VersionStatistics> statistics) {
  auto began = env_.clock.steady();
  const auto began_at = env_.clock.now();
  TRY_VOID(env_.faults.reach("serve.load.before_read"));
  auto options = config_.runtime;
  options.explains = false;  // who asks why loads the version once more
  options.log = &env_.log;
  options.name = std::format("{}:{}", name, ref.number);
  auto proven = versions_.load(name, ref, options);
  if (config_.tracer) {
    config_.tracer->note("load " + name, began_at, env_.clock.now(), {{"millrace.model", options.name}},
                         proven ? Result<void>() : Result<void>(fail(proven.error())));
  }
  if (!proven) return fail(proven.error());
  auto model = *std::move(proven);
  TRY_VOID(env_.faults.reach("serve.load.after_golden"));
  auto served = std::make_shared<Served>();
  served->version = ref.number;
  served->name_and_version = options.name;
  served->statistics = std::move(statistics);
  served->bytes = model->memory_bytes();
  served->model = std::move(model);
  if (log_) served->log_to(*log_, name, log_share);
  if (config_.memory_bytes_max > 0 && served->bytes > config_.memory_bytes_max) {
    return fail(Code::resource_exhausted, "serve.no_room",
                std::format("it takes {} of memory, more than the {} that all models may take",
                            format_size(static_cast<long long>(served->bytes)),
                            format_size(static_cast<long long>(config_.memory_bytes_max))));
  }
  auto took = std::chrono::duration<double, std::milli>(env_.clock.steady() - began).count();
  env_.log.info(
      "model_loaded",
      {{"model", name}, {"version", ref.number}, {"ms", took}, {"own_trees", served->model->runtime().own_trees()}});
  return std::shared_ptr<const Served>(std::move(served));
}

// With mutex_. What leaves is destroyed by the caller, without the lock.
void Predictor::make_room(std::uint64_t bytes, std::vector<std::shared_ptr<const Served>>& left) {
  if (config_.memory_bytes_max == 0) return;
  while (memory_.bytes + bytes > config_.memory_bytes_max) {
    Known* of = nullptr;
    Entry* oldest = nullptr;
    std::int64_t since = 0;
    for (const auto& [name, known] : known_) {
      if (known->pinned) continue;
      const auto used = known->counters->used.load(std::memory_order_relaxed);
      for (const auto& [key, entry] : known->versions) {
        // What takes no traffic was asked for by number at best: it goes first.
        const auto at = key == known->serving ? std::max(used, entry->brought) : entry->brought;
        if (!entry->served || (oldest && at >= since)) continue;
        of = known.get();
        oldest = entry.get();
        since = at;
      }
    }
    if (!oldest) return;  // pinned ones alone are above the bound
    memory_.bytes -= oldest->bytes;
    ++memory_.leaves;
    let_go_bytes_ += oldest->bytes;
    left.push_back(std::move(oldest->served));
    oldest->served = nullptr;
    publish(*of);
  }
}

void Predictor::act_load(Known& known, const VersionRef& ref, std::int64_t key) {
  std::shared_ptr<VersionStatistics> statistics;
  double share = 1;
  bool answers = false;
  {
    std::lock_guard lock(mutex_);
    statistics = known.versions.at(key)->statistics;
    share = known.log_share;
    answers = known.serving.has_value();
  }
  // Without the lock: requests and states() go on.
  const std::function run = [this, name = known.name, ref, share, statistics] {
    return load(name, ref, share, statistics);
  };
  auto served = answers ? give_way(run, known.overtaken) : run();
  std::vector<std::shared_ptr<const Served>> left;
  {
    std::lock_guard lock(mutex_);
    auto& entry = *known.versions.at(key);
    if (served) {
      const bool fresh = !entry.state.loaded;
      entry.state.loaded = true;
      entry.state.failures = 0;
      entry.state.error.clear();
      entry.bytes = (*served)->bytes;
      // Nobody asked for it yet: it takes no room from those that somebody asked for.
      entry.brought = fresh ? 0 : env_.clock.now().time_since_epoch().count();
      make_room(entry.bytes, left);
      entry.served = *std::move(served);
      if (entry.served->log_share != known.log_share) share_log(known, known.log_share);
      memory_.bytes += entry.bytes;
      ++known.loads;
    } else {
      ++entry.state.failures;
      entry.state.retry_at = env_.clock.steady() + load_backoff(entry.state.failures);
      entry.state.error = std::format("{}:{} can't be loaded: {}", known.name, ref.number, served.error().message);
      env_.log.error("model_not_loaded", {{"model", known.name},
                                          {"version", ref.number},
                                          {"reason", served.error().reason},
                                          {"error", served.error().message}});
    }
    publish(known);
  }
}

// The versions in memory get lines of another share from now on. Requests under way finish with the one before.
// With mutex_.
void Predictor::share_log(Known& known, double share) {
  known.log_share = share;
  for (auto& [key, entry] : known.versions) {
    if (!entry->served || !log_) continue;
    auto other = std::make_shared<Served>(*entry->served);
    other->log_to(*log_, known.name, share);
    entry->served = std::move(other);
  }
}

void Predictor::let_go(Known& known, std::int64_t key) {
  std::shared_ptr<const Served> last;  // destroyed without the lock, when the last request has let go of it
  std::lock_guard lock(mutex_);
  const auto at = known.versions.find(key);
  if (at == known.versions.end()) return;
  if (at->second->served) {
    memory_.bytes -= at->second->bytes;
    let_go_bytes_ += at->second->bytes + 1;
  }
  last = std::move(at->second->served);
  known.versions.erase(at);
  publish(known);
}

void Predictor::act(Known& known, const WantedModel& wanted) {
  WantedVersions keys;
  std::map<std::int64_t, VersionRef> refs;
  {
    std::lock_guard lock(mutex_);
    const auto key_of = [&](const VersionRef& ref) {
      for (const auto& [key, entry] : known.versions) {
        if (entry->ref == ref) return refs[key] = ref, key;
      }
      for (const auto& [key, other] : refs) {
        if (other == ref) return key;
      }
      const auto key = ++known.last_key;
      refs[key] = ref;
      return key;
    };
    if (wanted.current) keys.current = key_of(*wanted.current);
    if (wanted.previous) keys.previous = key_of(*wanted.previous);
    if (wanted.release) keys.others.push_back(key_of(wanted.release->candidate));
    for (const auto& other : wanted.others) keys.others.push_back(key_of(other));
    keys.fall_back = wanted.fall_back;
    known.current = keys.current;
    known.previous = keys.previous;
  }
  for (;;) {
    std::vector<VersionState> states;
    {
      std::lock_guard lock(mutex_);
      for (const auto& [key, entry] : known.versions) states.push_back(entry->state);
    }
    auto action = next_swap(states, keys, env_.clock.steady());
    if (!action) return;
    switch (action->kind) {
      case SwapAction::Kind::load: {
        const auto& ref = refs.at(action->version);
        {
          std::lock_guard lock(mutex_);
          auto& entry = known.versions[action->version];
          if (!entry) entry = std::make_shared<Entry>();
          entry->ref = ref;
          entry->state.version = action->version;
        }
        act_load(known, ref, action->version);
        break;
      }
      case SwapAction::Kind::swap: {
        if (auto fault = env_.faults.reach("serve.swap.before"); !fault) return;
        const auto began_at = env_.clock.now();
        std::int64_t number = 0;
        {
          std::lock_guard lock(mutex_);
          for (auto& [key, entry] : known.versions) entry->state.serving = key == action->version;
          known.serving = action->version;
          number = known.versions.at(action->version)->ref.number;
          publish(known);
        }
        env_.log.info("model_swapped", {{"model", known.name}, {"version", number}});
        if (config_.tracer) {
          config_.tracer->note("swap " + known.name, began_at, env_.clock.now(),
                               {{"millrace.model", std::format("{}:{}", known.name, number)}});
        }
        if (auto fault = env_.faults.reach("serve.swap.after"); !fault) return;
        break;
      }
      case SwapAction::Kind::unload: {
        let_go(known, action->version);
        if (auto fault = env_.faults.reach("serve.unload.after"); !fault) return;
        break;
      }
    }
  }
}

void Predictor::compare_inputs(Routed& routed) {
  const auto& candidate = routed.release->candidate.served;
  if (!candidate || !routed.serving || !routed.serving->served) return;
  const auto& now = routed.serving->served->model->manifest();
  const auto& then = candidate->model->manifest();
  for (const auto& input : then.inputs) {
    const auto at = std::ranges::find_if(
        now.inputs, [&](const auto& one) { return one.name == input.name && one.type == input.type; });
    routed.release->inputs.push_back(at == now.inputs.end() ? -1 : static_cast<int>(at - now.inputs.begin()));
  }
  routed.release->same_inputs = model::input_schema(now).fields == model::input_schema(then).fields &&
                                now.key == then.key && now.takes_tensors() == then.takes_tensors();
}

void Predictor::publish(Known& known) {
  auto routed = std::make_shared<Routed>();
  routed->name = known.name;
  routed->counters = known.counters;
  routed->refuse_unlogged = known.refuse_unlogged;
  for (const auto& [key, entry] : known.versions) {
    if (!entry->state.loaded) {
      if (key == known.current || routed->error.empty()) routed->error = entry->state.error;
      continue;
    }
    routed->loaded.push_back({entry->ref.number, entry->served, entry->statistics});
    if (key == known.serving) routed->serving = routed->loaded.back();
    if (known.release && entry->ref == known.release->candidate && key != known.serving)
      routed->release = {known.release->id,    known.release->weight, known.release->shadow, false, {},
                         routed->loaded.back()};
  }
  routed->probation = known.probation && known.current == known.serving;
  routed->fallback = known.fallback;
  routed->batching = known.batching;
  routed->concurrency =
      std::max<std::size_t>(1, known.turns.concurrency > 0 ? known.turns.concurrency : config_.concurrency);
  if (known.fallback.kind == Fallback::Kind::previous && known.previous && known.previous != known.serving) {
    if (const auto at = known.versions.find(*known.previous); at != known.versions.end())
      routed->previous = at->second->served;
  }
  if (known.fallback.kind == Fallback::Kind::constant) make_constant(known, *routed);
  if (routed->release) compare_inputs(*routed);
  put(known.name, std::move(routed));
}

void Predictor::put(std::string_view name, std::shared_ptr<const Routed> routed) {
  auto routing = std::make_shared<Routing>(*routing_.load());
  auto& part = routing->parts[Routing::part_of(name)];
  auto changed = part ? std::make_shared<Routing::Part>(*part) : std::make_shared<Routing::Part>();
  if (routed)
    (*changed)[std::string(name)] = std::move(routed);
  else if (const auto at = changed->find(name); at != changed->end())
    changed->erase(at);
  part = std::move(changed);
  routing_.store(std::move(routing));
}

// With mutex_.
void Predictor::set_turns(Known& known, const TurnPolicy& turns, const BatchPolicy& batching) {
  known.turns = turns;
  known.batching = batching;
  auto bound = turns.concurrency > 0 ? turns.concurrency : config_.concurrency;
  // Those that wait for a computation together wait on the pool; the batcher bounds what is computed.
  if (batching.rows_max > 0 && bound > 0) bound = std::max(bound, config_.batch_waiters);
  known.counters->lane->set(turns.urgency, bound > 0 ? bound : Lane::kUnbounded);
}

// A folder's model is gone with its file.
void Predictor::drop_unnamed(const std::vector<WantedModel>& wanted) {
  std::vector<std::shared_ptr<Known>> gone;  // destroyed without the lock
  {
    std::lock_guard lock(mutex_);
    for (auto at = known_.begin(); at != known_.end();) {
      if (std::ranges::find(wanted, at->first, &WantedModel::name) != wanted.end()) {
        ++at;
        continue;
      }
      for (const auto& [key, entry] : at->second->versions) {
        if (entry->served) memory_.bytes -= entry->bytes;
        let_go_bytes_ += entry->bytes + 1;
      }
      put(at->first, nullptr);
      gone.push_back(std::move(at->second));
      at = known_.erase(at);
    }
  }
  for (const auto& known : gone) env_.log.info("model_let_go", {{"model", known->name}});
}

Result<void> Predictor::reconcile() {
  std::lock_guard one_at_a_time(reconcile_mutex_);
  TRY(auto wanted, wanted_.wanted());
  if (!wanted.empty()) TRY_VOID(env_.faults.reach("serve.wanted.after_read"));
  std::vector<std::pair<std::shared_ptr<Known>, const WantedModel*>> models;
  for (const auto& model : wanted) {
    std::lock_guard lock(mutex_);
    auto& slot = known_[model.name];
    const bool fresh = !slot;
    if (fresh) {
      slot = std::make_shared<Known>();
      slot->name = model.name;
    }
    const bool changed = slot->refuse_unlogged != model.refuse_unlogged || slot->log_share != model.log_share ||
                         slot->release != model.release || slot->probation != model.probation ||
                         slot->fallback != model.fallback;
    slot->fallback = model.fallback;
    if (fresh || slot->turns != model.turns || slot->batching != model.batching) {
      set_turns(*slot, model.turns, model.batching);
      if (!fresh) publish(*slot);
    }
    slot->release = model.release;
    slot->probation = model.probation;
    slot->refuse_unlogged = model.refuse_unlogged;
    if (slot->log_share != model.log_share) share_log(*slot, model.log_share);
    slot->pinned = model.pinned;
    if (fresh || changed) publish(*slot);
    models.emplace_back(slot, &model);
  }
  if (config_.drop_unnamed) drop_unnamed(wanted);
  names_known_ = true;
  // What could not be noted is not begun: the versions that are here go on.
  const auto noted = watch(wanted);
  if (!noted) std::erase_if(models, [](const auto& one) { return one.second->watched && one.first->serving; });
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t at = next++; at < models.size(); at = next++) act(*models[at].first, *models[at].second);
  };
  {
    std::vector<std::jthread> helpers;
    const auto threads = std::min<std::size_t>(models.size(), static_cast<std::size_t>(config_.load_threads));
    for (std::size_t i = 1; i < threads; ++i) {
      helpers.emplace_back([&] {
        lower_thread_priority();
        work();
      });
    }
    work();
  }
  if (config_.last_words && std::ranges::none_of(wanted, [](const auto& one) { return one.watched.has_value(); }))
    TRY_VOID(config_.last_words->clear());
  bool some_answer = false, all_answer = true, all_tried = true;
  for (const auto& [known, model] : models) {
    std::lock_guard lock(mutex_);
    if (known->serving) some_answer = true;
    if (model->current && !known->serving) {
      all_answer = false;
      const auto at = known->current ? known->versions.find(*known->current) : known->versions.end();
      if (at == known->versions.end() || at->second->state.failures == 0) all_tried = false;
    }
  }
  if (let_go_bytes_ > 0) {
    let_go_bytes_ = 0;
    return_free_memory();
  }
  if (some_answer && (all_answer || (config_.ready_with_failures && all_tried))) ready_ = true;
  return noted;
}

// Somebody waits for a version that left memory: the first loads it, the others wait for that.
Result<void> Predictor::bring(std::string_view name, std::optional<std::int64_t> version) {
  std::unique_lock lock(mutex_);
  const auto found = known_.find(name);
  if (found == known_.end()) return {};  // hold() says what is wrong
  const auto known = found->second;
  std::shared_ptr<Entry> entry;
  for (const auto& [key, each] : known->versions) {
    if (version ? each->ref.number == *version : key == known->serving) entry = each;
    if (entry && key == known->serving) break;
  }
  if (!entry || entry->served || !entry->state.loaded) return {};
  if (entry->loading) {
    if (brought_.wait_for(lock, config_.wait_max, [&] { return !entry->loading; })) return {};
    return fail(
        Code::unavailable, "serve.load_waits",
        std::format("{}:{} is being loaded since {}", name, entry->ref.number, format_duration(config_.wait_max)));
  }
  entry->loading = true;
  std::vector<std::shared_ptr<const Served>> left;
  make_room(entry->bytes, left);
  const double share = known->log_share;
  lock.unlock();
  left.clear();
  if (let_go_bytes_ > kTrimBytes) {
    let_go_bytes_ = 0;
    return_free_memory();
  }
  auto served = load(known->name, entry->ref, share, entry->statistics);
  lock.lock();
  entry->loading = false;
  brought_.notify_all();
  if (!served) {
    // It was proven once, so the disk is what is wrong, or the file is another one now. The next request tries again.
    env_.log.error("model_not_brought_back", {{"model", known->name},
                                              {"version", entry->ref.number},
                                              {"reason", served.error().reason},
                                              {"error", served.error().message}});
    return fail(Code::unavailable, "serve.not_brought_back",
                std::format("{}:{} left memory for others and can't be loaded again: {}", name, entry->ref.number,
                            served.error().message));
  }
  const auto here = known_.find(name);
  if (here == known_.end() || here->second != known) return {};  // let go meanwhile
  if (std::ranges::none_of(known->versions, [&](const auto& each) { return each.second == entry; })) return {};
  entry->bytes = (*served)->bytes;
  entry->brought = env_.clock.now().time_since_epoch().count();
  entry->served = *std::move(served);
  if (entry->served->log_share != known->log_share) share_log(*known, known->log_share);
  memory_.bytes += entry->bytes;
  ++memory_.loads;
  ++known->loads;
  publish(*known);
  return {};
}

std::optional<SteadyPoint> Predictor::next_retry() const {
  std::lock_guard lock(mutex_);
  std::optional<SteadyPoint> next;
  for (const auto& [name, known] : known_) {
    for (const auto& [key, entry] : known->versions) {
      const auto& state = entry->state;
      if (!state.loaded && state.failures > 0 && (!next || state.retry_at < *next)) next = state.retry_at;
    }
  }
  return next;
}

std::vector<Predictor::ModelState> Predictor::states() const {
  std::lock_guard lock(mutex_);
  std::vector<ModelState> out;
  for (const auto& [name, known] : known_) {
    ModelState state;
    state.name = name;
    for (const auto& [key, entry] : known->versions) {
      auto version = entry->state;
      version.version = entry->ref.number;
      if (key == known->serving) state.serving = entry->ref.number;
      if (!version.error.empty() && (key == known->current || state.error.empty())) state.error = version.error;
      if (entry->served) state.bytes += entry->bytes;
      state.versions.push_back(std::move(version));
    }
    std::ranges::stable_sort(state.versions, {}, &VersionState::version);
    state.requests = known->counters->requests.load();
    state.rows = known->counters->rows.load();
    state.unseen = known->counters->unseen.load();
    state.not_logged = known->counters->not_logged.load();
    state.not_sampled = known->counters->not_sampled.load();
    state.shadow_dropped = known->counters->shadow_dropped.load();
    state.loads = known->loads;
    out.push_back(std::move(state));
  }
  return out;
}

Predictor::Memory Predictor::memory() const {
  std::lock_guard lock(mutex_);
  Memory out = memory_;
  for (const auto& [name, known] : known_) {
    for (const auto& [key, entry] : known->versions) {
      out.resident += entry->served ? 1 : 0;
      out.on_disk += entry->state.loaded && !entry->served ? 1 : 0;
    }
  }
  return out;
}

}  // namespace millrace::serve
