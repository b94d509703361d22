#include "app/listen.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <format>

namespace millrace::app {

Result<Listen> parse_listen(const std::string& text, const std::string& option) {
  auto colon = text.rfind(':');
  int port = -1;
  if (colon != std::string::npos) {
    auto digits = std::string_view(text).substr(colon + 1);
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc() || end != digits.data() + digits.size()) port = -1;
  }
  if (port < 0 || port > 65535 || colon == 0) {
    return fail(Code::invalid_argument, "cli.bad_listen",
                std::format("{} {}: write ADDRESS:PORT, as in 127.0.0.1:7070 (port 0: any free one)", option, text));
  }
  auto host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return Listen{host, port};
}

// Every connection is an open file, and what a process may have at first is often 1,024: up to what it may ask for.
std::uint64_t raise_open_files() {
  constexpr rlim_t enough = 65'536;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlimit more{std::max(limit.rlim_cur, std::min(limit.rlim_max, enough)), limit.rlim_max};
  return ::setrlimit(RLIMIT_NOFILE, &more) == 0 ? more.rlim_cur : limit.rlim_cur;
}

}  // namespace millrace::app
