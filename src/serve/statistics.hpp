// How requests to models went: how many, and how long each part of them took. Counted without a lock: a few relaxed
// additions to numbers that the processor at hand has mostly for itself.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"

namespace millrace::serve {

// The parts of a request, from when it has been read to when its answer is written. `input`: reading and checking its
// rows; `infer`: encoding them and asking the model; `output`: the prediction log and the answer's text.
enum class Phase { input, infer, output, whole };
inline constexpr std::array<const char*, 4> kPhaseNames = {"input", "infer", "output", "whole"};

// Upper bounds of the histograms' buckets; one without bound follows.
inline constexpr std::array<Duration::rep, 18> kPhaseBounds_us = {
    1, 3, 5, 10, 25, 50, 100, 250, 500, 1'000, 2'500, 5'000, 10'000, 25'000, 50'000, 100'000, 250'000, 1'000'000};

struct PhaseTimes {
  std::array<Duration, 4> spent{};  // by Phase
};

namespace detail {
inline constexpr std::size_t kStripes = 4;
std::size_t stripe();  // of the processor that we run on
}  // namespace detail

struct VersionCounts {
  std::uint64_t succeeded = 0, failed = 0;  // requests; a client's mistake is a failure too
  std::uint64_t rows = 0;                   // of those that succeeded
  PhaseTimes times;                         // of those that succeeded
  Duration failed_time{};
  std::optional<TimePoint> last;  // request that succeeded
};

// Of one loaded version. Thread-safe.
class VersionStatistics {
 public:
  void succeeded(std::size_t rows, const PhaseTimes& times, TimePoint now);
  void failed(Duration took);
  // Not of one moment: requests go on.
  VersionCounts counts() const;

 private:
  struct alignas(64) Stripe {
    std::atomic<std::uint64_t> succeeded{0}, failed{0}, rows{0};
    std::array<std::atomic<Duration::rep>, 4> times{};
    std::atomic<Duration::rep> failed_time{0};
    std::atomic<Duration::rep> last{0};
  };
  std::array<Stripe, detail::kStripes> stripes_;
};

struct PhaseCounts {
  std::array<std::array<std::uint64_t, kPhaseBounds_us.size() + 1>, 4> buckets{};  // by Phase; not cumulative
  PhaseTimes sums;
};

// Of one model, all its versions together, of requests that succeeded. Thread-safe.
class PhaseHistograms {
 public:
  void add(const PhaseTimes& times);
  PhaseCounts counts() const;

 private:
  struct alignas(64) Stripe {
    std::array<std::array<std::atomic<std::uint64_t>, kPhaseBounds_us.size() + 1>, 4> buckets{};
    std::array<std::atomic<Duration::rep>, 4> sums{};
  };
  std::array<Stripe, detail::kStripes> stripes_;
};

// One request from now on; reads the clock four times. It counts as failed when it goes without succeeded().
class Measure {
 public:
  // All outlive it.
  Measure(VersionStatistics& version, PhaseHistograms& phases, Clock& clock)
      : version_(version), phases_(phases), clock_(clock), began_(clock.steady()) {}
  Measure(const Measure&) = delete;
  Measure& operator=(const Measure&) = delete;
  ~Measure() {
    if (!counted_) version_.failed(clock_.steady() - began_);
  }

  void infers() { infers_ = clock_.steady(); }
  void inferred(std::size_t rows, TimePoint now) {
    inferred_ = clock_.steady();
    rows_ = rows;
    now_ = now;
  }
  void succeeded();  // the answer is written
  SteadyPoint began() const { return began_; }

 private:
  VersionStatistics& version_;
  PhaseHistograms& phases_;
  Clock& clock_;
  SteadyPoint began_, infers_{}, inferred_{};
  std::size_t rows_ = 0;
  TimePoint now_{};
  bool counted_ = false;
};

struct ModelReport {
  struct Version {
    std::int64_t number = 0;
    VersionCounts counts;
  };
  std::string name;
  std::vector<Version> versions;  // those in memory
  PhaseCounts phases;
};

}  // namespace millrace::serve
