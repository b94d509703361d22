#include "api/native/routes_predict.hpp"

#include <charconv>
#include <format>

#include "api/turn.hpp"

namespace millrace::api {

namespace {

net::Response predict(serve::Predictor& predictor, const net::Request& request, std::optional<std::int64_t> version) {
  auto type = request.header("Content-Type");
  const auto choice = serve::parse_choice(request.header(serve::kChoiceHeader));
  if (!choice) return net::error_response(choice.error());
  std::optional<std::int64_t> fell_back_to;
  serve::PredictRequest ask{request.path_parameter("model"),
                            request.body,
                            type.starts_with("text/csv") ? serve::RowFormat::csv : serve::RowFormat::json,
                            version,
                            turn_of(request),
                            *choice,
                            &fell_back_to};
  model::Problem problem;
  auto body = predictor.predict(ask, &problem);
  if (!body) {
    net::ErrorDetail detail;
    detail.field = problem.path;
    detail.expected = problem.expected;
    detail.got = problem.got;
    if (body.error().code == Code::unavailable) detail.retry_after_seconds = 1;
    return net::error_response(body.error(), detail);
  }
  auto response = net::json_response(*std::move(body));
  if (fell_back_to) response.headers.emplace_back(serve::kChoiceHeader, std::to_string(*fell_back_to));
  return response;
}

Result<std::int64_t> version_of(const net::Request& request) {
  const auto& text = request.path_parameter("version");
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && value >= 0) return value;
  return fail(Code::invalid_argument, "api.bad_number", std::format("version '{}' is not a whole number", text));
}

}  // namespace

void add_predict_routes(net::Server& server, serve::Predictor& predictor) {
  net::RouteOptions open{.access = net::Access::open};
  server.fast("GET", "/healthz", [](const net::Request&) { return net::text_response("ok\n"); }, open);
  const auto ready = [&](const net::Request&) {
    return server.ready() && predictor.ready()
               ? net::text_response("ready\n")
               : net::error_response({Code::unavailable, "api.not_ready", "no model answers yet; see: millrace status"},
                                     {.retry_after_seconds = 1});
  };
  server.fast("GET", "/readyz", ready, open);
  server.fast(
      "GET", "/readyz/{model}",
      [&](const net::Request& request) {
        const auto held = predictor.hold(request.path_parameter("model"), std::nullopt);
        // What left memory comes back when it is asked.
        if (!held && held.error().reason != serve::kOnDisk) return net::error_response(held.error());
        return net::text_response("ready\n");
      },
      open);
  net::RouteOptions rows{
      .body_bytes_max = 16u << 20, .right = net::Right::predict, .cross_origin = true, .pool_on = serve::kOnDisk};
  server.fast(
      "POST", "/predict/{model}", [&predictor](const net::Request& r) { return predict(predictor, r, std::nullopt); },
      rows);
  server.fast(
      "POST", "/predict/{model}/versions/{version}",
      [&predictor](const net::Request& r) {
        const auto version = version_of(r);
        return version ? predict(predictor, r, *version) : net::error_response(version.error());
      },
      rows);
}

void add_no_predict_routes(net::Server& server) {
  net::RouteOptions open{.access = net::Access::open};
  server.fast("GET", "/healthz", [](const net::Request&) { return net::text_response("ok\n"); }, open);
  server.fast(
      "GET", "/readyz",
      [&server](const net::Request&) {
        return server.ready() ? net::text_response("ready\n")
                              : net::error_response({Code::unavailable, "api.not_ready", "the server is stopping"},
                                                    {.retry_after_seconds = 1});
      },
      open);
  const auto nothing = [](const net::Request&) {
    return net::error_response({Code::not_found, "api.serves_nothing",
                                "this server answers no predictions (millrace admin): ask one of its predictors; "
                                "GET /api/v1/predictors, or millrace predictors, lists them with their addresses"},
                               {.next = "millrace predictors"});
  };
  for (const auto* path : {"/readyz/{model}", "/v2", "/v2/{path...}", "/ping", "/version"})
    server.fast("GET", path, nothing);
  for (const auto* path : {"/predict/{model}", "/predict/{model}/versions/{version}", "/v2/{path...}", "/invocations",
                           "/invocations/{model}"})
    server.fast("POST", path, nothing);
}

}  // namespace millrace::api
