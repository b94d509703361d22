// A few named threads with a bounded queue before them. When it is full the answer is no, at once: the caller tells its
// own caller to come back, rather than let everything wait.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace millrace {

struct PoolConfig {
  std::string name = "pool";  // threads are named <name>/<n>, at most 15 characters of it
  std::size_t threads = 2;
  std::size_t queued_max = 256;
};

struct PoolStats {
  std::size_t queued = 0;
  std::size_t running = 0;
  std::uint64_t done = 0;
  std::uint64_t refused = 0;
};

// Thread-safe.
class Pool {
 public:
  explicit Pool(const PoolConfig& config);
  ~Pool();  // drops what still waits, then waits for what runs
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Runs `work` soon, on one of the threads; never waits. `work` must not throw. resource_exhausted `base.pool_full`,
  // unavailable `base.pool_stopped` after drain(); `work` is then destroyed on the caller's thread.
  Result<void> submit(std::move_only_function<void()> work);

  // Takes no more work and waits until all that was taken is done, `patience` at most (real time). What has not begun
  // by then is dropped; false says that something was dropped or still runs. Not from a thread of the pool.
  bool drain(Duration patience);

  PoolStats stats() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace
