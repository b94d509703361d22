// How requests to models went: how many, and how long each part of them took. Counted without a lock: a few relaxed
// additions to numbers that the processor at hand has mostly for itself.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "serve/batch.hpp"
#include "serve/turn.hpp"

namespace millrace::serve {

// The parts of a request, from when it has been read to when its answer is written. `input`: reading and checking its
// rows; `infer`: encoding them and asking the model; `output`: the prediction log and the answer's text; `queue`:
// before all of them, waiting for the model.
enum class Phase { input, infer, output, whole, queue };
inline constexpr std::array<const char*, 5> kPhaseNames = {"input", "infer", "output", "whole", "queue"};
inline constexpr std::size_t kPhases = kPhaseNames.size();

// Upper bounds of the histograms' buckets; one without bound follows.
inline constexpr std::array<Duration::rep, 18> kPhaseBounds_us = {
    1, 3, 5, 10, 25, 50, 100, 250, 500, 1'000, 2'500, 5'000, 10'000, 25'000, 50'000, 100'000, 250'000, 1'000'000};

struct PhaseTimes {
  std::array<Duration, kPhases> spent{};  // by Phase
};

namespace detail {
inline constexpr std::size_t kStripes = 4;
std::size_t stripe();  // of the processor that we run on
}  // namespace detail

struct VersionCounts {
  std::uint64_t succeeded = 0, failed = 0;  // requests; a client's mistake is a failure too
  std::uint64_t rows = 0;                   // of those that succeeded
  std::uint64_t joined = 0;                 // of those that succeeded: computed with one that was counted already
  std::uint64_t executions() const { return succeeded - std::min(succeeded, joined); }
  PhaseTimes times;  // of those that succeeded
  Duration failed_time{};
  std::optional<TimePoint> last;  // request that succeeded
  std::uint64_t broke = 0;        // requests that the version itself failed, whoever asked; among `failed` or shadows
  std::uint64_t shadowed = 0;     // requests that it answered for the log alone
};

// Of one loaded version. Thread-safe.
class VersionStatistics {
 public:
  void succeeded(std::size_t rows, const PhaseTimes& times, TimePoint now);
  void failed(Duration took);
  void broke() { broke_.fetch_add(1, std::memory_order_relaxed); }
  void joined() { joined_.fetch_add(1, std::memory_order_relaxed); }
  void shadowed() { shadowed_.fetch_add(1, std::memory_order_relaxed); }
  // Not of one moment: requests go on.
  VersionCounts counts() const;

 private:
  struct alignas(64) Stripe {
    std::atomic<std::uint64_t> succeeded{0}, failed{0}, rows{0};
    std::array<std::atomic<Duration::rep>, kPhases> times{};
    std::atomic<Duration::rep> failed_time{0};
    std::atomic<Duration::rep> last{0};
  };
  std::array<Stripe, detail::kStripes> stripes_;
  std::atomic<std::uint64_t> broke_{0}, shadowed_{0}, joined_{0};
};

struct PhaseCounts {
  std::array<std::array<std::uint64_t, kPhaseBounds_us.size() + 1>, kPhases> buckets{};  // by Phase; not cumulative
  PhaseTimes sums;
};

// Of one model, all its versions together, of requests that succeeded. Thread-safe.
class PhaseHistograms {
 public:
  void add(const PhaseTimes& times);
  PhaseCounts counts() const;

 private:
  struct alignas(64) Stripe {
    std::array<std::array<std::atomic<std::uint64_t>, kPhaseBounds_us.size() + 1>, kPhases> buckets{};
    std::array<std::atomic<Duration::rep>, kPhases> sums{};
  };
  std::array<Stripe, detail::kStripes> stripes_;
};

// One request from now on; reads the clock four times. It counts as failed when it goes without succeeded().
class Measure {
 public:
  // All outlive it.
  Measure(VersionStatistics& version, PhaseHistograms& phases, Cost& cost, Clock& clock, const Turn& turn = {})
      : version_(&version),
        phases_(phases),
        cost_(cost),
        clock_(clock),
        bytes_(turn.bytes),
        may_wait_(turn.may_wait),
        began_(clock.steady()),
        came_(turn.came.value_or(began_)) {}
  Measure(const Measure&) = delete;
  Measure& operator=(const Measure&) = delete;
  ~Measure() {
    if (!counted_) version_->failed(clock_.steady() - came_);
  }

  void of(VersionStatistics& other) { version_ = &other; }  // another version answers it
  // The same after this one failed it, which counts.
  void failed_over(VersionStatistics& other) {
    version_->failed(clock_.steady() - came_);
    version_ = &other;
  }
  void infers() { infers_ = clock_.steady(); }
  void inferred(std::size_t rows, TimePoint now) {
    inferred_ = clock_.steady();
    rows_ = rows;
    now_ = now;
  }
  // It was computed together with others: it had waited for that, and `spare` of the time was for the others.
  void batched(Duration waited, Duration spare, bool joined) {
    waited_ += waited;
    spare_ += spare;
    joined_ = joined_ || joined;
  }
  void succeeded();  // the answer is written
  SteadyPoint came() const { return came_; }
  bool may_wait() const { return may_wait_; }
  // deadline_exceeded `serve.too_late`: it waited for its turn for longer than its client gave it.
  Result<void> check_in_time(std::optional<Duration> timeout) const;

 private:
  VersionStatistics* version_;
  PhaseHistograms& phases_;
  Cost& cost_;
  Clock& clock_;
  std::size_t bytes_;
  bool may_wait_;
  SteadyPoint began_, came_, infers_{}, inferred_{};
  std::size_t rows_ = 0;
  Duration waited_{}, spare_{};
  TimePoint now_{};
  bool counted_ = false, joined_ = false;
};

struct ModelReport {
  struct Version {
    std::int64_t number = 0;
    VersionCounts counts;
  };
  std::string name;
  std::vector<Version> versions;  // those in memory
  PhaseCounts phases;
  std::size_t pending = 0;       // requests that wait for the model, or are computed off the event loops
  std::uint64_t overloaded = 0;  // that were sent away because as many as may wait did
  BatchCounts batches;           // where there is batching
  bool batching = false;
  std::uint64_t fallbacks = 0;  // that something else answered than the version asked
};

}  // namespace millrace::serve
