// The protocol's extensions about the server itself: the model repository, statistics, settings.
#include <algorithm>
#include <format>

#include "api/json_reader_internal.hpp"
#include "api/v2/render.hpp"
#include "api/v2/routes_internal.hpp"
#include "api/v2/settings.hpp"

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

net::Handler refused(Context& c, bool load) {
  return handler([&c, load](const net::Request& request) -> Result<net::Response> {
    TRY_VOID(managed(c, request.path_parameter("model"), load));
    return net::json_response("");
  });
}

net::Handler repository(Context& c, bool load) {
  return handler([&c, load](const net::Request& request) -> Result<net::Response> {
    LoadRequest ask{.model = request.path_parameter("model"), .load = load};
    if (load) {
      TRY(ask.files, parse_load_files(request.body));
    }
    TRY_VOID(c.repository(ask));
    return net::json_response("{}");
  });
}

}  // namespace

Result<void> managed(const Context& c, const std::string& name, bool load) {
  const auto states = c.predictor.states();
  if (std::ranges::find(states, name, &serve::Predictor::ModelState::name) == states.end()) {
    return fail(
        Code::not_found, "v2.no_model",
        std::format("there is no model '{}' here; the repository's index lists them", table::excerpt(name, 60)));
  }
  return fail(Code::failed_precondition, "v2.managed",
              std::format("'{}' is not {} by a client: its project decides which versions are served; use: millrace {}",
                          name, load ? "loaded" : "unloaded",
                          load ? std::format("promote {}:VERSION --reason \"...\"", name) : "rollback " + name));
}

Result<std::vector<serve::ModelReport>> statistics_of(const Context& c, std::string_view model,
                                                      std::string_view version) {
  auto all = c.predictor.statistics();
  if (model.empty()) return all;
  // What left memory is still counted.
  const auto held = hold(c, model, version, false);
  if (!held && held.error().reason != serve::kOnDisk) return fail(held.error());
  const auto asked = held ? std::to_string(held->version()) : std::string(version);
  std::erase_if(all, [&](const auto& each) { return each.name != model; });
  for (auto& each : all)
    std::erase_if(each.versions,
                  [&](const auto& one) { return !version.empty() && std::to_string(one.number) != asked; });
  return all;
}

void add_repository_routes(net::Server& server, Context& c) {
  server.fast("POST", "/v2/repository/index", handler([&c](const net::Request& request) -> Result<net::Response> {
                TRY(const bool only, only_ready(request.body));
                return net::json_response(render_index(index_of(c.predictor.states(), only)));
              }),
              {.body_bytes_max = 64u << 10, .access = net::Access::read, .right = net::Right::predict});
  if (c.repository) {
    const net::RouteOptions small{.body_bytes_max = 1u << 20};
    server.pooled("POST", "/v2/repository/models/{model}/load", repository(c, true),
                  {.body_bytes_max = c.upload_bytes_max});
    server.pooled("POST", "/v2/repository/models/{model}/unload", repository(c, false), small);
    return;
  }
  server.fast("POST", "/v2/repository/models/{model}/load", refused(c, true));
  server.fast("POST", "/v2/repository/models/{model}/unload", refused(c, false));
}

void add_settings_routes(net::Server& server, Context& c) {
  const auto answer = [&c](std::vector<Setting> (*settings)()) {
    return handler([&c, settings](const net::Request& request) -> Result<net::Response> {
      const auto& model = request.path_parameter("model");
      if (!model.empty()) TRY_VOID(c.predictor.hold(model, std::nullopt));
      if (request.method == "POST") {
        TRY(const auto asked, parse_settings_json(request.body));
        TRY_VOID(check_settings(settings(), asked));
      }
      return net::json_response(render_settings(settings()));
    });
  };
  const net::RouteOptions small{.body_bytes_max = 64u << 10};
  for (const auto* path : {"/v2/trace/setting", "/v2/models/{model}/trace/setting"}) {
    server.fast("GET", path, answer(trace_settings));
    server.fast("POST", path, answer(trace_settings), small);
  }
  server.fast("GET", "/v2/logging", answer(log_settings));
  server.fast("POST", "/v2/logging", answer(log_settings), small);
}

void add_statistics_routes(net::Server& server, Context& c) {
  for (const auto* path :
       {"/v2/models/stats", "/v2/models/{model}/stats", "/v2/models/{model}/versions/{version}/stats"}) {
    server.fast("GET", path, handler([&c](const net::Request& request) -> Result<net::Response> {
                  TRY(const auto found,
                      statistics_of(c, request.path_parameter("model"), request.path_parameter("version")));
                  return net::json_response(render_statistics(found));
                }),
                {.right = net::Right::predict});
  }
}

}  // namespace millrace::api::v2
