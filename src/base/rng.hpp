// Randomness, passed in.
#pragma once

#include <cstdint>
#include <mutex>

namespace millrace {

// Thread-safe.
class Rng {
 public:
  virtual ~Rng() = default;
  virtual std::uint64_t next() = 0;          // uniform over all 64 bits
  std::uint64_t below(std::uint64_t bound);  // uniform in [0, bound), without bias; bound > 0
  double unit();                             // uniform in [0, 1), 53 bits
};

// From the operating system (getrandom).
class SystemRng final : public Rng {
 public:
  std::uint64_t next() override;
};

// xoshiro256** seeded by splitmix64 (Blackman, Vigna 2018): the same seed gives the same numbers on every machine.
class SeededRng final : public Rng {
 public:
  explicit SeededRng(std::uint64_t seed);
  std::uint64_t next() override;

 private:
  std::mutex mutex_;
  std::uint64_t state_[4];
};

}  // namespace millrace
