#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "app/last_signal.hpp"
#include "app/local_commands.hpp"
#include "app/wakeup.hpp"
#include "base/process.hpp"

namespace millrace::app {

namespace {

std::atomic<int> signals_seen{0};
std::atomic<Wakeup*> woken_by_signals{nullptr};

void on_signal(int) {
  if (signals_seen.fetch_add(1) >= 1) _exit(130);
  const int before = errno;
  if (auto* wakeup = woken_by_signals.load()) wakeup->say();
  errno = before;
}

}  // namespace

void wake_at_signals(Wakeup* wakeup) { woken_by_signals = wakeup; }

bool interrupted() { return signals_seen.load() > 0; }

void next_signal_ends() {
  int none = 0;
  signals_seen.compare_exchange_strong(none, 1);
}

void catch_signals() {
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

Result<cli::Output> supervise(int argc, char** argv) {
  auto command = self_program("millrace");
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--restart") != 0) command.emplace_back(argv[i]);
  }
  std::vector<char*> arguments;
  for (auto& word : command) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  catch_signals();
  for (;;) {
    auto parent = getpid();
    auto child = fork();
    if (child < 0) return fail(Code::resource_exhausted, "app.cannot_fork", "this machine can't start another process");
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGTERM);
      if (getppid() != parent) _exit(0);
      execvp(arguments[0], arguments.data());
      _exit(127);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
      if (interrupted()) kill(child, SIGTERM);  // EINTR: pass it on and wait for the end
    }
    if (WIFEXITED(status)) return cli::Output{"", WEXITSTATUS(status)};
    if (interrupted()) return cli::Output{"", 130};
    std::fprintf(stderr, "millrace: the process was killed by signal %d; starting it again\n", WTERMSIG(status));
    setenv(died_of_variable, std::to_string(WTERMSIG(status)).c_str(), 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));  // not in a tight circle
  }
}

}  // namespace millrace::app
