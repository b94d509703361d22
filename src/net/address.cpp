#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "net/address_internal.hpp"
#include "net/http.hpp"

namespace millrace::net {

namespace {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

Result<std::pair<std::string, SocketAddress>> resolve(const std::string& host, int port) {
  std::string ip = equal_ignoring_case(host, "localhost") ? "127.0.0.1" : host;
  if (ip.size() > 2 && ip.front() == '[' && ip.back() == ']') ip = ip.substr(1, ip.size() - 2);
  SocketAddress out;
  if (port < 0 || port > 65535)
    return fail(Code::invalid_argument, "net.bad_address",
                "port " + std::to_string(port) + " is not between 0 and 65535");
  if (auto v4 = reinterpret_cast<sockaddr_in*>(&out.storage); inet_pton(AF_INET, ip.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<std::uint16_t>(port));
    out.length = sizeof(sockaddr_in);
  } else if (auto v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
             inet_pton(AF_INET6, ip.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<std::uint16_t>(port));
    out.length = sizeof(sockaddr_in6);
  } else {
    return fail(Code::invalid_argument, "net.bad_address",
                "'" + host + "' is not an IP address to listen on; use 127.0.0.1, 0.0.0.0, ::1, :: or localhost");
  }
  return std::pair{ip, out};
}

// A bound socket, or -1 and errno.
int bind_socket(const SocketAddress& address, bool share_port, bool listens) {
  int fd = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);  // a port in TIME_WAIT is free
  if (share_port) ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0 ||
      (listens && ::listen(fd, 1) != 0)) {
    int error = errno;
    ::close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

// The inodes of the sockets that listen on `port`, from a table like /proc/net/tcp.
void listening_inodes(const char* table, int port, std::vector<std::string>& out) {
  std::ifstream file(table);
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::vector<std::string> word(std::istream_iterator<std::string>(words), {});
    if (word.size() < 10 || word[3] != "0A") continue;  // 0A: TCP_LISTEN
    auto colon = word[1].rfind(':');
    int here = 0;
    std::from_chars(word[1].data() + colon + 1, word[1].data() + word[1].size(), here, 16);
    if (here == port) out.push_back("socket:[" + word[9] + "]");
  }
}

}  // namespace

std::string port_holder(int port) {
  namespace fs = std::filesystem;
  std::vector<std::string> inodes;
  listening_inodes("/proc/net/tcp", port, inodes);
  listening_inodes("/proc/net/tcp6", port, inodes);
  if (inodes.empty()) return {};
  std::error_code ignored;
  for (const auto& process : fs::directory_iterator("/proc", ignored)) {
    auto pid = process.path().filename().string();
    if (!std::ranges::all_of(pid, [](char c) { return c >= '0' && c <= '9'; })) continue;
    for (fs::directory_iterator fd(process.path() / "fd", ignored), end; !ignored && fd != end; fd.increment(ignored)) {
      auto target = fs::read_symlink(fd->path(), ignored).string();
      if (std::ranges::find(inodes, target) == inodes.end()) continue;
      std::ifstream file(process.path() / "cmdline");
      std::string command(std::istreambuf_iterator<char>(file), {});
      while (!command.empty() && command.back() == '\0') command.pop_back();
      std::ranges::replace(command, '\0', ' ');
      constexpr std::size_t shown_max = 120;
      if (command.size() > shown_max) command = command.substr(0, shown_max) + "...";
      return "pid " + pid + " (" + command + ")";
    }
    ignored.clear();
  }
  return {};
}

Result<Reservation> Reservation::make(const std::string& host, int port, const std::string& option) {
  TRY(auto resolved, resolve(host, port));
  auto& [ip, address] = resolved;
  // First without sharing: SO_REUSEPORT would let two servers of one user take the same port and half of the requests
  // each.
  int fd = port == 0 ? -2 : bind_socket(address, false, true);
  if (fd >= 0) ::close(fd);
  if (fd != -1) fd = bind_socket(address, true, false);
  if (fd < 0) {
    int error = errno;
    std::string where = (ip.find(':') == std::string::npos ? ip : "[" + ip + "]") + ":" + std::to_string(port);
    if (error == EADDRINUSE) {
      auto holder = port_holder(port);
      return fail(Code::already_exists, "net.port_taken",
                  where + " is taken by " + (holder.empty() ? "another process" : holder) +
                      "; stop it, or choose another port with " + option);
    }
    if (error == EACCES || error == EPERM)
      return fail(Code::permission_denied, "net.port_denied",
                  "not allowed to listen on " + where + "; choose a port above 1023 with " + option);
    return fail(Code::invalid_argument, "net.bad_address", "cannot listen on " + where + ": " + std::strerror(error));
  }
  SocketAddress real;
  real.length = sizeof real.storage;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&real.storage), &real.length);
  int bound = ntohs(real.storage.ss_family == AF_INET ? reinterpret_cast<sockaddr_in*>(&real.storage)->sin_port
                                                      : reinterpret_cast<sockaddr_in6*>(&real.storage)->sin6_port);
  return Reservation(fd, ip, bound);
}

Reservation::Reservation(Reservation&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), ip_(std::move(other.ip_)), port_(other.port_) {}
Reservation::~Reservation() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace millrace::net
