// How many threads compute what is long for an event loop.
#pragma once

#include <algorithm>
#include <cstddef>

namespace millrace::app {

// With batching each request that waits for a computation together has one of them, idle.
inline int compute_threads(int cores, bool batching) { return std::max(batching ? 32 : 8, 2 * cores); }

// Those of one model: the rest is for others.
inline std::size_t batch_waiters(int threads) { return static_cast<std::size_t>(threads) * 3 / 4; }

}  // namespace millrace::app
