#include "net/server.hpp"

#include <signal.h>

#include <mutex>
#include <thread>

#include "base/fs.hpp"
#include "base/log.hpp"
#include "net/core_internal.hpp"
#include "net/transport_internal.hpp"

namespace millrace::net {

namespace {
constexpr std::size_t follow_dispatch_bytes_max = 16u << 20;
}

struct Server::Impl {
  Impl(Config config, Env& env, Metrics* given)
      : core(std::make_shared<Core>(std::move(config), env, given ? *given : unseen)) {}

  Metrics unseen;
  std::shared_ptr<Core> core;
  std::unique_ptr<Transport> transport;
  std::vector<Address> addresses;
  std::mutex stop_mutex;
  bool stopped_clean = true;

  void add(Route::Kind kind, std::string_view method, std::string_view pattern, Handler handler, UploadHandler upload,
           FollowHandler follow, RouteOptions options) {
    core->router.add({.kind = kind,
                      .method = std::string(method),
                      .pattern = std::string(pattern),
                      .handler = std::move(handler),
                      .upload = std::move(upload),
                      .follow = std::move(follow),
                      .options = std::move(options)});
  }
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() {
  stop(Duration::zero());
  // Here and not in ~Core, which a request in a pool may outlive us to run.
  impl_->core->uploads = nullptr;
  impl_->core->compute = nullptr;
  impl_->core->io = nullptr;
  impl_->core->access = nullptr;
}

Result<std::unique_ptr<Server>> Server::open(Config config, Env& env, Metrics* metrics) {
  auto bad = [](std::string what) { return fail(Code::invalid_argument, "net.bad_config", std::move(what)); };
  if (config.temp_dir.empty()) return bad("net needs a folder for temporary files (temp_dir)");
  if (config.pool_threads < 1 || config.uploads_max < 1)
    return bad("net needs at least one pool thread and one upload");
  if (config.io_threads == 0) config.io_threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  if (config.compute_threads == 0) config.compute_threads = std::max(8, 2 * config.io_threads);
  if (config.compute_threads < 1) return bad("net needs at least one computing thread");
  if (config.io_threads < 0 || config.io_threads > 256) return bad("io_threads is between 1 and 256");
  if (!is_loopback(config.host)) {
    if (config.auth.token.empty())
      return fail(Code::failed_precondition, "net.token_needed",
                  "listening on " + config.host + " opens Millrace to other machines, so it needs a token");
    config.auth.token_required = true;
  }
  TRY(const auto rule, parse_access_rule(config.access_log));
  std::unique_ptr<Log> log;
  if (rule.kind != AccessRule::Kind::off) {
    if (config.access_log_file.empty()) return bad("the access log needs a file");
    TRY(log, open_log({.json = true, .file = config.access_log_file}, env.clock));
  }
  auto impl = std::make_unique<Impl>(std::move(config), env, metrics);
  if (log) impl->core->access = std::make_unique<AccessLog>(rule, std::move(log), metrics ? *metrics : impl->unseen);
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

void Server::fast(std::string_view method, std::string_view pattern, Handler handler, RouteOptions options) {
  impl_->add(Route::Kind::fast, method, pattern, std::move(handler), {}, {}, std::move(options));
}
void Server::pooled(std::string_view method, std::string_view pattern, Handler handler, RouteOptions options) {
  impl_->add(Route::Kind::pooled, method, pattern, std::move(handler), {}, {}, std::move(options));
}
void Server::upload(std::string_view method, std::string_view pattern, UploadHandler handler, RouteOptions options) {
  impl_->add(Route::Kind::upload, method, pattern, {}, std::move(handler), {}, std::move(options));
}
void Server::follow(std::string_view method, std::string_view pattern, FollowHandler handler, RouteOptions options) {
  impl_->add(Route::Kind::follow, method, pattern, {}, {}, std::move(handler), std::move(options));
}

Result<void> Server::start() {
  auto& core = *impl_->core;
  if (core.running || core.stopping)
    return fail(Code::failed_precondition, "net.started_before", "this server was started before");
  ::signal(SIGPIPE, SIG_IGN);  // a client that went away is an error of that write, not the end of the process
  core.probe.know(core.router.routes());
  TRY_VOID(core.env.fs.make_dirs(core.config.temp_dir));
  TRY(auto reservation, Reservation::make(core.config.host, core.config.port));
  Address address{.host = reservation.ip(), .port = reservation.port()};
  address.url = (core.config.tls ? "https://" : "http://") +
                (reservation.is_v6() ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
  TRY(impl_->transport, start_drogon(impl_->core, std::move(reservation)));
  impl_->addresses = {address};
  core.running = true;
  core.env.log.info("listening", {{"url", address.url}, {"io_threads", core.config.io_threads}});
  return ok();
}

std::vector<Address> Server::addresses() const { return impl_->addresses; }
bool Server::ready() const { return impl_->core->running && !impl_->core->stopping; }
int Server::in_flight() const { return impl_->core->in_flight; }
LanePool& Server::compute() { return *impl_->core->compute; }
std::vector<const Route*> Server::routes() const { return impl_->core->router.routes(); }

bool Server::stop(Duration deadline) {
  auto& core = *impl_->core;
  if (core.stopping.exchange(true)) core.hurry();
  std::lock_guard lock(impl_->stop_mutex);  // the second caller waits for the first, which now hurries
  if (!core.running) return impl_->stopped_clean;
  auto until = core.env.clock.steady() + deadline;
  impl_->transport->stop_listening();
  bool clean = core.wait_idle(deadline);
  impl_->transport->flush(std::max(until - core.env.clock.steady(), Duration::zero()),
                          [&core] { return core.hurried(); });
  // gRPC's calls may still wait there.
  core.compute->drain(core.hurried() ? Duration::zero() : std::max(until - core.env.clock.steady(), Duration::zero()));
  core.io->drain(Duration::zero());
  core.uploads->drain(Duration::zero());
  impl_->transport->quit();
  core.running = false;
  impl_->stopped_clean = clean;
  core.env.log.info("stopped", {{"clean", clean}, {"in_flight", core.in_flight.load()}});
  return clean;
}

void Server::error_shape(std::string path, ErrorShape shape) {
  impl_->core->error_shapes.emplace_back(std::move(path), std::move(shape));
}

namespace {

// Sets `known` to the route, where there is one.
Response dispatched(Core& core, Request request, const Route*& known) {
  auto admitted = core.admit(request);
  if (auto refused = std::get_if<Response>(&admitted)) return std::move(*refused);
  const Route& route = *std::get<const Route*>(admitted);
  known = &route;
  if (request.body.size() > core.body_bytes_max(route)) return too_large_response(core.body_bytes_max(route));
  if (route.kind == Route::Kind::upload) {
    auto body = request.body;
    request.body = {};
    auto sink = core.open_upload(route, request);
    if (!sink) return error_response(sink.error());
    auto result = (*sink)->append(as_bytes(body));
    auto response = result ? (*sink)->finish() : Result<Response>(fail(result.error()));
    if (response) return *std::move(response);
    (*sink)->abort(response.error());
    return error_response(response.error());
  }
  if (route.kind == Route::Kind::follow) {
    auto follower = core.open_follow(route, request);
    if (!follower) return error_response(follower.error());
    Response response{.content_type = route.options.content_type};
    while (response.body.size() < follow_dispatch_bytes_max) {
      auto text = (*follower)->next();
      if (!text) response.body += render_error(text.error()) + "\n";
      if (!text || !*text) break;
      response.body += **text;
    }
    return response;
  }
  return core.call_inflated(route, request);
}

}  // namespace

Response Server::dispatch(Request request) const {
  auto& core = *impl_->core;
  if (request.id.empty()) request.id = core.new_id();
  const Route* route = nullptr;
  auto response = dispatched(core, request, route);
  return core.shaped(route, request, std::move(response));
}

}  // namespace millrace::net
