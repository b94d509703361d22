#include "base/testing/tiny_server.hpp"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.hpp"

namespace millrace {
namespace {

void send_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

// Head and body; empty when the other side is done.
std::string receive(int fd) {
  std::string text;
  std::size_t wanted = std::string::npos;
  char buffer[65'536];
  while (text.size() < wanted) {
    const auto got = ::recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) return "";
    text.append(buffer, static_cast<std::size_t>(got));
    const auto head_end = text.find("\r\n\r\n");
    if (wanted != std::string::npos || head_end == std::string::npos) continue;
    wanted = head_end + 4;
    if (const auto at = text.find("Content-Length: "); at < head_end) wanted += std::stoul(text.substr(at + 16));
  }
  return text;
}

}  // namespace

TinyServer::TinyServer(Handler handler) : handler_(std::move(handler)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  check(::bind(listener_, generic, length) == 0 && ::listen(listener_, 64) == 0, "a free port can be listened on");
  ::getsockname(listener_, generic, &length);
  port_ = ntohs(address.sin_port);
  accepter_ = std::thread([this] { accept_all(); });
}

TinyServer::~TinyServer() {
  ::shutdown(listener_, SHUT_RDWR);
  accepter_.join();
  {
    const std::lock_guard lock(mutex_);
    for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
  }
  for (auto& thread : threads_) thread.join();
  for (const int fd : open_) ::close(fd);
  ::close(listener_);
}

void TinyServer::accept_all() {
  for (;;) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    ++connections_;
    const std::lock_guard lock(mutex_);
    open_.push_back(fd);
    threads_.emplace_back([this, fd] { serve(fd); });
  }
}

void TinyServer::serve(int fd) {
  for (;;) {
    const auto request = receive(fd);
    if (request.empty()) return;
    const auto answer = handler_(request);
    if (answer.starts_with('!')) {
      send_all(fd, std::string_view(answer).substr(1));
      ::shutdown(fd, SHUT_RDWR);
      return;
    }
    send_all(fd, answer);
  }
}

std::string TinyServer::answer(int status, const std::string& body, const std::string& headers) {
  return "HTTP/1.1 " + std::to_string(status) + " X\r\n" + headers + "Content-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

}  // namespace millrace
