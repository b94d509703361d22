// Where a piece of work runs: on a thread of its own in production, at once in a test or a simulator.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "base/result.hpp"

namespace millrace {

// Thread-safe.
class Executor {
 public:
  virtual ~Executor() = default;
  // Runs `work` some time, after what was posted before by the same thread; may run it before returning.
  // resource_exhausted `base.executor_full` when too much waits; nothing is run then.
  virtual Result<void> post(std::function<void()> work) = 0;
};

// Runs the work inside post(), on the caller's thread.
class InlineExecutor final : public Executor {
 public:
  Result<void> post(std::function<void()> work) override;
};

// One thread, in order. The destructor runs what was accepted, then joins.
class ThreadExecutor final : public Executor {
 public:
  // `name` is what a debugger shows: at most 15 characters.
  explicit ThreadExecutor(const std::string& name, std::size_t waiting_max = 1024);
  ~ThreadExecutor() override;
  Result<void> post(std::function<void()> work) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace
