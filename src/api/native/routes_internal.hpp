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
// The moment to look back at, `at` of the query string; registry::as_of_now without one. Errors: moment.hpp.
Result<TimePoint> moment_of(Context& c, const Request& request);
// Who asks, for the records.
std::string person(const Request& request);

// The body into the blob store, then `take`s it: the answer.
class UploadThen final : public net::UploadSink {
 public:
  using Take = std::function<Result<Response>(const Digest& body)>;
  UploadThen(std::unique_ptr<blob::Writer> writer, Take take) : writer_(std::move(writer)), take_(std::move(take)) {}
  Result<void> append(std::span<const std::byte> piece) override { return writer_->append(piece); }
  Result<Response> finish() override {
    TRY(const auto body, writer_->commit());
    return take_(body.digest);
  }
  void abort(const Error&) override { writer_.reset(); }

 private:
  std::unique_ptr<blob::Writer> writer_;
  Take take_;
};

// Of the project file in use.
HiddenColumns hidden_columns(Context& c);

void add_project_routes(net::Server& server, Context& c);
void add_data_routes(net::Server& server, Context& c);
void add_run_routes(net::Server& server, Context& c);
void add_model_routes(net::Server& server, Context& c);
void add_release_routes(net::Server& server, Context& c);
void add_batch_routes(net::Server& server, Context& c);
void add_worker_routes(net::Server& server, Context& c);
void add_token_routes(net::Server& server, Context& c);
void add_fleet_routes(net::Server& server, Context& c);
Result<Why> why_of(Context& c, const std::string& prediction);
Result<LabelQueue> label_queue_of(Context& c, const std::string& model, std::optional<std::int64_t> count);

}  // namespace millrace::api
