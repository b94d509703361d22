#include "api/v2/routes.hpp"

#include <charconv>
#include <format>

#include "api/turn.hpp"
#include "api/v2/infer_request.hpp"
#include "api/v2/render.hpp"
#include "api/v2/routes_internal.hpp"
#include "api/v2/signature.hpp"

namespace millrace::api::v2 {

namespace {

using net::Request;
using net::Response;

constexpr std::string_view kHeaderLength = "Inference-Header-Content-Length";

Result<std::optional<std::size_t>> header_length(const Request& request) {
  const auto text = request.header(kHeaderLength);
  if (text.empty()) return std::optional<std::size_t>();
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return fail(Code::invalid_argument, "v2.bad_request",
                std::format("{} is '{}', which is no number of bytes", kHeaderLength, table::excerpt(text, 40)));
  }
  return std::optional<std::size_t>(value);
}

Result<serve::Predictor::Held> held_by(const Context& c, const Request& request, bool may_wait) {
  const auto& model = request.path_parameter("model");
  const auto& version = request.path_parameter("version");
  if (!version.empty()) return hold(c, model, version, may_wait);
  TRY(const auto choice, serve::parse_choice(request.header(serve::kChoiceHeader)));
  return c.predictor.hold(model, choice, may_wait);
}

Result<InferAnswer> infer_tensors(const Context& c, const Request& request, const serve::Predictor::Held& held,
                                  const InferRequest& ask, serve::Measure& measure) {
  const auto& manifest = held.model().manifest();
  TRY(const auto tensors, tensors_asked(manifest, ask));
  TRY(const auto answered, c.predictor.answer_tensors(held, tensors.inputs, tensors.outputs, measure));
  return render_tensors(request.path_parameter("model"), held.version(), manifest.tensors.outputs, ask, tensors.outputs,
                        answered);
}

Result<InferAnswer> infer_rows(const Context& c, const Request& request, serve::Predictor::Held& held,
                               InferRequest& ask, serve::Measure& measure) {
  const auto& manifest = held.model().manifest();
  if (const auto matrix = c.predictor.keeps_log() ? std::nullopt : matrix_of(manifest, ask)) {
    TRY(const auto answered, c.predictor.answer_matrix(held, matrix->features, matrix->rows, measure));
    return render_tensors(request.path_parameter("model"), held.version(), outputs_of(manifest), ask, kBareOutputs,
                          answered);
  }
  TRY(const auto rows, c.predictor.rows(held, measure, [&](const model::LoadedModel& model) {
    return rows_of(model.manifest(), held.undecided() ? ask.inputs : std::exchange(ask.inputs, {}));
  }));
  TRY(const auto answered, c.predictor.answer(held, rows, measure));
  return render_infer(request.path_parameter("model"), held.version(), held.model().manifest(), ask, answered);
}

Result<Response> infer(const Context& c, const Request& request) {
  TRY(auto held, held_by(c, request, request.may_wait));
  const auto turn = turn_of(request);
  TRY_VOID(c.predictor.admit(held, turn));
  const auto& manifest = held.model().manifest();
  auto measure = c.predictor.measure(held, turn);
  TRY(const auto json_bytes, header_length(request));
  TRY(auto ask, parse_infer(request.body, json_bytes, limits_of(manifest)));
  TRY_VOID(check_outputs(manifest, ask.outputs));
  TRY_VOID(measure.check_in_time(ask.timeout));
  TRY(auto answer, manifest.takes_tensors() ? infer_tensors(c, request, held, ask, measure)
                                            : infer_rows(c, request, held, ask, measure));
  measure.succeeded();
  auto response = net::json_response(std::move(answer.body));
  if (held.fell_back()) response.headers.emplace_back(serve::kChoiceHeader, std::to_string(held.version()));
  if (answer.json_bytes < response.body.size()) {
    response.content_type = "application/octet-stream";
    response.headers.emplace_back(kHeaderLength, std::to_string(answer.json_bytes));
  }
  return response;
}

void add_health(net::Server& server, Context& c) {
  const net::RouteOptions open{.access = net::Access::open, .cross_origin = true};
  server.fast("GET", "/v2/health/live", [](const Request&) { return net::json_response("{\"live\":true}"); }, open);
  server.fast("GET", "/v2/health/ready", handler([&server, &c](const Request&) -> Result<Response> {
                if (server.ready() && c.predictor.ready()) return net::json_response("{\"ready\":true}");
                return fail(Code::unavailable, "v2.not_ready", "no model answers yet; see: millrace status");
              }),
              open);
}

void add_models(net::Server& server, Context& c) {
  const net::RouteOptions rows{.body_bytes_max = 16u << 20,
                               .right = net::Right::predict,
                               .cross_origin = true,
                               .pool_on = serve::kOnDisk,
                               .inflate = true};
  const net::RouteOptions about{.right = net::Right::predict, .cross_origin = true, .pool_on = serve::kOnDisk};
  const net::RouteOptions look{.right = net::Right::predict, .pool_on = serve::kOnDisk};
  for (const std::string model : {"/v2/models/{model}", "/v2/models/{model}/versions/{version}"}) {
    server.fast("GET", model, handler([&c](const Request& request) -> Result<Response> {
                  TRY(const auto held, held_by(c, request, request.may_wait));
                  return net::json_response(
                      render_model(request.path_parameter("model"), held.model().manifest(), held.versions()));
                }),
                about);
    server.fast("GET", model + "/ready", handler([&c](const Request& request) -> Result<Response> {
                  // Ready is also what comes back from the disk when it is asked.
                  if (const auto held = held_by(c, request, false); !held && held.error().reason != serve::kOnDisk)
                    return fail(held.error());
                  return net::json_response(render_ready(request.path_parameter("model")));
                }),
                about);
    server.fast("GET", model + "/config", handler([&c](const Request& request) -> Result<Response> {
                  TRY(const auto held, held_by(c, request, request.may_wait));
                  return net::json_response(render_config(request.path_parameter("model"), held.model().manifest()));
                }),
                look);
    server.fast("POST", model + "/infer", handler([&c](const Request& request) { return infer(c, request); }), rows);
  }
}

}  // namespace

Result<serve::Predictor::Held> hold(const Context& c, std::string_view model, std::string_view text, bool may_wait) {
  if (text.empty()) return c.predictor.hold(model, serve::Choice{}, may_wait);
  std::int64_t version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (error != std::errc() || end != text.data() + text.size()) {
    return fail(
        Code::not_found, "v2.no_version",
        std::format("model '{}' has no version '{}': versions are whole numbers", model, table::excerpt(text, 40)));
  }
  return c.predictor.hold(model, version, may_wait);
}

void add_routes(net::Server& server, Context& c) {
  server.error_shape("/v2", render_error);
  server.fast("GET", "/v2", [&c](const Request&) { return net::json_response(render_server(c.version)); },
              {.right = net::Right::predict});
  add_health(server, c);
  add_models(server, c);
  add_repository_routes(server, c);
  add_statistics_routes(server, c);
  add_settings_routes(server, c);
}

}  // namespace millrace::api::v2
