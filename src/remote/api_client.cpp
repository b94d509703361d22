#include "remote/api_client.hpp"

#include <format>

#include "api/native/wire.hpp"
#include "base/error_codes.hpp"

namespace millrace::remote {

ApiClient::ApiClient(Env& env, std::string url, Secret token, HttpClientConfig http)
    : url_(std::move(url)), token_(std::move(token)), http_(make_http_client(env.fs, std::move(http))) {
  while (url_.ends_with('/')) url_.pop_back();
}

Result<std::string> ApiClient::send(Call call) const {
  HttpRequest request;
  request.method = std::move(call.method);
  request.url = url_ + call.path;
  request.headers = std::move(call.headers);
  if (request.method != "GET") request.headers.emplace_back("Content-Type", call.content_type);
  if (!token_.empty()) request.headers.emplace_back("Authorization", "Bearer " + token_.reveal());
  request.body = std::move(call.body);
  request.deadline = call.deadline;
  request.response_bytes_max = call.response_bytes_max;
  request.to_function = std::move(call.to_function);
  request.cancelled = std::move(call.cancelled);
  TRY(auto response, http_->send(request));
  if (response.ok()) return std::move(response.body);
  auto error = api::parse_error(response.body);
  if (!error)
    return fail(code_from_http(response.status), "remote.bad_answer",
                std::format("{} answered {}", url_, response.status));
  return fail(code_from_name(error->error.code).value_or(code_from_http(response.status)), error->error.reason,
              error->error.message);
}

bool may_pass(const Error& error) {
  switch (error.code) {
    case Code::unavailable:
    case Code::deadline_exceeded:
    case Code::resource_exhausted:
    case Code::aborted:
    case Code::cancelled:
    case Code::unauthenticated:  // a token that is being changed
    case Code::permission_denied:
    case Code::internal:
    case Code::unknown:
      return true;
    default:
      return false;
  }
}

}  // namespace millrace::remote
