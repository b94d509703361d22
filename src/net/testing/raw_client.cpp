#include "net/testing/raw_client.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdlib>

namespace millrace::net {

RawClient::RawClient(int port, int receive_buffer) {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  timeval limit{.tv_sec = 30, .tv_usec = 0};  // a test that waits longer has failed
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    ::close(fd_);
    fd_ = -1;
  }
}

RawClient::~RawClient() {
  if (fd_ >= 0) ::close(fd_);
}

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool RawClient::fill() {
  char piece[65536];
  auto got = ::recv(fd_, piece, sizeof piece, 0);
  if (got <= 0) return false;
  buffer_.append(piece, static_cast<std::size_t>(got));
  return true;
}

bool RawClient::answered(int patience_ms) {
  pollfd one{.fd = fd_, .events = POLLIN, .revents = 0};
  return !buffer_.empty() || ::poll(&one, 1, patience_ms) > 0;
}

RawResponse RawClient::receive(bool head) {
  RawResponse out;
  std::size_t end;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos)
    if (!fill()) return {};
  std::string text = buffer_.substr(0, end + 2);
  buffer_.erase(0, end + 4);
  out.status = std::atoi(text.c_str() + 9);
  for (auto at = text.find("\r\n") + 2; at < text.size();) {
    auto stop = text.find("\r\n", at);
    auto colon = text.find(':', at);
    std::string name = text.substr(at, colon - at), value = text.substr(colon + 1, stop - colon - 1);
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    value.erase(0, value.find_first_not_of(' '));
    out.headers[name] = value;
    at = stop + 2;
  }
  if (out.status == 100) return receive(head);
  if (head || out.status == 204 || out.status == 304) return out;
  if (out.headers["transfer-encoding"] == "chunked") {
    for (;;) {
      std::size_t line;
      while ((line = buffer_.find("\r\n")) == std::string::npos)
        if (!fill()) return out;
      auto size = std::strtoull(buffer_.c_str(), nullptr, 16);
      while (buffer_.size() < line + 2 + size + 2)
        if (!fill()) return out;
      out.body += buffer_.substr(line + 2, size);
      buffer_.erase(0, line + 2 + size + 2);
      if (size == 0) return out;
    }
  }
  auto size = std::strtoull(out.headers["content-length"].c_str(), nullptr, 10);
  while (buffer_.size() < size)
    if (!fill()) break;
  out.body = buffer_.substr(0, size);
  buffer_.erase(0, size);
  return out;
}

std::string RawClient::receive_some(std::size_t bytes_max) {
  if (buffer_.empty()) fill();
  std::string out = buffer_.substr(0, bytes_max);
  buffer_.erase(0, out.size());
  return out;
}

bool RawClient::at_end() { return buffer_.empty() && !fill(); }

void RawClient::reset() {
  linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  ::close(fd_);
  fd_ = -1;
}

std::string get(std::string_view path, std::string_view more_headers) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n" + std::string(more_headers) + "\r\n";
}
std::string post(std::string_view path, std::string_view body, std::string_view more_headers) {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(more_headers) + "\r\n" + std::string(body);
}

}  // namespace millrace::net
