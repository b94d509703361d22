#include "app/last_signal.hpp"

#include <signal.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <cstring>

namespace millrace::app {

namespace {

// Under the address sanitizer the others are its own.
#ifdef __SANITIZE_ADDRESS__
constexpr std::array heard = {SIGABRT};
#else
constexpr std::array heard = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
#endif

std::atomic<serve::LastWords*> last_words_of_all{nullptr};

// A few stores into a mapped file; then the signal does what it does.
void on_crash(int signal) {
  if (auto* words = last_words_of_all.load()) {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    words->died(signal, std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000);
  }
  raise(signal);
}

}  // namespace

bool is_crash(int signal) {
  constexpr std::array crashes = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
  return std::ranges::find(crashes, signal) != crashes.end();
}

void tell_last_words(serve::LastWords* words) {
  last_words_of_all = words;
  if (!words) return;
  struct sigaction action{};
  action.sa_handler = on_crash;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  for (const int signal : heard) sigaction(signal, &action, nullptr);
}

int died_of() {
  const char* text = std::getenv(died_of_variable);
  if (!text) return 0;
  int signal = 0;
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), signal);
  return error == std::errc() && is_crash(signal) ? signal : 0;
}

}  // namespace millrace::app
