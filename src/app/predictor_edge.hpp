// What clients of a predictor meet, wherever its models come from: predictions over HTTP and gRPC in every protocol,
// TLS, tokens, metrics. Its parts of the command line are read here.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "api/mlflow/routes.hpp"
#include "api/v2/routes.hpp"
#include "app/listen.hpp"
#include "base/env.hpp"
#include "base/log.hpp"
#include "base/metrics.hpp"
#include "base/result.hpp"
#include "cli/cli.hpp"
#include "net/grpc.hpp"
#include "net/server.hpp"
#include "serve/predictor.hpp"

namespace millrace {
class Tracer;
}

namespace millrace::app {

struct EdgeConfig {
  Listen http;
  std::optional<Listen> grpc;
  int cores = 1;
  int compute_threads = 0;        // 0: as net::Config has it
  std::string temp_dir;           // made here; the caller removes it
  Secret http_token, grpc_token;  // empty: none is asked for
  net::TlsFiles tls;
  Tracer* tracer = nullptr;  // outlives the edge
  // As in api::v2::Context.
  std::function<Result<void>(const api::v2::LoadRequest&)> repository;
  std::optional<std::uint64_t> upload_bytes_max;
  std::function<void(Metrics&)> before_metrics;  // sets gauges of its own when they are read
  bool open_to_others() const;                   // one of the two is not on loopback
};

// What the command line says of addresses, certificates and cores.
Result<EdgeConfig> edge_config(const cli::PredictorOptions& options);
// What it says of the computing.
serve::Predictor::Config predictor_config(const cli::PredictorOptions& options, int cores);

class PredictorEdge {
 public:
  // Nothing is answered before start(). `predictor` and `env` outlive it.
  static Result<std::unique_ptr<PredictorEdge>> open(EdgeConfig config, const std::string& version,
                                                     serve::Predictor& predictor, Metrics& metrics, Env& env);
  Result<void> start();
  // Once started.
  net::Address address() const;
  std::string grpc_address() const;  // "": it speaks no gRPC
  std::string certificate_warning(TimePoint now) const;
  // Requests in flight are answered first, for at most ten seconds.
  void stop();

 private:
  PredictorEdge(const std::string& version, serve::Predictor& predictor)
      : v2_{predictor, version, {}}, mlflow_{predictor, version} {}

  api::v2::Context v2_;
  api::mlflow::Context mlflow_;
  std::function<void(Metrics&)> before_metrics_;
  std::shared_ptr<net::LiveTls> tls_;
  std::unique_ptr<net::Server> server_;
  std::unique_ptr<net::GrpcServer> grpc_;  // computes in the other's pool
};

// To whoever started it, at once.
void tell(const std::string& text);

}  // namespace millrace::app
