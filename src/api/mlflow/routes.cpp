#include "api/mlflow/routes.hpp"

#include <format>

#include "api/mlflow/scoring.hpp"
#include "api/mlflow/tensors.hpp"
#include "api/turn.hpp"
#include "api/v2/signature.hpp"

namespace millrace::api::mlflow {

namespace {

using net::Request;
using net::Response;

constexpr std::size_t kBodyMax = 16u << 20;
// With the names of the columns in each row a body becomes longer.
constexpr model::ParseLimits kLimits{.bytes_max = 4 * kBodyMax};

// MLflow's server has one model and its path names none; here it may be left out where there is one.
Result<std::string> model_of(const Context& c, const Request& request) {
  if (const auto& named = request.path_parameter("model"); !named.empty()) return named;
  auto models = c.predictor.names();
  if (models.size() == 1) return std::move(models.front());
  std::string paths;
  for (const auto& one : models) paths += std::format("{}/invocations/{}", paths.empty() ? "" : ", ", one);
  if (models.empty()) return fail(Code::unavailable, "serve.not_ready", "no model answers yet; see: millrace status");
  return fail(Code::invalid_argument, "mlflow.which_model", "there are several models: post to " + paths);
}

// A model that takes tensors: tensors, or rows where it takes such.
Result<Response> invoke_tensors(const Context& c, const Request& request, const serve::Predictor::Held& held) {
  auto measure = c.predictor.measure(held, turn_of(request));
  const auto& manifest = held.model().manifest();
  const auto& parser = held.model().parser();
  const bool csv = request.header("Content-Type").starts_with("text/csv");
  std::optional<std::vector<v2::Tensor>> tensors;
  if (!csv) {
    TRY(tensors, tensors_of(request.body, manifest.tensors));
  }
  if (tensors) {
    v2::InferRequest ask{.inputs = *std::move(tensors)};
    TRY(const auto asked, v2::tensors_asked(manifest, ask));
    TRY(const auto answered, c.predictor.answer_tensors(held, asked.inputs, asked.outputs, measure));
    TRY(auto text, render_tensors(manifest.tensors, answered, held.name_and_version()));
    measure.succeeded();
    return net::json_response(std::move(text));
  }
  if (manifest.inputs.empty()) {
    return fail(Code::invalid_argument, "mlflow.bad_form",
                "this model takes tensors and no rows: send 'inputs' or 'instances'");
  }
  model::ParsedRows rows;
  if (csv) {
    TRY(rows, parser.parse_csv(request.body, kLimits));
  } else {
    TRY(const auto text, rows_of(request.body, manifest, kLimits));
    TRY(rows, parser.parse_json(text, kLimits));
  }
  TRY(const auto answers, c.predictor.answer_tensor_rows(held, rows, measure));
  TRY(auto text, render_tensor_rows(manifest.tensors, answers, rows.rows.size(), held.name_and_version()));
  measure.succeeded();
  return net::json_response(std::move(text));
}

Result<Response> invoke(const Context& c, const Request& request) {
  TRY(const auto name, model_of(c, request));
  TRY(const auto choice, serve::parse_choice(request.header(serve::kChoiceHeader)));
  TRY(auto held, c.predictor.hold(name, choice, request.may_wait));
  TRY_VOID(c.predictor.admit(held, turn_of(request)));
  if (held.model().manifest().takes_tensors()) return invoke_tensors(c, request, held);
  auto measure = c.predictor.measure(held, turn_of(request));
  const bool csv = request.header("Content-Type").starts_with("text/csv");
  TRY(const auto rows,
      c.predictor.rows(held, measure, [&](const model::LoadedModel& model) -> Result<model::ParsedRows> {
        if (csv) return model.parser().parse_csv(request.body, kLimits);
        TRY(const auto text, rows_of(request.body, model.manifest(), kLimits));
        return model.parser().parse_json(text, kLimits);
      }));
  TRY(const auto answered, c.predictor.answer(held, rows, measure));
  auto response = net::json_response(render_answer(held.model().manifest(), answered, held.name_and_version()));
  if (held.fell_back()) response.headers.emplace_back(serve::kChoiceHeader, std::to_string(held.version()));
  measure.succeeded();
  return response;
}

}  // namespace

void add_routes(net::Server& server, Context& c) {
  server.error_shape("/invocations", render_error);
  const net::RouteOptions open{.access = net::Access::open};
  const net::RouteOptions rows{
      .body_bytes_max = kBodyMax, .right = net::Right::predict, .cross_origin = true, .pool_on = serve::kOnDisk};
  const auto handler = [&c](const Request& request) {
    auto response = invoke(c, request);
    if (response) return *std::move(response);
    net::ErrorDetail detail;
    if (response.error().code == Code::unavailable) detail.retry_after_seconds = 1;
    return net::error_response(response.error(), detail);
  };
  server.fast("POST", "/invocations", handler, rows);
  server.fast("POST", "/invocations/{model}", handler, rows);
  server.fast(
      "GET", "/ping",
      [&server, &c](const Request&) {
        if (server.ready() && c.predictor.ready()) return net::text_response("\n");
        return net::error_response({Code::unavailable, "api.not_ready", "no model answers yet; see: millrace status"},
                                   {.retry_after_seconds = 1});
      },
      open);
  server.fast("GET", "/version", [&c](const Request&) { return net::text_response(c.version + "\n"); }, open);
}

}  // namespace millrace::api::mlflow
