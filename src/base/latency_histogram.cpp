#include "base/latency_histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace millrace {

namespace {

constexpr int linear_bits = 7;
constexpr std::uint64_t per_power = std::uint64_t{1} << linear_bits;
constexpr std::uint64_t largest = std::uint64_t{1} << 40;

// How far a value is shifted so that 7 bits remain below its highest one.
int shift_of(std::uint64_t value) { return std::max(0, static_cast<int>(std::bit_width(value)) - 1 - linear_bits); }

std::size_t index_of(std::uint64_t value) {
  const int shift = shift_of(value);
  return static_cast<std::size_t>(per_power * static_cast<std::uint64_t>(shift) + (value >> shift));
}

std::uint64_t upper_end(std::size_t index) {
  if (index < 2 * per_power) return index;
  const auto shift = index / per_power - 1;
  return ((index - per_power * shift + 1) << shift) - 1;
}

}  // namespace

LatencyHistogram::LatencyHistogram() : counts_(index_of(largest) + 1) {}

void LatencyHistogram::add(std::uint64_t value, std::uint64_t count) {
  value = std::min(value, largest);
  counts_[index_of(value)] += count;
  count_ += count;
  max_ = std::max(max_, value);
  sum_ += static_cast<double>(value) * static_cast<double>(count);
}

void LatencyHistogram::merge(const LatencyHistogram& other) {
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
}

std::uint64_t LatencyHistogram::percentile(double share) const {
  if (count_ == 0) return 0;
  // Nearest rank: the value that so many do not exceed.
  const auto rank = std::max(1.0, std::ceil(std::clamp(share, 0.0, 1.0) * static_cast<double>(count_) - 1e-9));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (static_cast<double>(seen) >= rank) return std::min(upper_end(i), max_);
  }
  return max_;
}

}  // namespace millrace
