// What the route files share. Handlers translate and call; one file per subject.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "api/native/map.hpp"
#include "api/native/routes.hpp"

namespace millrace::api {

using net::Request;
using net::Response;

template <class T>
Response answer(const Result<T>& value, int status = 200) {
  if (!value) return net::error_response(value.error());
  return net::json_response(render(*value), status);
}

// invalid_argument `api.bad_number`.
Result<std::int64_t> number_of(std::string_view text, std::string_view what);
// A number of the query string; out_of_range `api.bad_number` above `max`.
Result<std::int64_t> query_number(const Request& request, std::string_view name, std::int64_t fallback,
                                  std::int64_t max);
// Who asks, for the records.
std::string person(const Request& request);

// Of the project file in use.
HiddenColumns hidden_columns(Context& c);

void add_project_routes(net::Server& server, Context& c);
void add_data_routes(net::Server& server, Context& c);
void add_run_routes(net::Server& server, Context& c);
void add_model_routes(net::Server& server, Context& c);
void add_worker_routes(net::Server& server, Context& c);
Result<Why> why_of(Context& c, const std::string& prediction);
Result<LabelQueue> label_queue_of(Context& c, const std::string& model, std::optional<std::int64_t> count);

}  // namespace millrace::api
