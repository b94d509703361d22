// millrace: the server and the command line.
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <iterator>
#include <thread>

#include "app/demo.hpp"
#include "app/fault_points.hpp"
#include "app/local_commands.hpp"
#include "app/test_time.hpp"
#include "base/clock.hpp"
#include "base/env.hpp"
#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/rng.hpp"
#include "cli/cli.hpp"

namespace {

constexpr const char* version = "0.1.0";

millrace::Result<std::string> read_input(millrace::Fs& fs, const std::string& path) {
  if (path != "-") return millrace::read_file(fs, path);
  if (isatty(0) != 0) std::fputs("reading what you type; end it with Ctrl-D on a line of its own\n", stderr);
  return std::string(std::istreambuf_iterator<char>(std::cin), {});
}

}  // namespace

int main(int argc, char** argv) {
  using namespace millrace;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--restart") == 0 &&
        (std::strcmp(argv[1], "up") == 0 || std::strcmp(argv[1], "admin") == 0 ||
         std::strcmp(argv[1], "predictor") == 0)) {
      auto ended = app::supervise(argc, argv);
      if (!ended) std::fprintf(stderr, "error: %s\n", ended.error().message.c_str());
      return ended ? ended->exit_code : 1;
    }
  }
  auto time = app::time_from_environment();
  if (!time) {
    std::fprintf(stderr, "error: %s\n", time.error().message.c_str());
    return 64;
  }
  Fs& fs = *time->fs;
  Clock& clock = *time->clock;
  SystemRng rng;
  const char* fault_spec = std::getenv("MILLRACE_FAULT");
  auto faults = Faults::parse(fault_spec ? fault_spec : "");
  if (!faults) {
    std::fprintf(stderr, "error: MILLRACE_FAULT: %s\n", faults.error().message.c_str());
    return 64;
  }
  auto log = null_log();
  Env env{fs, clock, rng, **faults, *log};

  cli::LocalCommands local;
  local.up = [&](const cli::UpOptions& options) { return app::up(options, version, env); };
  local.init = [&](const cli::InitOptions& options) { return app::init(options, env); };
  local.schema = [](const std::string&, bool) { return app::schema(); };
  local.explain = [&](const std::string& file, bool loop, bool json) { return app::explain(file, loop, json, env); };
  local.doctor = [&](const cli::DoctorOptions& options) { return app::doctor(options, version, env); };
  local.backup = [&](const cli::BackupOptions& options) { return app::make_backup(options, version, env); };
  local.restore = [&](const cli::RestoreOptions& options) { return app::restore(options, env); };
  local.demo = [&](const cli::DemoOptions& options) { return app::demo_digits(options, env); };
  local.worker = [&](const cli::WorkerOptions& options) { return app::worker(options, env); };
  local.predictor = [&](const cli::PredictorOptions& options) { return app::predictor(options, version, env); };
  local.faults = []() -> Result<cli::Output> {
    std::string text;
    for (auto name : app::fault_points()) text += std::string(name) + "\n";
    return cli::Output{text};
  };

  cli::Terminal terminal;
  terminal.out = [](const std::string& text) {
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);  // whoever reads along sees it at once
  };
  terminal.err = [](const std::string& text) { std::fputs(text.c_str(), stderr); };
  terminal.environment = [](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    return value ? std::optional<std::string>(value) : std::nullopt;
  };
  terminal.read_input = [&](const std::string& path) { return read_input(fs, path); };
  terminal.pause = [] {
    app::catch_signals();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return !app::interrupted();
  };
  terminal.interrupted = [] {
    app::catch_signals();
    return app::interrupted();
  };
  terminal.columns = [] {
    winsize size{};
    if (isatty(1) == 0) return 0;
    return ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? int{size.ws_col} : 80;
  };
  terminal.progress_in_place = isatty(2) != 0;
  char* here = realpath(".", nullptr);
  terminal.folder = here ? here : ".";
  std::free(here);
  return cli::run(argc, argv, version, env, local, terminal);
}
