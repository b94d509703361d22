// The protocol's extensions about the server itself: the model repository, and what is not there yet.
#include <algorithm>
#include <format>

#include "api/json_reader_internal.hpp"
#include "api/v2/render.hpp"
#include "api/v2/routes_internal.hpp"

namespace millrace::api::v2 {

namespace {

// {"ready":true} asks for the versions that answer alone; no body for all.
Result<bool> only_ready(std::string_view body) {
  bool only = false;
  JsonReader json(body);
  if (json.peek() == JsonReader::Kind::end) return only;
  TRY_VOID(json.object([&](const std::string& member) -> Result<void> {
    if (member != "ready") return json.skip();
    TRY(only, json.boolean());
    return {};
  }));
  TRY_VOID(json.end());
  return only;
}

// Which versions are in memory is a decision with a record and a way back, not a client's call.
net::Handler refused(Context& c, std::string_view what, std::string_view instead) {
  return handler([&c, what, instead](const net::Request& request) -> Result<net::Response> {
    const auto& name = request.path_parameter("model");
    const auto states = c.predictor.states();
    if (std::ranges::find(states, name, &serve::Predictor::ModelState::name) == states.end()) {
      return fail(
          Code::not_found, "v2.no_model",
          std::format("there is no model '{}' here; POST /v2/repository/index lists them", table::excerpt(name, 60)));
    }
    return fail(Code::failed_precondition, "v2.managed",
                std::format("'{}' is not {} by a client: its project decides which versions are served; use: {}", name,
                            what, std::vformat(instead, std::make_format_args(name))));
  });
}

net::Handler not_available(std::string_view what) {
  return handler([what](const net::Request&) -> Result<net::Response> {
    return fail(Code::unimplemented, "v2.not_available", std::format("{} not available yet", what));
  });
}

}  // namespace

void add_repository_routes(net::Server& server, Context& c) {
  server.fast("POST", "/v2/repository/index", handler([&c](const net::Request& request) -> Result<net::Response> {
                TRY(const bool only, only_ready(request.body));
                return net::json_response(render_index(c.predictor.states(), only));
              }),
              {.body_bytes_max = 64u << 10, .access = net::Access::read});
  server.fast("POST", "/v2/repository/models/{model}/load",
              refused(c, "loaded", "millrace promote {}:VERSION --reason \"...\""));
  server.fast("POST", "/v2/repository/models/{model}/unload", refused(c, "unloaded", "millrace rollback {}"));
}

void add_unavailable_routes(net::Server& server) {
  const auto statistics = not_available("the protocol's statistics are (GET /metrics has the counters)");
  for (const auto* path :
       {"/v2/models/stats", "/v2/models/{model}/stats", "/v2/models/{model}/versions/{version}/stats"})
    server.fast("GET", path, statistics);
  const auto trace = not_available("trace settings are"), log = not_available("log settings are");
  for (const auto* path : {"/v2/trace/setting", "/v2/models/{model}/trace/setting"}) {
    server.fast("GET", path, trace);
    server.fast("POST", path, trace);
  }
  server.fast("GET", "/v2/logging", log);
  server.fast("POST", "/v2/logging", log);
}

}  // namespace millrace::api::v2
