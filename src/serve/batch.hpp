// Requests of one version that wait for it, computed together: while it is busy others come, and one of them computes
// for all. Nobody waits for somebody to come: who finds nothing under way is computed at once.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>

#include "base/clock.hpp"
#include "serve/policy.hpp"

namespace millrace::serve {

struct WaitingRows {
  std::size_t rows = 1;
  SteadyPoint came{};
};
// How many of those that wait, from the first on, are to be computed now; 0: none yet.
struct NextBatch {
  std::size_t requests = 0;
  std::optional<SteadyPoint> look_again;  // with 0: when that changes by itself
};
// `running` computations are under way, of `running_max`. None under way: as many as may be together, at once. Else,
// when rows_max or a preferred size has come together, or the first has waited delay_max. Pure.
NextBatch next_batch(std::span<const WaitingRows> waiting, std::size_t running, std::size_t running_max,
                     const BatchPolicy& policy, SteadyPoint now);

// Upper bounds of the histogram's buckets; one without bound follows.
inline constexpr std::array<std::size_t, 11> kBatchBounds = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};
struct BatchCounts {
  std::array<std::uint64_t, kBatchBounds.size() + 1> buckets{};  // computations, by their rows; not cumulative
  std::uint64_t rows = 0;
};
// Thread-safe.
class BatchHistogram {
 public:
  void add(std::size_t rows);
  BatchCounts counts() const;

 private:
  std::array<std::atomic<std::uint64_t>, kBatchBounds.size() + 1> buckets_{};
  std::atomic<std::uint64_t> rows_{0};
};

// Of one version. Thread-safe.
class Batcher {
 public:
  // A request, on the stack of the thread that waits for it.
  struct Part {
    std::size_t rows = 1;
    std::string_view kind;  // only those of one kind are computed together
    bool may_wait = true;   // false: on an event loop, so it is computed at once and by itself, whatever is under way
    // Filled by run():
    std::size_t together = 1;  // requests of the computation that answered it
    std::size_t rows_together = 1;
    bool joined = false;  // it was not the first of them
    SteadyPoint began{};  // when that computation began

   private:
    friend class Batcher;
    enum class State { waits, taken, done } state = State::waits;
    SteadyPoint came{};
    std::condition_variable changed;
  };
  using Compute = std::function<void(std::span<Part* const>)>;

  // Returns when `part` is computed: by `compute` on this thread, or by that of another part of its kind. `compute`
  // gets all that it computes, in the order in which they came; it must not throw.
  void run(Part& part, const BatchPolicy& policy, std::size_t running_max, Clock& clock, const Compute& compute);
  std::size_t waiting() const;
  bool busy() const { return busy_.load(std::memory_order_relaxed); }

  // Whether what is computed together is the same as alone: nobody knows before the first time that it is done.
  enum class Proof { none, same, differs };
  Proof proof() const { return proof_.load(std::memory_order_relaxed); }
  void proven(Proof proof) { proof_.store(proof, std::memory_order_relaxed); }

 private:
  void compute(std::unique_lock<std::mutex>& lock, std::span<Part* const> parts, const Part& mine, Clock& clock,
               const Compute& compute);
  mutable std::mutex mutex_;
  std::deque<Part*> waiting_;
  std::size_t running_ = 0;
  std::atomic<bool> busy_ = false;
  std::atomic<Proof> proof_ = Proof::none;
};

}  // namespace millrace::serve
