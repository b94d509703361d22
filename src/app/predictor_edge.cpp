#include "app/predictor_edge.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "api/native/routes_predict.hpp"
#include "api/v2/grpc_methods.hpp"
#include "app/predictor_metrics.hpp"
#include "app/process_metrics.hpp"
#include "base/tracing.hpp"
#include "net/limits.hpp"
#include "serve/statistics_text.hpp"

namespace millrace::app {

namespace {

constexpr auto kStopPatience = std::chrono::seconds(10);

}  // namespace

bool EdgeConfig::open_to_others() const {
  return !net::is_loopback(http.host) || (grpc && !net::is_loopback(grpc->host));
}

Result<EdgeConfig> edge_config(const cli::PredictorOptions& options) {
  EdgeConfig out;
  TRY(out.http, parse_listen(options.http, "--http"));
  if (!options.grpc.empty()) {
    TRY(out.grpc, parse_listen(options.grpc, "--grpc"));
  }
  out.tls = {options.tls_certificate, options.tls_key};
  out.cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return out;
}

serve::Predictor::Config predictor_config(const cli::PredictorOptions& options, int cores) {
  serve::Predictor::Config out;
  out.load_threads = cores;
  out.drop_unnamed = true;
  out.ready_with_failures = true;
  out.queue_max = static_cast<std::size_t>(options.queue);
  out.concurrency = static_cast<std::size_t>(options.concurrency > 0 ? options.concurrency : cores);
  out.runtime.libraries = {.xgboost = options.xgboost, .onnxruntime = options.onnxruntime};
  return out;
}

Result<std::unique_ptr<PredictorEdge>> PredictorEdge::open(EdgeConfig config, const std::string& version,
                                                           serve::Predictor& predictor, Metrics& metrics, Env& env) {
  net::Config http;
  http.host = config.http.host;
  http.port = config.http.port;
  http.io_threads = config.cores;
  http.compute_threads = config.compute_threads;
  http.temp_dir = config.temp_dir;
  http.tracer = config.tracer;
  TRY_VOID(env.fs.make_dirs(http.temp_dir));
  if (const char* limits = std::getenv("MILLRACE_HTTP_LIMITS")) TRY_VOID(net::set_limits(limits, http));
  if (const auto files = raise_open_files(); files > 0) net::fit_open_files(files, http);
  http.auth.token = config.http_token;
  if (config.tls.named()) {
    TRY(http.tls, net::LiveTls::open(config.tls, env));
  }
  auto edge = std::unique_ptr<PredictorEdge>(new PredictorEdge(version, predictor));
  edge->tls_ = http.tls;
  edge->v2_.repository = std::move(config.repository);
  if (config.upload_bytes_max) edge->v2_.upload_bytes_max = *config.upload_bytes_max;
  edge->before_metrics_ = std::move(config.before_metrics);
  TRY(edge->server_, net::Server::open(http, env, &metrics));
  auto& server = *edge->server_;
  api::add_predict_routes(server, predictor);
  api::v2::add_routes(server, edge->v2_);
  api::mlflow::add_routes(server, edge->mlflow_);
  server.pooled("GET", "/metrics",
                [&metrics, &predictor, before = &edge->before_metrics_](const net::Request&) {
                  if (*before) (*before)(metrics);
                  auto text =
                      net::text_response(metrics.render() + model_metrics(predictor.states(), predictor.memory()) +
                                         serve::prometheus_text(predictor.statistics()) + process_metrics_text());
                  text.content_type = "text/plain; version=0.0.4";
                  return text;
                },
                {.right = net::Right::metrics});
  if (!config.grpc) return edge;
  net::GrpcConfig grpc{.host = config.grpc->host,
                       .port = config.grpc->port,
                       .handshake_seconds_max = http.handshake_seconds_max,
                       .tls = http.tls,
                       .auth = http.auth,
                       .tracer = config.tracer};
  grpc.auth.token = config.grpc_token;
  grpc.pool = &server.compute();
  grpc.pool_on = serve::kOnDisk;
  auto methods = api::v2::grpc_methods(edge->v2_, [&server] { return server.ready(); });
  TRY(edge->grpc_, net::GrpcServer::open(std::move(grpc), std::move(methods), env));
  return edge;
}

Result<void> PredictorEdge::start() {
  TRY_VOID(server_->start());
  if (grpc_) TRY_VOID(grpc_->start());
  return {};
}

net::Address PredictorEdge::address() const { return server_->addresses().front(); }

std::string PredictorEdge::grpc_address() const { return grpc_ ? grpc_->address() : std::string(); }

std::string PredictorEdge::certificate_warning(TimePoint now) const {
  return tls_ ? net::certificate_warning(tls_->now()->facts, now) : std::string();
}

void PredictorEdge::stop() {
  // Both at once: while HTTP drains, readiness has fallen for both.
  std::jthread other([&] {
    if (grpc_) (void)grpc_->stop(kStopPatience);
  });
  server_->stop(kStopPatience);
}

void tell(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

}  // namespace millrace::app
