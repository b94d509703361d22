#include <cstdio>
#include <exception>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/rng.hpp"
#include "net/core_internal.hpp"
#include "net/inflate_internal.hpp"
#include "net/origins.hpp"

namespace millrace::net {

namespace {

// Runs `f`, whose result is a T; what it throws goes through `failed`, which gets the text.
template <class F, class G>
auto guarded(F f, G failed) -> decltype(f()) {
  try {
    return f();
  } catch (const std::exception& error) {
    return failed(std::string(error.what()));
  } catch (...) {
    return failed("unknown exception");
  }
}

}  // namespace

Response too_large_response(std::uint64_t bytes_max) {
  auto response = error_response(
      {Code::out_of_range, "net.body_too_large",
       "the body is larger than the " + format_size(static_cast<long long>(bytes_max)) + " accepted here"},
      {.next = "send it in parts"});
  response.status = 413;
  return response;
}

Response Core::overloaded() {
  probe.refused_as_full();
  return error_response({Code::unavailable, "net.overloaded", "too many requests wait already"},
                        {.next = "try again in a second", .retry_after_seconds = 1});
}

Core::Core(Config config_in, Env& env_in, Metrics& metrics)
    : config(std::move(config_in)),
      env(env_in),
      probe(metrics),
      io(std::make_unique<Pool>(PoolConfig{.name = "net-io",
                                           .threads = static_cast<std::size_t>(config.pool_threads),
                                           .queued_max = static_cast<std::size_t>(config.pool_queue_max)})),
      compute(std::make_unique<LanePool>(PoolConfig{.name = "net-compute",
                                                    .threads = static_cast<std::size_t>(config.compute_threads),
                                                    .queued_max = static_cast<std::size_t>(config.compute_queue_max)})),
      uploads(std::make_unique<Pool>(PoolConfig{.name = "net-upload",
                                                .threads = static_cast<std::size_t>(config.uploads_max),
                                                .queued_max = static_cast<std::size_t>(config.uploads_max)})),
      id_salt_(env.rng.next()) {}

Response Core::shaped(const Route* route, const Request& request, Response response) const {
  if (route && route->options.cross_origin) add_origin_headers(response, request.header("Origin"), config.origins);
  if (!response.error) return response;
  const auto path = request.path;
  for (const auto& [above, shape] : error_shapes) {
    if (!path.starts_with(above) || (path.size() > above.size() && path[above.size()] != '/')) continue;
    response.body = shape(*response.error);
    response.content_type = "application/json";
    break;
  }
  return response;
}

std::uint64_t Core::body_bytes_max(const Route& route) const {
  return route.kind == Route::Kind::upload && route.options.body_bytes_max == 0 ? config.upload_bytes_max
                                                                                : route.options.body_bytes_max;
}

std::optional<Response> Core::preflight(Request& request) const {
  const auto asked = request.header("Access-Control-Request-Method"), origin = request.header("Origin");
  if (request.method != "OPTIONS" || asked.empty() || origin.empty()) return std::nullopt;
  // What the browser would send; its answer then says the rest.
  auto meant = request;
  meant.method = asked;
  const auto found = router.find(meant);
  const auto* route = std::get_if<const Route*>(&found);
  if (!route || !(*route)->options.cross_origin) return std::nullopt;
  if (!origin_allowed(origin, config.origins)) {
    auto refused = error_response({Code::permission_denied, "net.foreign_origin",
                                   "pages of " + std::string(origin) + " may not call " + std::string(request.path)},
                                  {.next = "add the page's origin to [serve] origins in the project file"});
    add_origin_headers(refused, origin, config.origins);
    return refused;
  }
  auto response = preflight_response(request, (*route)->method == "GET" ? "GET, HEAD" : (*route)->method);
  add_origin_headers(response, origin, config.origins);
  return response;
}

std::variant<const Route*, Response> Core::admit(Request& request) const {
  if (auto answer = preflight(request)) return *std::move(answer);
  auto found = router.find(request);
  if (auto missing = std::get_if<Router::NotFound>(&found)) {
    return error_response({Code::not_found, "net.no_such_path", "there is nothing at " + std::string(request.path)},
                          {.next = missing->nearest.empty() ? "" : "did you mean " + missing->nearest + "?"});
  }
  if (auto wrong = std::get_if<Router::WrongMethod>(&found)) {
    Response response =
        request.method == "OPTIONS"
            ? Response{.status = 204}
            : error_response({Code::unimplemented, "net.wrong_method",
                              std::string(request.path) + " does not take " + std::string(request.method)},
                             {.next = "use " + wrong->allow});
    if (request.method != "OPTIONS") response.status = 405;
    response.headers.emplace_back("Allow", wrong->allow);
    return response;
  }
  const Route* route = std::get<const Route*>(found);
  const bool page_allowed = route->options.cross_origin && origin_allowed(request.header("Origin"), config.origins);
  auto allowed = authorize_now({.access = route->access,
                                .authorization = request.header("Authorization"),
                                .host = request.header("Host"),
                                .origin = request.header("Origin"),
                                .sec_fetch_site = request.header("Sec-Fetch-Site"),
                                .origin_allowed = page_allowed,
                                .right = route->options.right,
                                .what = request.path},
                               config.auth);
  // The page gets to read why.
  const auto refuse = [&](Response response) {
    if (route->options.cross_origin) add_origin_headers(response, request.header("Origin"), config.origins);
    return response;
  };
  if (!allowed) return refuse(error_response(allowed.error()));
  // Only what a route asks for is inflated, within its bound. (The bytes of an upload are a file, whatever it holds.)
  const auto coding = request.header("Content-Encoding");
  const bool taken = route->kind == Route::Kind::upload || (route->options.inflate && can_inflate(coding));
  if (!coding.empty() && coding != "identity" && !taken) {
    auto response = error_response({Code::invalid_argument, "net.compressed_body",
                                    "the body is compressed (Content-Encoding), which is not taken here"},
                                   {.next = "send it as it is"});
    response.status = 415;
    return refuse(std::move(response));
  }
  request.query_parameters = parse_query(request.query_text);
  return route;
}

Response Core::call(const Route& route, const Request& request) const {
  std::optional<TraceScope> traced;
  if (request.trace) traced.emplace(request.trace);
  return guarded([&] { return route.handler(request); },
                 [&](const std::string& what) {
                   env.log.error(
                       "handler_failed",
                       {{"method", route.method}, {"path", route.pattern}, {"request", request.id}, {"what", what}});
                   return error_response({Code::internal, "net.handler_failed",
                                          "an internal error; the server's log has it under request " + request.id});
                 });
}

Response Core::call_inflated(const Route& route, Request& request) {
  const auto coding = request.header("Content-Encoding");
  if (!route.options.inflate || !can_inflate(coding)) return call(route, request);
  std::uint64_t held = 0;
  const auto take = [&](std::uint64_t bytes) {
    held += bytes;
    return bodies_bytes.fetch_add(bytes) + bytes <= config.bodies_bytes_max;
  };
  const auto answer = [&] {
    auto body = inflate_body(request.body, coding, body_bytes_max(route), take);
    if (body) {
      request.body = *body;
      return call(route, request);
    }
    if (body.error().reason == "net.body_too_large") return too_large_response(body_bytes_max(route));
    if (body.error().reason == "net.overloaded") return overloaded();
    return error_response(body.error());
  };
  auto response = answer();
  request.body = {};
  bodies_bytes.fetch_sub(held);
  return response;
}

Result<std::unique_ptr<UploadSink>> Core::open_upload(const Route& route, const Request& request) const {
  return guarded([&] { return route.upload(request); },
                 [&](const std::string& what) -> Result<std::unique_ptr<UploadSink>> {
                   return fail(Code::internal, "net.handler_failed", what);
                 });
}

Result<std::unique_ptr<Follower>> Core::open_follow(const Route& route, const Request& request) const {
  return guarded([&] { return route.follow(request); },
                 [&](const std::string& what) -> Result<std::unique_ptr<Follower>> {
                   return fail(Code::internal, "net.handler_failed", what);
                 });
}

std::string Core::new_id() {
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(id_salt_),
                static_cast<unsigned long long>(id_next_.fetch_add(1)));
  return text;
}

void Core::finished(const Route* route, int status, SteadyPoint since) {
  probe.request_finished(route, status, env.clock.steady() - since);
  if (in_flight.fetch_sub(1) == 1 && stopping) {
    std::lock_guard lock(idle_mutex_);
    idle_.notify_all();
  }
}

void Core::note(const Route* route, const Request& request, int status, std::uint64_t bytes, SteadyPoint since) {
  if (!access || !access->wants(status, request.id)) return;
  access->add({.method = std::string(request.method),
               .path = std::string(request.path),
               .route = route ? route->pattern : "",
               .status = status,
               .bytes = bytes,
               .took = env.clock.steady() - since,
               .request = request.id,
               .trace = std::string(trace_id(request.header("traceparent"))),
               .remote = std::string(request.remote)});
}

std::unique_ptr<Trace> Core::begin_trace(const Request& request) const {
  return config.tracer->begin(request.header("traceparent"), request.id, request.method);
}

// Names and keys are OpenTelemetry's for HTTP servers.
void Core::end_trace(std::unique_ptr<Trace> trace, const Route* route, const Request& request, int status) const {
  auto& root = trace->root();
  root.name = std::string(request.method) + (route ? " " + route->pattern : "");
  root.attributes = {{"http.request.method", std::string(request.method)},
                     {"url.path", std::string(request.path)},
                     {"http.response.status_code", std::int64_t{status}},
                     {"millrace.request", request.id}};
  if (route) root.attributes.push_back({"http.route", route->pattern});
  root.failed = status >= 500;
  config.tracer->end(std::move(trace));
}

bool Core::wait_idle(Duration time_max) {
  std::unique_lock lock(idle_mutex_);
  idle_.wait_for(lock, time_max, [&] { return hurry_ || in_flight == 0; });
  return in_flight == 0;
}

void Core::hurry() {
  std::lock_guard lock(idle_mutex_);
  hurry_ = true;
  idle_.notify_all();
}

void Core::rest(Duration time) {
  std::unique_lock lock(idle_mutex_);
  idle_.wait_for(lock, time, [&] { return hurry_; });
}

bool Core::hurried() {
  std::lock_guard lock(idle_mutex_);
  return hurry_;
}

void Core::end_loops() {
  std::unique_lock lock(loops_mutex_);
  loops_gone_ = true;
}

}  // namespace millrace::net
