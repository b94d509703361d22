#include "base/lanes.hpp"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "base/check.hpp"

namespace millrace {

Duration gives_way(Urgency urgency) {
  switch (urgency) {
    case Urgency::high:
      return Duration::zero();
    case Urgency::normal:
      return std::chrono::milliseconds(100);
    case Urgency::low:
      return std::chrono::milliseconds(500);
  }
  return Duration::zero();
}

std::optional<std::size_t> next_lane(std::span<const LaneState> lanes) {
  std::optional<std::size_t> next;
  const auto due = [&](std::size_t i) { return lanes[i].came + gives_way(lanes[i].urgency); };
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    if (lanes[i].running >= lanes[i].running_max) continue;
    if (!next || due(i) < due(*next)) next = i;
  }
  return next;
}

struct LanePool::State {
  PoolConfig config;
  mutable std::mutex mutex;
  std::condition_variable work_came, work_done;
  std::shared_ptr<Lane> any = std::make_shared<Lane>();
  std::vector<std::shared_ptr<Lane>> waiting;  // lanes that have work
  std::vector<LaneState> seen;                 // of `waiting`, while it is asked who is next
  PoolStats stats;
  bool stopping = false;
  std::vector<std::thread> threads;

  std::optional<std::size_t> next() {
    seen.clear();
    for (const auto& lane : waiting) {
      seen.push_back({lane->urgency_.load(std::memory_order_relaxed), lane->queue_.front().came, lane->running_,
                      lane->running_max_.load(std::memory_order_relaxed)});
    }
    return next_lane(seen);
  }

  void run(std::size_t number) {
    pthread_setname_np(pthread_self(), fmt::format("{}/{}", config.name, number).substr(0, 15).c_str());
    std::unique_lock lock(mutex);
    for (;;) {
      std::optional<std::size_t> at;
      work_came.wait(lock, [&] { return (at = next()) || (stopping && waiting.empty()); });
      if (!at) return;
      auto lane = waiting[*at];
      {
        auto work = std::move(lane->queue_.front().work);
        lane->queue_.pop_front();
        if (lane->queue_.empty()) waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(*at));
        ++lane->running_;
        --stats.queued;
        ++stats.running;
        if (next()) work_came.notify_one();
        lock.unlock();
        work();
      }  // what the work held is gone before it counts as done
      lock.lock();
      --lane->running_;
      --stats.running;
      ++stats.done;
      if (stopping) {
        work_done.notify_all();
        work_came.notify_all();
      }
    }
  }

  bool drop_waiting() {
    std::vector<std::move_only_function<void()>> dropped;
    {
      const std::lock_guard lock(mutex);
      stopping = true;
      for (const auto& lane : waiting) {
        for (auto& piece : lane->queue_) dropped.push_back(std::move(piece.work));
        lane->queue_.clear();
      }
      waiting.clear();
      stats.queued = 0;
    }
    work_came.notify_all();
    return !dropped.empty();
  }
};

LanePool::LanePool(const PoolConfig& config) : state_(std::make_unique<State>()) {
  check(config.threads > 0, "a pool has a thread");
  state_->config = config;
  for (std::size_t i = 0; i < config.threads; ++i) {
    state_->threads.emplace_back([state = state_.get(), i] { state->run(i); });
  }
}

LanePool::~LanePool() {
  state_->drop_waiting();
  for (auto& thread : state_->threads) thread.join();
}

Result<void> LanePool::submit(std::shared_ptr<Lane> lane, SteadyPoint came, std::move_only_function<void()> work) {
  auto& s = *state_;
  if (!lane) lane = s.any;
  {
    const std::lock_guard lock(s.mutex);
    if (s.stopping) {
      ++s.stats.refused;
      return fail(Code::unavailable, "base.pool_stopped", s.config.name + " is shutting down");
    }
    if (s.stats.queued >= s.config.queued_max) {
      ++s.stats.refused;
      return fail(Code::resource_exhausted, "base.pool_full",
                  fmt::format("{} is busy: {} pieces of work wait already; try again in a moment", s.config.name,
                              s.stats.queued));
    }
    lane->queue_.push_back({came, std::move(work)});
    ++s.stats.queued;
    if (lane->queue_.size() == 1) s.waiting.push_back(std::move(lane));
  }
  s.work_came.notify_one();
  return {};
}

bool LanePool::drain(Duration patience) {
  auto& s = *state_;
  std::unique_lock lock(s.mutex);
  s.stopping = true;
  s.work_came.notify_all();
  const bool quiet = s.work_done.wait_for(lock, patience, [&] { return s.waiting.empty() && s.stats.running == 0; });
  lock.unlock();
  return !s.drop_waiting() && quiet;
}

PoolStats LanePool::stats() const {
  const std::lock_guard lock(state_->mutex);
  return state_->stats;
}

}  // namespace millrace
