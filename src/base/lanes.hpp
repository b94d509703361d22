// A few named threads shared by kinds of work. Each kind has a lane: a bound of its own on how much of it runs at once,
// and an urgency that says who is next. As in pool.hpp the queue before them is bounded, and says no when it is full.
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.hpp"
#include "base/pool.hpp"
#include "base/result.hpp"

namespace millrace {

enum class Urgency { high, normal, low };

// How long work of an urgency gives way to what is more urgent and came later; so nothing waits for ever.
Duration gives_way(Urgency urgency);

// What one lane has waiting.
struct LaneState {
  Urgency urgency = Urgency::normal;
  SteadyPoint came{};  // of its first piece
  std::size_t running = 0;
  std::size_t running_max = 0;
};
// Whose first piece is next; nullopt: no lane may begin one. Pure.
std::optional<std::size_t> next_lane(std::span<const LaneState> lanes);

// Outlived by nothing that waits in it: a pool keeps its lanes while they have work. Of one pool. Thread-safe.
class Lane {
 public:
  static constexpr std::size_t kUnbounded = static_cast<std::size_t>(-1);
  void set(Urgency urgency, std::size_t running_max) {
    urgency_.store(urgency, std::memory_order_relaxed);
    running_max_.store(running_max, std::memory_order_relaxed);
  }

 private:
  friend class LanePool;
  struct Piece {
    SteadyPoint came;
    std::move_only_function<void()> work;
  };
  std::atomic<Urgency> urgency_{Urgency::normal};
  std::atomic<std::size_t> running_max_{kUnbounded};
  std::deque<Piece> queue_;  // guarded by the pool, as is the next
  std::size_t running_ = 0;
};

// Thread-safe.
class LanePool {
 public:
  explicit LanePool(const PoolConfig& config);
  ~LanePool();  // drops what still waits, then waits for what runs
  LanePool(const LanePool&) = delete;
  LanePool& operator=(const LanePool&) = delete;

  // Runs `work` when its turn comes; within a lane in the order of submit(). `lane` null: work without a bound, of
  // normal urgency. `came`: since when it waits. Errors as Pool::submit().
  Result<void> submit(std::shared_ptr<Lane> lane, SteadyPoint came, std::move_only_function<void()> work);
  bool drain(Duration patience);  // as Pool::drain()
  PoolStats stats() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace
