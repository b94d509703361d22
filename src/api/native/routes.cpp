#include "api/native/routes.hpp"

#include <algorithm>
#include <charconv>
#include <format>

#include "api/native/moment.hpp"
#include "api/native/routes_internal.hpp"
#include "api/native/routes_predict.hpp"

namespace millrace::api {

Result<std::int64_t> number_of(std::string_view text, std::string_view what) {
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) {
    return fail(Code::invalid_argument, "api.bad_number", std::format("{} '{}' is not a whole number", what, text));
  }
  return value;
}

Result<std::int64_t> query_number(const Request& request, std::string_view name, std::int64_t fallback,
                                  std::int64_t max) {
  auto text = request.query(name);
  if (!text) return fallback;
  TRY(auto value, number_of(*text, name));
  if (value > max) return fail(Code::out_of_range, "api.bad_number", std::format("{} is at most {}", name, max));
  return value;
}

Result<TimePoint> moment_of(Context& c, const Request& request) {
  const auto text = request.query("at");
  if (!text) return registry::as_of_now;
  TRY(const auto first, c.service.store().read([](meta::Reader& reader) { return loop::get_project(reader, 1); }));
  const auto now = c.service.env().clock.now();
  return parse_moment(*text, now, first ? first->applied : now);
}

HiddenColumns hidden_columns(Context& c) {
  return [project = c.service.project()](const std::string& dataset) {
    return project ? loop::sensitive_columns(*project, dataset) : data::ColumnNames();
  };
}

std::string person(const Request& request) {
  auto name = request.header("X-Millrace-User");
  return name.empty() ? "api" : std::string(name);
}

namespace {

// A list of labels, or one as it is.
Result<std::vector<Label>> parse_labels(std::string_view body) {
  const auto first = body.find_first_not_of(" \t\r\n");
  const bool one = first != body.npos && body[first] == '{';
  auto labels = parse<std::vector<Label>>(one ? "[" + std::string(body) + "]" : std::string(body));
  if (labels) return labels;
  return fail(Code::invalid_argument, labels.error().reason,
              "labels are a JSON list of objects with 'prediction' or 'key', and 'value' (and 'time', 'id', 'origin', "
              "'author' where known), as in [{\"prediction\":\"06F3X...\",\"value\":\"yes\"}]; " +
                  labels.error().message);
}

}  // namespace

void add_routes(net::Server& server, Context& c) {
  if (c.serves)
    add_predict_routes(server, c.predictor);
  else
    add_no_predict_routes(server);
  const net::RouteOptions rows{.body_bytes_max = 16u << 20};
  server.pooled(
      "POST", "/labels/{model}",
      [&c](const Request& r) {
        auto labels = parse_labels(r.body);
        if (!labels) return net::error_response(labels.error());
        auto intake = c.service.add_labels(r.path_parameter("model"), from_wire(*labels));
        if (!intake) return net::error_response(intake.error());
        return net::json_response(render(LabelsAnswer{intake->accepted, intake->duplicates}));
      },
      rows);
  add_project_routes(server, c);
  add_data_routes(server, c);
  add_run_routes(server, c);
  add_model_routes(server, c);
  add_release_routes(server, c);
  add_batch_routes(server, c);
  add_worker_routes(server, c);
  add_token_routes(server, c);
  add_fleet_routes(server, c);
}

}  // namespace millrace::api
