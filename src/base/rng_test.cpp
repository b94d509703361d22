#include "base/rng.hpp"

#include <gtest/gtest.h>

#include <array>

namespace millrace {
namespace {

TEST(Rng, SeededGivesTheSameNumbersEverywhere) {
  // splitmix64(0) fills the state; the reference C code of xoshiro256** prints these.
  SeededRng rng(0);
  EXPECT_EQ(rng.next(), 0x99ec5f36cb75f2b4u);
  EXPECT_EQ(rng.next(), 0xbf6e1f784956452au);
  EXPECT_EQ(rng.next(), 0x1a5f849d4933e6e0u);
}

TEST(Rng, BelowIsWithinItsBoundAndEven) {
  SeededRng rng(5);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70'000; ++i) ++counts.at(rng.below(7));
  for (const int count : counts) EXPECT_NEAR(count, 10'000, 500);
  EXPECT_EQ(rng.below(1), 0u);
}

TEST(Rng, UnitIsHalfOpen) {
  SeededRng rng(6);
  double sum = 0;
  for (int i = 0; i < 10'000; ++i) {
    const double u = rng.unit();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
  }
  EXPECT_NEAR(sum / 10'000, 0.5, 0.02);
}

TEST(Rng, SystemDiffers) {
  SystemRng rng;
  EXPECT_NE(rng.next(), rng.next());
}

}  // namespace
}  // namespace millrace
