// The HTTP/1.1 server: routes in, answers out, everything bounded. The handlers know nothing of the network:
// dispatch() calls them without it.
//
//   TRY(auto server, net::Server::open(config, env));
//   server->fast("GET", "/healthz", [](const net::Request&) { return net::text_response("ok\n"); }, {.access =
//   net::Access::open}); server->pooled("POST", "/labels/{model}", handler); TRY_VOID(server->start());
//   ... server->addresses().front().url ...
//   server->stop(std::chrono::seconds(10));
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/env.hpp"
#include "base/metrics.hpp"
#include "base/result.hpp"
#include "net/auth.hpp"
#include "net/http.hpp"
#include "net/router.hpp"
#include "net/tls.hpp"

namespace millrace {
class Tracer;
}

namespace millrace::net {

struct Config {
  std::string host = "127.0.0.1";  // an address, or "localhost"; "0.0.0.0" and "::" for all
  int port = 8080;                 // 0: any free one
  int io_threads = 0;              // event loops; 0: one per core
  int pool_threads = 8;
  int pool_queue_max = 256;           // requests that wait for a pool thread; past that 503 with Retry-After
  int compute_threads = 0;            // of the pool for RouteOptions::pool_on; 0: two per loop, at least 8
  int compute_queue_max = 1024;       // requests that wait for one of them; past that 503 with Retry-After
  int uploads_max = 16;               // at once, each with a thread of its own
  int follows_max = 64;               // at once
  int files_max = 256;                // files sent at once; each holds a descriptor. Past that 503 with Retry-After
  int connections_max = 10'000;       // then the longest idle one makes room for a new one; where none is idle, 503
  int idle_seconds_max = 60;          // a connection without traffic is closed
  double handshake_seconds_max = 10;  // of TLS
  int handshakes_max = 1'000;         // of TLS, at once; past that the oldest ones go
  double head_seconds_max = 30;       // from a head's first byte to its last, then 408
  // A body has so long for free; from then on it must have come at this pace on the whole, else 408.
  double body_seconds_free = 30;
  std::uint64_t body_bytes_per_second_min = 1000;
  std::uint64_t bodies_bytes_max = 256u << 20;   // all bodies in memory together; past that 503
  std::uint64_t unread_bytes_free = 1u << 20;    // answers that a connection leaves unread; then its requests wait
  std::uint64_t asked_bytes_max = 1u << 20;      // of those requests; a client that sends more of them is cut
  std::uint64_t unread_bytes_max = 256u << 20;   // all unread answers above the free ones together; what grows is cut
  std::uint64_t upload_bytes_max = 1ull << 40;   // app-wide: no body is larger
  std::uint64_t upload_buffer_bytes = 4u << 20;  // per upload: what may wait for a slow sink
  std::string temp_dir;                          // needed: the HTTP library makes folders below it
  std::string access_log;                        // as parse_access_rule() reads it
  std::string access_log_file;                   // needed with it: 16 MB, then NAME.1.log to NAME.3.log: 64 MB at most
  std::vector<std::string> origins;              // of pages that may call what is cross_origin, as net/origins.hpp says
  std::shared_ptr<LiveTls> tls;                  // null: no TLS, http://. Looked at once a second while the server runs
  AuthPolicy auth;                               // open() sets token_required for a non-loopback host
  Tracer* tracer = nullptr;                      // nullptr: no traces; outlives the server
};

struct Address {
  std::string host;
  int port = 0;
  std::string url;  // "http://127.0.0.1:8080"
};

// One Server may run per process: the HTTP library has one application per process, which cannot start a second time.
// Routes are added before start(); all else is thread-safe.
class Server {
 public:
  // invalid_argument `net.bad_config`. failed_precondition `net.token_needed`: a host that is not loopback without
  // token.
  static Result<std::unique_ptr<Server>> open(Config config, Env& env,
                                              Metrics* metrics = nullptr);  // null: nothing to show
  ~Server();  // stop(0), then waits for the handlers that still run

  void fast(std::string_view method, std::string_view pattern, Handler handler, RouteOptions options = {});
  void pooled(std::string_view method, std::string_view pattern, Handler handler, RouteOptions options = {});
  // options.body_bytes_max of 0 (the default here) means Config.upload_bytes_max.
  void upload(std::string_view method, std::string_view pattern, UploadHandler handler,
              RouteOptions options = {.body_bytes_max = 0});
  void follow(std::string_view method, std::string_view pattern, FollowHandler handler, RouteOptions options = {});

  // Errors at `path` and below it, of handlers and our own, are written by `shape` instead of net's. Before start().
  void error_shape(std::string path, ErrorShape shape);

  // Listens. already_exists `net.port_taken` names the address and, where /proc lets us see it, the process that has
  // it; permission_denied `net.port_denied`; invalid_argument `net.bad_address`; failed_precondition
  // `net.started_before` for the second start in a process.
  Result<void> start();
  std::vector<Address> addresses() const;  // with the real port; empty before start()

  // Stops listening, waits until every request in flight has been answered or `deadline` has passed, then cuts. While
  // that goes on, ready() is false and answers say "Connection: close". A call during the wait ends it at once.
  // Safe to call again. Returns whether everything was answered.
  bool stop(Duration deadline);
  bool ready() const;  // started and not stopping
  int in_flight() const;

  // Where what is long for an event loop is computed. Lives until the server is destroyed.
  LanePool& compute();

  // Routing, auth, limits and the handler on this thread, without any network. Uploads get request.body as one piece; a
  // follow route is read to its end.
  Response dispatch(Request request) const;
  std::vector<const Route*> routes() const;

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::net
