// Which version of a model should be loaded, swapped in or let go next. Pure: the same snapshot gives the same answer.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.hpp"

namespace millrace::serve {

// One version as this process knows it.
struct VersionState {
  std::int64_t version = 0;
  bool loaded = false;     // proven: its golden rows were answered
  bool serving = false;    // takes requests now
  int failures = 0;        // loads that failed in a row
  SteadyPoint retry_at{};  // not before this after a failure
  std::string error;       // of the last of them; for people
};

struct WantedVersions {
  std::optional<std::int64_t> current;
  std::optional<std::int64_t> previous;  // kept loaded, so that going back is a swap
  std::vector<std::int64_t> others;      // kept loaded to answer by number, the best first
  // While current can't be loaded: what answers stays, but gives way to a better one of previous and the others; where
  // nothing answers, the best of them does.
  bool fall_back = false;
};

struct SwapAction {
  enum class Kind { load, swap, unload } kind;
  std::int64_t version = 0;
  bool operator==(const SwapAction&) const = default;
};

// Order: what takes traffic first (load current, then swap to it), then previous and the others are made ready, then
// what nobody wants is let go. The serving version is never unloaded, even when it is wanted no more: something always
// answers.
std::optional<SwapAction> next_swap(std::span<const VersionState> versions, const WantedVersions& wanted,
                                    SteadyPoint now);

// How long to wait after `failures` loads in a row: 1 s, 2 s, 4 s ... 60 s.
Duration load_backoff(int failures);

}  // namespace millrace::serve
