#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/fault.hpp"
#include "base/log.hpp"
#include "base/priority.hpp"
#include "serve/shadow_internal.hpp"

namespace millrace::serve {

namespace {

// How long the end waits for a candidate that is computing.
constexpr auto shadow_patience = std::chrono::seconds(2);

}  // namespace

struct Shadow::State {
  State(Env& e, PredictionLog* l, LastWords* w) : env(e), log(l), words(w), ids(e.clock, e.rng) {}
  std::mutex mutex;  // the queue; held for moments
  std::condition_variable changed;
  std::deque<ShadowTask> tasks;
  std::atomic<std::size_t> waiting{0}, rows{0};
  bool started = false, stopping = false, ended = false;
  // What is of others is touched with this one held, while it is not closed.
  std::mutex outside;
  bool closed = false;
  Env& env;
  PredictionLog* log;
  LastWords* words;
  IdMaker ids;
};

Shadow::Shadow(Env& env, PredictionLog* log, LastWords* words) : state_(std::make_shared<State>(env, log, words)) {}

Shadow::~Shadow() {
  {
    std::unique_lock lock(state_->mutex);
    state_->stopping = true;
    state_->tasks.clear();
    state_->changed.notify_all();
    if (state_->started) state_->changed.wait_for(lock, shadow_patience, [&] { return state_->ended; });
  }
  std::lock_guard lock(state_->outside);
  state_->closed = true;
}

bool Shadow::has_room(std::size_t rows) const {
  return state_->waiting.load(std::memory_order_relaxed) < kTasks_max &&
         state_->rows.load(std::memory_order_relaxed) + rows <= kRows_max;
}

bool Shadow::offer(ShadowTask task) {
  std::unique_lock lock(state_->mutex, std::try_to_lock);
  if (!lock || state_->stopping || !has_room(task.rows.size())) return false;
  if (!state_->started) {
    state_->started = true;
    std::thread(run, state_).detach();
  }
  state_->waiting.fetch_add(1, std::memory_order_relaxed);
  state_->rows.fetch_add(task.rows.size(), std::memory_order_relaxed);
  state_->tasks.push_back(std::move(task));
  lock.unlock();
  state_->changed.notify_one();
  return true;
}

void Shadow::run(const std::shared_ptr<State>& state) {
  lower_thread_priority();
  for (;;) {
    ShadowTask task;
    {
      std::unique_lock lock(state->mutex);
      state->changed.wait(lock, [&] { return state->stopping || !state->tasks.empty(); });
      if (state->stopping) {
        state->ended = true;
        state->changed.notify_all();
        return;
      }
      task = std::move(state->tasks.front());
      state->tasks.pop_front();
    }
    answer(*state, task);
    state->waiting.fetch_sub(1, std::memory_order_relaxed);
    state->rows.fetch_sub(task.rows.size(), std::memory_order_relaxed);
  }
}

void Shadow::answer(State& state, const ShadowTask& task) {
  const auto compute = [&]() -> Result<std::vector<model::Answer>> {
    TRY_VOID(state.env.faults.reach("serve.answer.candidate"));
    model::EncodeStats stats;
    return task.model->predict(task.rows, stats);
  };
  std::size_t place = 0;
  {
    std::lock_guard lock(state.outside);
    if (state.closed) return;
    if (state.words)
      place = state.words->begins(task.live.front(), state.env.clock.now(), task.version, task.rows.size());
  }
  const auto answers = compute();
  std::lock_guard lock(state.outside);
  if (state.closed) return;
  if (answers && state.words) state.words->answered(place);
  if (!answers) {
    task.statistics->broke();
    return;
  }
  task.statistics->shadowed();
  if (!state.log) return;
  const auto now = state.env.clock.now();
  std::vector<float> scores;
  for (std::size_t i = 0; i < answers->size(); ++i) {
    if (!task.unlogged.empty() && task.unlogged[i]) continue;
    const auto& one = (*answers)[i];
    scores.clear();
    if (one.probabilities.empty()) scores.push_back(static_cast<float>(one.score));
    for (const auto p : one.probabilities) scores.push_back(static_cast<float>(p));
    // A line that finds no room is a shadow's least worry: the live one's is told.
    (void)state.log->append(task.log, state.ids.make(), now, task.keys.empty() ? std::string_view() : task.keys[i],
                            scores, one.decision, task.rows[i], Why::shadow, &task.live[i]);
  }
}

}  // namespace millrace::serve
