// One server's native API, for processes that are not the server.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/env.hpp"
#include "base/http_client.hpp"
#include "base/log.hpp"
#include "base/result.hpp"

namespace millrace::remote {

// Thread-safe. Errors of the server come back as it named them; one out of reach is unavailable `http.unreachable`, an
// answer that is not this API's is `remote.bad_answer`.
class ApiClient {
 public:
  ApiClient(Env& env, std::string url, Secret token, HttpClientConfig http);

  struct Call {
    std::string method = "GET";
    std::string path;
    std::string body;
    std::string content_type = "application/json";
    HttpHeaders headers;
    Duration deadline = std::chrono::seconds(30);
    std::uint64_t response_bytes_max = 256u << 20;
    std::function<Result<void>(std::span<const std::byte>)> to_function;
    std::function<bool()> cancelled;
  };
  // The body of a 2xx answer.
  Result<std::string> send(Call call) const;
  const std::string& url() const { return url_; }

 private:
  std::string url_;
  Secret token_;
  std::unique_ptr<HttpClient> http_;
};

// The server did not say no: it was not reached, or could not answer now. Asking again may help.
bool may_pass(const Error& error);

}  // namespace millrace::remote
