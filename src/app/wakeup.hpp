// "There is something to do", for a thread that has nothing to do until then. A signal that ends the program says it
// too.
#pragma once

#include <memory>
#include <optional>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace millrace::app {

// One at a time hears of signals: the one opened last.
class Wakeup {
 public:
  static Result<std::unique_ptr<Wakeup>> open();
  ~Wakeup();
  Wakeup(const Wakeup&) = delete;
  Wakeup& operator=(const Wakeup&) = delete;

  void say() noexcept;  // of any thread, and in a signal handler
  // Until it is said, or was since the last wait; at most as long. One thread waits.
  void wait(std::optional<Duration> at_most);

 private:
  explicit Wakeup(int file) : file_(file) {}
  const int file_;
};

}  // namespace millrace::app
