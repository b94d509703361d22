// TLS connections of one event loop whose handshake is under way: the library announces a connection when it can be
// read from, and until then nobody else bounds how many there are and for how long. Part of drogon_transport.cpp.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <trantor/net/EventLoop.h>
#include <trantor/net/InetAddress.h>
#include <trantor/net/TcpConnection.h>

#include <algorithm>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "net/core_internal.hpp"

namespace millrace::net {

// On its loop's thread only, which is also the one that closes the descriptors: a number in the list is always still
// that connection's.
class Handshakes {
 public:
  static Handshakes& of_loop() {
    thread_local Handshakes handshakes;
    return handshakes;
  }

  // Just accepted; the library makes its connection after this.
  void begin(const std::shared_ptr<Core>& core, int fd) {
    if (tell_plain(fd)) core->probe.cut("plain_http");
    list_.push_back({fd, ends_of(fd), core->env.clock.steady(), false});
    const auto most = std::max(1, core->config.handshakes_max / std::max(1, core->config.io_threads));
    if (list_.size() > static_cast<std::size_t>(most)) end(*core, list_.front(), "handshake_made_room");
    watch(core);
  }

  // The descriptor of a connection that is announced now, or that ended before it was.
  std::optional<int> over(const trantor::TcpConnection& connection) {
    const auto ends = connection.peerAddr().toIpPort() + "-" + connection.localAddr().toIpPort();
    const auto found = std::ranges::find(list_, ends, &Handshake::ends);
    if (found == list_.end()) return std::nullopt;
    const int fd = found->fd;
    list_.erase(found);
    return fd;
  }

 private:
  struct Handshake {
    int fd;
    std::string ends;  // both addresses
    SteadyPoint since;
    bool ended;
  };

  static std::string ends_of(int fd) {
    const auto text = [](const sockaddr_in6& address) {
      trantor::InetAddress out;
      out.setSockAddrInet6(address);  // holds the other kind as well, as the library's own code has it
      return out.toIpPort();
    };
    sockaddr_in6 peer{}, local{};
    socklen_t peer_size = sizeof peer, local_size = sizeof local;
    ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_size);
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &local_size);
    trantor::InetAddress here(local);
    return text(peer) + "-" + here.toIpPort();
  }

  // A client that speaks HTTP without TLS gets an answer that it can read.
  static bool tell_plain(int fd) {
    constexpr unsigned char handshake_record = 22;
    unsigned char first = 0;
    if (::recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1 || first == handshake_record) return false;
    if (first < 'A' || first > 'Z') return false;  // no method begins so
    static const std::string body =
        "{\"error\":{\"code\":\"failed_precondition\",\"reason\":\"net.tls_needed\",\"message\":\"this port speaks "
        "TLS; "
        "write https:// instead of http://\",\"next\":\"\"}}";
    static const std::string text =
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: " +
        std::to_string(body.size()) + "\r\n\r\n" + body;
    (void)::send(fd, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    ::shutdown(fd, SHUT_WR);
    return true;
  }

  // The library finds the connection closed, closes it and says so: over().
  static void end(Core& core, Handshake& handshake, std::string_view why) {
    if (std::exchange(handshake.ended, true)) return;
    core.probe.cut(why);
    ::shutdown(handshake.fd, SHUT_RDWR);
  }

  void watch(const std::shared_ptr<Core>& core) {
    if (std::exchange(watching_, true)) return;
    constexpr double look_seconds = 0.25;
    trantor::EventLoop::getEventLoopOfCurrentThread()->runAfter(look_seconds, [core] {
      auto& mine = of_loop();
      mine.watching_ = false;
      const auto now = core->env.clock.steady();
      for (auto& one : mine.list_) {
        const auto took = std::chrono::duration<double>(now - one.since).count();
        if (took > core->config.handshake_seconds_max) end(*core, one, "handshake_too_slow");
      }
      if (!mine.list_.empty()) mine.watch(core);
    });
  }

  std::list<Handshake> list_;  // the oldest first
  bool watching_ = false;
};

}  // namespace millrace::net
