// A queue of fixed size between threads in which nobody waits for anybody: a thread that is put aside in the middle of
// a call delays what it brings, not the others. Vyukov's bounded queue (1024cores.net, "Bounded MPMC queue").
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace millrace {

// First in, first out. T is default-constructible; moving it does not throw. All calls from any thread.
template <class T>
class BoundedQueue {
 public:
  // `size` is a power of two, at least 2.
  explicit BoundedQueue(std::size_t size) : mask_(size - 1), cells_(std::make_unique<Cell[]>(size)) {
    for (std::size_t i = 0; i < size; ++i) cells_[i].turn.store(i, std::memory_order_relaxed);
  }

  // False where it is full; then `value` is as it was.
  bool try_push(T& value) {
    auto at = tail_.load(std::memory_order_relaxed);
    for (;;) {
      auto& cell = cells_[at & mask_];
      const auto turn = cell.turn.load(std::memory_order_acquire);
      if (turn == at) {
        if (!tail_.compare_exchange_weak(at, at + 1, std::memory_order_relaxed)) continue;
        cell.value = std::move(value);
        cell.turn.store(at + 1, std::memory_order_release);
        return true;
      }
      if (static_cast<std::int64_t>(turn - at) < 0) return false;
      at = tail_.load(std::memory_order_relaxed);
    }
  }

  // None where it is empty, or the next one is still being brought.
  std::optional<T> try_pop() {
    auto at = head_.load(std::memory_order_relaxed);
    for (;;) {
      auto& cell = cells_[at & mask_];
      const auto turn = cell.turn.load(std::memory_order_acquire);
      if (turn == at + 1) {
        if (!head_.compare_exchange_weak(at, at + 1, std::memory_order_relaxed)) continue;
        std::optional<T> out(std::exchange(cell.value, T{}));
        cell.turn.store(at + mask_ + 1, std::memory_order_release);
        return out;
      }
      if (static_cast<std::int64_t>(turn - (at + 1)) < 0) return std::nullopt;
      at = head_.load(std::memory_order_relaxed);
    }
  }

 private:
  struct Cell {
    std::atomic<std::uint64_t> turn{0};  // whose it is: n for the n-th push, n + 1 for the n-th pop
    T value{};
  };
  const std::uint64_t mask_;
  const std::unique_ptr<Cell[]> cells_;
  alignas(64) std::atomic<std::uint64_t> tail_{0};
  alignas(64) std::atomic<std::uint64_t> head_{0};
};

}  // namespace millrace
