// When a request is computed, and where: quick ones on the event loop that read them, others on a pool, in a queue of
// their model's that has a bound.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>

#include "base/clock.hpp"
#include "base/lanes.hpp"

namespace millrace::serve {

// What a request has behind it when it comes to its model.
struct Turn {
  bool may_wait = false;            // false: it is on an event loop
  std::size_t bytes = 0;            // of its body
  std::optional<SteadyPoint> came;  // when it was read; absent: now
  // Where its place in the model's queue is kept until it is answered. Null: it has none, and is computed at once.
  std::shared_ptr<void>* place = nullptr;
  std::shared_ptr<Lane>* lane = nullptr;  // gets its model's, where it is to be computed on a pool
};

// What requests of a model cost by their size, about: an average that forgets, of which threads may lose one another's.
// One that took far longer than the others was put aside in the middle, or the model has become slower: it counts for a
// few times the average, so that the one changes little and the other is known after some requests.
class Cost {
 public:
  void add(std::size_t bytes, Duration took) {
    const double each =
        static_cast<double>(std::max<Duration::rep>(1, took.count())) / static_cast<double>(bytes + kHead);
    const double before = us_per_byte_.load(std::memory_order_relaxed);
    const double counts = std::min(each, kTimes_max * before);
    us_per_byte_.store(before < 0 ? each : before + (counts - before) / kForget, std::memory_order_relaxed);
  }
  // nullopt: none is known.
  std::optional<Duration> of(std::size_t bytes) const {
    const double each = us_per_byte_.load(std::memory_order_relaxed);
    if (each < 0) return std::nullopt;
    return Duration(static_cast<Duration::rep>(each * static_cast<double>(bytes + kHead)));
  }

 private:
  static constexpr double kForget = 10;  // about the last ten
  static constexpr double kTimes_max = 3;
  static constexpr std::size_t kHead = 64;  // what even an empty body costs
  std::atomic<double> us_per_byte_{-1};
};

}  // namespace millrace::serve
