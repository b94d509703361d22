// Ids: UUIDv7 (RFC 9562), printed as 26 characters of Crockford base32. Text order is time order.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"

namespace millrace {

struct Id {
  std::array<std::uint8_t, 16> bytes{};
  auto operator<=>(const Id&) const = default;
  std::string text() const;  // 26 characters, upper case
  std::string hex() const;   // 32 characters, lower case, no dashes
  TimePoint time() const;    // milliseconds
  // Reads text() in either case, Crockford's look-alikes included (I L -> 1, O -> 0). invalid_argument `base.bad_id`.
  static Result<Id> parse(std::string_view text);
};

// Ids of one generator strictly increase, also when the clock stands still or goes back. Thread-safe.
class IdMaker {
 public:
  IdMaker(Clock& clock, Rng& rng) : clock_(clock), rng_(rng) {}
  Id make();

 private:
  Clock& clock_;
  Rng& rng_;
  std::mutex mutex_;
  std::int64_t last_ms_ = -1;
  std::uint16_t counter_ = 0;
};

}  // namespace millrace
