// millrace_sim: the real modules on a simulated machine. See README.md beside this file.
#include <charconv>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "sim/run.hpp"

namespace millrace::simulator {

namespace {

constexpr const char* help =
    "usage: millrace_sim [options]\n"
    "\n"
    "  --seed=N          one seed, with everything that happens\n"
    "  --seeds=A..B      seeds A to B-1 (default 0..2000); a failing one is printed and can be replayed with --seed\n"
    "  --minutes=M       seeds from a fresh number on until M minutes are over\n"
    "  --operations=N    of each seed (default 300)\n"
    "  --planted         plants each known fault and looks for the first of 500 seeds that finds it\n"
    "  --plant=NAME      with --seed or --seeds: under that planted fault\n"
    "  --jobs=N          processes (default: one per processor)\n"
    "\n"
    "exit status: 0 all seeds hold, 1 one does not, a fault point was not reached, or a planted fault was not found\n";

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

int bad(std::string_view argument) {
  std::fprintf(stderr, "millrace_sim: '%.*s' is no option; see --help\n", static_cast<int>(argument.size()),
               argument.data());
  return 2;
}

int main_with(int argc, char** argv) {
  RunOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const auto equals = argument.find('=');
    const auto name = argument.substr(0, equals);
    const auto value = equals == std::string_view::npos ? std::string_view() : argument.substr(equals + 1);
    const auto n = number(value);
    if (name == "--help" || name == "-h") return std::fputs(help, stdout), 0;
    if (name == "--planted" && value.empty()) {
      options.mode = Mode::planted;
    } else if (name == "--plant") {
      const auto found = find_planted(value);
      if (!found) return bad(argument);
      options.plant = found->plant;
    } else if (name == "--seeds") {
      const auto dots = value.find("..");
      const auto from = number(value.substr(0, dots));
      const auto to = dots == std::string_view::npos ? std::nullopt : number(value.substr(dots + 2));
      if (!from || !to || *from >= *to) return bad(argument);
      options.mode = Mode::seeds;
      options.from = *from;
      options.to = *to;
    } else if (!n) {
      return bad(argument);
    } else if (name == "--seed") {
      options.mode = Mode::one;
      options.from = *n;
    } else if (name == "--minutes") {
      options.mode = Mode::soak;
      options.minutes = *n;
    } else if (name == "--operations") {
      options.operations = static_cast<int>(*n);
    } else if (name == "--jobs" && *n > 0) {
      options.jobs = static_cast<unsigned>(*n);
    } else {
      return bad(argument);
    }
  }
  return run(options);
}

}  // namespace

}  // namespace millrace::simulator

int main(int argc, char** argv) { return millrace::simulator::main_with(argc, argv); }
