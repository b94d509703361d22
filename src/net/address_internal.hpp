// The listening address: checked, and held, before the HTTP library sees it (which would end the process on a failure).
#pragma once

#include <string>

#include "base/result.hpp"

namespace millrace::net {

// Holds a port by a socket that is bound but does not listen; sockets with SO_REUSEPORT may still bind it.
class Reservation {
 public:
  // `host` as in Config.host; `option` is the one that an error tells people to use. Errors as in Server::start.
  static Result<Reservation> make(const std::string& host, int port, const std::string& option = "--listen");
  Reservation(Reservation&& other) noexcept;
  Reservation& operator=(Reservation&&) = delete;
  ~Reservation();

  const std::string& ip() const { return ip_; }  // what the kernel binds: "127.0.0.1", "::1"
  int port() const { return port_; }             // the real one
  bool is_v6() const { return ip_.find(':') != std::string::npos; }

 private:
  Reservation(int fd, std::string ip, int port) : fd_(fd), ip_(std::move(ip)), port_(port) {}
  int fd_;
  std::string ip_;
  int port_;
};

// "pid 4711 (nginx -g daemon off;)" of the process that listens on `port`, "" when it cannot be seen.
std::string port_holder(int port);

}  // namespace millrace::net
