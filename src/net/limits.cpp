#include "net/limits.hpp"

#include <algorithm>
#include <charconv>
#include <string>

namespace millrace::net {

Result<void> set_limits(std::string_view text, Config& config) {
  while (!text.empty()) {
    const auto item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    const auto name = item.substr(0, item.find('='));
    const auto value = item.substr(std::min(item.size(), name.size() + 1));
    const auto bad = [&] {
      return fail(
          Code::invalid_argument, "net.bad_limits",
          "'" + std::string(item) +
              "': write idle, head, body or handshake = a duration of a second or more, or connections = a number");
    };
    if (name == "connections") {
      int count = 0;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), count);
      if (error != std::errc() || end != value.data() + value.size() || count < 1) return bad();
      config.connections_max = count;
      continue;
    }
    const auto duration = parse_duration(value);
    if (!duration || *duration < std::chrono::seconds(1)) return bad();
    const auto seconds = std::chrono::duration<double>(*duration).count();
    if (name == "idle") {
      config.idle_seconds_max = static_cast<int>(seconds);
    } else if (name == "head") {
      config.head_seconds_max = seconds;
    } else if (name == "body") {
      config.body_seconds_free = seconds;
    } else if (name == "handshake") {
      config.handshake_seconds_max = seconds;
    } else {
      return bad();
    }
  }
  return ok();
}

void fit_open_files(std::uint64_t files_open_max, Config& config) {
  constexpr std::uint64_t own = 64, connections_least = 8, files_least = 2;
  const auto left = files_open_max - std::min(files_open_max, own);
  // A quarter is kept for what requests open: uploads, files, readers of the records, jobs that start.
  const auto connections = std::max(connections_least, left - left / 4);
  // Those whose handshake goes on have files too: an eighth, out of that quarter.
  config.handshakes_max = static_cast<int>(
      std::min<std::uint64_t>(std::max<std::uint64_t>(8, left / 8), static_cast<std::uint64_t>(config.handshakes_max)));
  config.connections_max =
      static_cast<int>(std::min<std::uint64_t>(connections, static_cast<std::uint64_t>(config.connections_max)));
  const auto files = std::max(files_least, left / 8);
  config.files_max = static_cast<int>(std::min<std::uint64_t>(files, static_cast<std::uint64_t>(config.files_max)));
}

}  // namespace millrace::net
