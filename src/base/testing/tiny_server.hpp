// The smallest HTTP server that a client can be tested against: a thread per connection on a free port of 127.0.0.1.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace millrace {

class TinyServer {
 public:
  // Gets a whole request, head and body as they came; answers with the bytes to send. An empty answer: none, the
  // connection stays open. An answer that begins with '!': the rest is sent, then the connection is closed.
  using Handler = std::function<std::string(const std::string& request)>;
  explicit TinyServer(Handler handler);
  ~TinyServer();
  TinyServer(const TinyServer&) = delete;
  TinyServer& operator=(const TinyServer&) = delete;

  int port() const { return port_; }
  std::string url(const std::string& path) const { return "http://127.0.0.1:" + std::to_string(port_) + path; }
  int connections() const { return connections_; }  // so far

  // "HTTP/1.1 <status> X", Content-Length, `headers` (each with its line end), `body`.
  static std::string answer(int status, const std::string& body, const std::string& headers = "");

 private:
  void accept_all();
  void serve(int fd);

  Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<int> connections_ = 0;
  std::mutex mutex_;
  std::vector<int> open_;
  std::vector<std::thread> threads_;
  std::thread accepter_;
};

}  // namespace millrace
