// The gRPC server: methods in, answers out, everything bounded. The methods know nothing of the network or of the
// library: they read and write messages as bytes. The library is opened by start() and not before, because it alone
// takes longer to load than the whole rest of the server.
//
//   TRY(auto grpc, net::GrpcServer::open(config, std::move(methods), env));
//   TRY_VOID(grpc->start());
//   ... grpc->address() ...
//   grpc->stop(std::chrono::seconds(10));
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/env.hpp"
#include "base/lanes.hpp"
#include "base/result.hpp"
#include "base/tracing.hpp"
#include "net/auth.hpp"
#include "net/tls.hpp"

namespace millrace::net {

// A message in, a message out; runs on one of the library's threads and must not block. An error is the call's status:
// its code, its message, and `reason` in the trailing metadata.
using GrpcHandler = std::function<Result<std::string>(std::string_view message)>;

// A call on its way to an answer, for handlers that may take long.
struct GrpcCall {
  bool may_wait = false;         // true: it is on a thread that may wait and compute
  SteadyPoint came;              // when it was read
  std::shared_ptr<void> place;   // whatever the handler keeps until the call is answered
  std::shared_ptr<Lane> lane;    // of GrpcConfig::pool, where the handler is to be called again there
  std::unique_ptr<Trace> trace;  // where it is sampled, from the first call on
  bool asked_to_trace = false;   // whether it is has been decided
};
// Called without `may_wait` first. Where its error's reason is GrpcConfig::pool_on it is called again, on the pool,
// unless the call's deadline has passed by then, or its client has given it up.
using GrpcCallHandler = std::function<Result<std::string>(std::string_view message, GrpcCall& call)>;

struct GrpcMethod {
  std::string path;  // "/inference.GRPCInferenceService/ModelInfer"
  GrpcHandler handler;
  bool stream = false;  // each message of a stream is answered by one, in their order; an error ends the stream
  Access access = Access::write;
  GrpcCallHandler call_handler = {};  // in place of `handler`
  Right right = Right::predict;
};

struct GrpcConfig {
  std::string host = "127.0.0.1";                 // an address, or "localhost"
  int port = 8001;                                // 0: any free one
  std::string library;                            // the file that holds the library's side; empty: beside this program
  std::uint64_t message_bytes_max = 16u << 20;    // of a request, unpacked; past that RESOURCE_EXHAUSTED
  std::uint64_t messages_bytes_max = 256u << 20;  // the library's own memory for all connections, about
  int calls_per_connection_max = 1'000;           // at once; a client's further calls wait on its side
  int streams_max = 1'000;                        // at once; past that RESOURCE_EXHAUSTED
  int connection_idle_seconds_max = 600;          // without a call; then the client is asked to come again
  LanePool* pool = nullptr;                       // outlives the server; null: all is computed where it is read
  std::string pool_on;
  double handshake_seconds_max = 10;   // until a connection can carry calls, with TLS or without
  std::shared_ptr<const LiveTls> tls;  // null: no TLS. Somebody else looks at its files: the HTTP server
  AuthPolicy auth;                     // open() sets token_required for a non-loopback host
  Tracer* tracer = nullptr;            // nullptr: no traces; outlives the server
};

class GrpcServer {
 public:
  // failed_precondition `net.token_needed`: a host that is not loopback without token.
  static Result<std::unique_ptr<GrpcServer>> open(GrpcConfig config, std::vector<GrpcMethod> methods, Env& env);
  ~GrpcServer();  // stop(0)

  // Listens. unavailable `net.grpc_missing`: the library's side can't be opened. already_exists `net.port_taken`,
  // invalid_argument `net.bad_address`.
  Result<void> start();
  std::string address() const;  // "127.0.0.1:8001", with the real port; empty before start()

  // Tells all clients to go elsewhere (GOAWAY), takes no new connection, answers what was asked, then ends streams:
  // quiet ones at once, after 2 s any between two messages; what still runs after `deadline` is cut. Safe to call
  // again. Whether nothing was cut.
  bool stop(Duration deadline);

 private:
  struct Impl;
  explicit GrpcServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::net
