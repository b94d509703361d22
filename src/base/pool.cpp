#include "base/pool.hpp"

#include <fmt/format.h>
#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "base/check.hpp"

namespace millrace {

struct Pool::State {
  PoolConfig config;
  mutable std::mutex mutex;
  std::condition_variable work_came, work_done;
  std::deque<std::move_only_function<void()>> queue;
  PoolStats stats;
  bool stopping = false;
  std::vector<std::thread> threads;

  void run(std::size_t number) {
    pthread_setname_np(pthread_self(), fmt::format("{}/{}", config.name, number).substr(0, 15).c_str());
    std::unique_lock lock(mutex);
    for (;;) {
      work_came.wait(lock, [&] { return stopping || !queue.empty(); });
      if (queue.empty()) return;
      {
        auto work = std::move(queue.front());
        queue.pop_front();
        ++stats.running;
        lock.unlock();
        work();
      }  // what the work held is gone before it counts as done
      lock.lock();
      --stats.running;
      ++stats.done;
      if (stopping) work_done.notify_all();
    }
  }

  bool drop_waiting() {
    std::deque<std::move_only_function<void()>> dropped;
    {
      const std::lock_guard lock(mutex);
      stopping = true;
      dropped.swap(queue);
    }
    work_came.notify_all();
    return !dropped.empty();
  }
};

Pool::Pool(const PoolConfig& config) : state_(std::make_unique<State>()) {
  check(config.threads > 0, "a pool has a thread");
  state_->config = config;
  for (std::size_t i = 0; i < config.threads; ++i) {
    state_->threads.emplace_back([state = state_.get(), i] { state->run(i); });
  }
}

Pool::~Pool() {
  state_->drop_waiting();
  for (auto& thread : state_->threads) thread.join();
}

Result<void> Pool::submit(std::move_only_function<void()> work) {
  auto& s = *state_;
  {
    const std::lock_guard lock(s.mutex);
    if (s.stopping) {
      ++s.stats.refused;
      return fail(Code::unavailable, "base.pool_stopped", s.config.name + " is shutting down");
    }
    if (s.queue.size() >= s.config.queued_max) {
      ++s.stats.refused;
      return fail(Code::resource_exhausted, "base.pool_full",
                  fmt::format("{} is busy: {} pieces of work wait already; try again in a moment", s.config.name,
                              s.queue.size()));
    }
    s.queue.push_back(std::move(work));
  }
  s.work_came.notify_one();
  return {};
}

bool Pool::drain(Duration patience) {
  auto& s = *state_;
  std::unique_lock lock(s.mutex);
  s.stopping = true;
  s.work_came.notify_all();
  const bool quiet = s.work_done.wait_for(lock, patience, [&] { return s.queue.empty() && s.stats.running == 0; });
  lock.unlock();
  return !s.drop_waiting() && quiet;
}

PoolStats Pool::stats() const {
  const std::lock_guard lock(state_->mutex);
  auto out = state_->stats;
  out.queued = state_->queue.size();
  return out;
}

}  // namespace millrace
