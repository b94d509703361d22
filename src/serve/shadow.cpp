#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/bounded_queue.hpp"
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
  // Between those who answer and a thread that waits behind everybody: without a lock that it could hold meanwhile.
  BoundedQueue<ShadowTask> tasks{kTasks_max};
  std::atomic<std::uint32_t> news{0};  // counts what the thread should look at
  std::atomic<std::size_t> waiting{0}, rows{0};
  std::atomic<bool> started{false}, stopping{false};
  void tell() {
    news.fetch_add(1);
    news.notify_one();
  }
  // What is of others is touched with this one held, while it is not closed.
  std::mutex outside;
  std::condition_variable changed;
  bool ended = false, closed = false;
  Env& env;
  PredictionLog* log;
  LastWords* words;
  IdMaker ids;
};

Shadow::Shadow(Env& env, PredictionLog* log, LastWords* words) : state_(std::make_shared<State>(env, log, words)) {}

Shadow::~Shadow() {
  state_->stopping = true;
  state_->tell();
  while (state_->tasks.try_pop()) {
  }
  std::unique_lock lock(state_->outside);
  if (state_->started) state_->changed.wait_for(lock, shadow_patience, [&] { return state_->ended; });
  state_->closed = true;
}

bool Shadow::has_room(std::size_t rows) const {
  return state_->waiting.load(std::memory_order_relaxed) < kTasks_max &&
         state_->rows.load(std::memory_order_relaxed) + rows <= kRows_max;
}

bool Shadow::offer(ShadowTask task) {
  const auto rows = task.rows.size();
  if (state_->stopping || !has_room(rows)) return false;
  state_->waiting.fetch_add(1, std::memory_order_relaxed);
  state_->rows.fetch_add(rows, std::memory_order_relaxed);
  if (!state_->tasks.try_push(task)) {
    state_->waiting.fetch_sub(1, std::memory_order_relaxed);
    state_->rows.fetch_sub(rows, std::memory_order_relaxed);
    return false;
  }
  if (!state_->started.exchange(true)) std::thread(run, state_).detach();
  state_->tell();
  return true;
}

void Shadow::run(const std::shared_ptr<State>& state) {
  idle_thread_priority();
  for (;;) {
    const auto seen = state->news.load();  // before the look: what comes after it is waited for no more
    if (state->stopping) {
      const std::lock_guard lock(state->outside);
      state->ended = true;
      state->changed.notify_all();
      return;
    }
    if (const auto task = state->tasks.try_pop()) {
      answer(*state, *task);
      state->waiting.fetch_sub(1, std::memory_order_relaxed);
      state->rows.fetch_sub(task->rows.size(), std::memory_order_relaxed);
    } else {
      state->news.wait(seen);
    }
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
