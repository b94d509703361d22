#include "base/latency_histogram.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/rng.hpp"

namespace millrace {
namespace {

std::uint64_t exact(const std::vector<std::uint64_t>& sorted, double share) {
  const auto rank = std::max(1.0, std::ceil(share * static_cast<double>(sorted.size()) - 1e-9));
  return sorted[static_cast<std::size_t>(rank) - 1];
}

TEST(LatencyHistogram, SmallNumbersAreExact) {
  LatencyHistogram h;
  for (std::uint64_t value = 1; value <= 100; ++value) h.add(value);
  EXPECT_EQ(h.percentile(0), 1u);
  EXPECT_EQ(h.percentile(0.5), 50u);
  EXPECT_EQ(h.percentile(0.9), 90u);
  EXPECT_EQ(h.percentile(0.99), 99u);
  EXPECT_EQ(h.percentile(0.999), 100u);
  EXPECT_EQ(h.percentile(1), 100u);
  EXPECT_DOUBLE_EQ(h.mean(), 50.5);
}

TEST(LatencyHistogram, NothingIsZero) {
  const LatencyHistogram h;
  EXPECT_EQ(h.percentile(0.99), 0u);
  EXPECT_EQ(h.max(), 0u);
  EXPECT_EQ(h.mean(), 0);
}

TEST(LatencyHistogram, WithinTheStatedErrorOfTheExactPercentiles) {
  SeededRng rng(5);
  for (const double power : {1.0, 3.0, 8.0}) {  // from narrow to eight powers of ten
    LatencyHistogram h;
    std::vector<std::uint64_t> values;
    for (int i = 0; i < 20'000; ++i) {
      values.push_back(static_cast<std::uint64_t>(std::pow(10.0, power * rng.unit())));
      h.add(values.back());
    }
    std::ranges::sort(values);
    for (const double share : {0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0}) {
      const auto want = exact(values, share), got = h.percentile(share);
      EXPECT_GE(got, want) << power << " " << share;
      EXPECT_LE(static_cast<double>(got - want), static_cast<double>(want) * LatencyHistogram::relative_error) << share;
    }
    EXPECT_EQ(h.percentile(1), values.back());
    EXPECT_EQ(h.max(), values.back());
  }
}

TEST(LatencyHistogram, EveryEdgeOfABucket) {
  for (std::uint64_t value = 1; value < (std::uint64_t{1} << 41); value += 1 + value / 300) {
    LatencyHistogram h;
    h.add(value);
    h.add(std::uint64_t{1} << 40);  // so that the bucket's end is seen, not the maximum
    const auto kept = std::min(value, std::uint64_t{1} << 40);
    const auto got = h.percentile(0.5);
    EXPECT_GE(got, kept);
    EXPECT_LE(static_cast<double>(got - kept), static_cast<double>(kept) * LatencyHistogram::relative_error) << value;
  }
}

TEST(LatencyHistogram, MergedIsTheSameAsTogether) {
  LatencyHistogram one, other, both;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    (i % 3 == 0 ? one : other).add(i * i);
    both.add(i * i);
  }
  one.merge(other);
  EXPECT_EQ(one.count(), both.count());
  EXPECT_EQ(one.max(), both.max());
  EXPECT_DOUBLE_EQ(one.mean(), both.mean());
  for (const double share : {0.1, 0.5, 0.99}) EXPECT_EQ(one.percentile(share), both.percentile(share));
}

}  // namespace
}  // namespace millrace
