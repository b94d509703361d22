// Counts of whole numbers (microseconds, mostly) in buckets that are narrow where the numbers are small: percentiles of
// millions of values in a few kilobytes. Not thread-safe; one for each thread, then merge().
#pragma once

#include <cstdint>
#include <vector>

namespace millrace {

// Log-linear: below 256 every number has its own bucket; above, each power of two is cut into 128 equal buckets. So a
// percentile is never below the exact one and less than 1/128 (0.8 %) above it; the largest value is kept exactly.
class LatencyHistogram {
 public:
  LatencyHistogram();
  void add(std::uint64_t value, std::uint64_t count = 1);  // values above 2^40 (12 days in us) count as that
  void merge(const LatencyHistogram& other);

  std::uint64_t count() const { return count_; }
  std::uint64_t max() const { return max_; }
  double mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }
  // The least value that `share` (0..1) of all values do not exceed, as its bucket's upper end; 0 when there are none.
  std::uint64_t percentile(double share) const;

  static constexpr double relative_error = 1.0 / 128;

 private:
  std::vector<std::uint64_t> counts_;
  std::uint64_t count_ = 0, max_ = 0;
  double sum_ = 0;
};

}  // namespace millrace
