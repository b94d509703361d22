// The command line's connection to a server: where it is, with which token, one call at a time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/native/wire.hpp"
#include "base/env.hpp"
#include "base/http_client.hpp"
#include "base/log.hpp"
#include "base/result.hpp"

namespace millrace::cli {

struct ServerAddress {
  std::string url;  // "http://127.0.0.1:7070"
  Secret token;
  std::string user;              // who asks, for the records; "" is not sent
  std::string ca_file;           // PEM; whose signature on the server's certificate counts. "": the system's
  std::string certificate_file;  // the server's own, known because its data folder is ours: no other one is taken
};

// In this order: `url` when given; MILLRACE_URL; the file `address` in `data_dir` when given, else in .millrace of
// `folder` or of a folder above it. The token: MILLRACE_TOKEN, else the file `token` beside `address`. The user:
// MILLRACE_USER, else USER, LOGNAME, "cli". not_found `client.no_server`. The CA: `ca`, else MILLRACE_CA; without one a
// server whose data folder was found is known by the certificate that it has named there.
Result<ServerAddress> find_server(Fs& fs, const std::function<std::optional<std::string>(const char*)>& environment,
                                  const std::string& folder, const std::string& url, const std::string& data_dir,
                                  const std::string& ca = {});
// How that server is spoken to. `fs` outlives it.
HttpClientConfig http_config(Fs& fs, const ServerAddress& address, std::string user_agent);

class Client {
 public:
  Client(Env& env, ServerAddress address);
  // The body of a 2xx answer. Other answers become the Error that the server named; unavailable `client.unreachable`
  // says how to start a server.
  Result<std::string> call(std::string_view method, const std::string& path, std::string body = {},
                           std::string content_type = "application/json");
  Result<std::string> upload(const std::string& path, const std::string& file);
  template <class T>
  Result<T> get(const std::string& path) {
    TRY(auto body, call("GET", path));
    return api::parse<T>(body);
  }
  template <class T, class Request>
  Result<T> post(const std::string& path, const Request& request) {
    TRY(auto body, call("POST", path, api::render(request)));
    return api::parse<T>(body);
  }
  // Lines of a follow route, each as it comes, until the stream ends; what `take` fails with ends it at once.
  // unavailable `client.unreachable` when it broke off.
  Result<void> follow(const std::string& path, const std::function<Result<void>(const std::string& line)>& take,
                      const std::function<bool()>& cancelled);
  // Whether download() may make this file: what it would refuse.
  Result<void> may_write(const std::string& file, bool replace) const;
  // Into a file that must not be there yet, but with `replace`: already_exists `client.file_exists`. Its size.
  Result<std::uint64_t> download(const std::string& path, const std::string& file, bool replace);
  void move_to(ServerAddress address) { address_ = std::move(address); }  // the server came back elsewhere
  const std::string& url() const { return address_.url; }
  const ServerAddress& address() const { return address_; }

 private:
  Result<std::string> send(HttpRequest request);
  Result<HttpResponse> exchange(HttpRequest request);

  Env& env_;
  ServerAddress address_;
  std::unique_ptr<HttpClient> http_;
};

// "%20" and the like for one path component or query value.
std::string percent_encoded(std::string_view text);

}  // namespace millrace::cli
