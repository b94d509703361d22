#include "app/wakeup.hpp"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>

#include "app/local_commands.hpp"

namespace millrace::app {

Result<std::unique_ptr<Wakeup>> Wakeup::open() {
  const int file = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (file < 0)
    return fail(Code::resource_exhausted, "app.no_wakeup",
                std::string("this process gets no further file for what wakes it: ") + ::strerror(errno));
  auto out = std::unique_ptr<Wakeup>(new Wakeup(file));
  wake_at_signals(out.get());
  return out;
}

Wakeup::~Wakeup() {
  wake_at_signals(nullptr);
  ::close(file_);
}

void Wakeup::say() noexcept {
  const std::uint64_t one = 1;
  // Only a number that can't grow any more is not written, and that says it already.
  [[maybe_unused]] const auto written = ::write(file_, &one, sizeof one);
}

void Wakeup::wait(std::optional<Duration> at_most) {
  int ms = -1;
  if (at_most) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*at_most).count();
    ms = static_cast<int>(std::clamp<std::int64_t>(left, 0, std::numeric_limits<int>::max()));
  }
  pollfd said{file_, POLLIN, 0};
  if (::poll(&said, 1, ms) <= 0) return;  // also for a signal
  std::uint64_t count = 0;
  [[maybe_unused]] const auto taken = ::read(file_, &count, sizeof count);
}

}  // namespace millrace::app
