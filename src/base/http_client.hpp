// Requests to other servers, and of our own CLI to ours. Every request has a deadline and a bound on what comes back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/fs.hpp"
#include "base/result.hpp"

namespace millrace {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method = "GET";
  std::string url;  // http or https
  HttpHeaders headers;
  std::string body;
  std::string body_file;                         // instead of `body`: streamed with its Content-Length
  Duration deadline = std::chrono::seconds(30);  // for all of it, from the look-up of the name to the last byte
  std::uint64_t response_bytes_max = 16u << 20;
  // Where a 2xx answer's body goes instead of HttpResponse::body: a file, synced when complete and removed when not...
  std::string to_file;
  // ... or a function that takes it piece by piece; its error ends the request and is what send() returns. While it
  // works nothing is read, so a slow taker slows the sender.
  std::function<Result<void>(std::span<const std::byte>)> to_function;
  std::function<bool()> cancelled;  // asked about once a second and between pieces
};

struct HttpResponse {
  int status = 0;
  HttpHeaders headers;  // names in lower case, in the order of arrival
  std::string body;     // empty where a 2xx body went elsewhere
  std::uint64_t body_bytes = 0;
  bool ok() const { return status >= 200 && status < 300; }
  std::string_view header(std::string_view lower_case_name) const;  // the first one; empty when there is none
};

// Thread-safe.
class HttpClient {
 public:
  virtual ~HttpClient() = default;
  // Any status is a success here. Redirects are answers like others. unavailable `http.unreachable` (no such host,
  // refused, broken off) and `http.bad_certificate`, deadline_exceeded `http.deadline`, resource_exhausted
  // `http.too_large`, cancelled `http.cancelled`, permission_denied `http.address_refused`, invalid_argument
  // `http.bad_url`, `http.bad_header`; "fs.*" of the files. Messages carry no password and no query of the URL.
  virtual Result<HttpResponse> send(const HttpRequest& request) = 0;
};

// What an address is for, by the registries of IANA; an IPv4 address inside an IPv6 one counts as itself.
enum class AddressKind { global, loopback, private_net, link_local, other };  // other: unspecified, multicast, reserved
AddressKind address_kind(std::string_view ip);                                // other for what is no address

struct HttpClientConfig {
  std::string user_agent = "millrace";
  Duration connect_max = std::chrono::seconds(10);
  std::size_t idle_max = 8;  // connections kept for the next request
  std::string ca_file;       // PEM; empty: the system's
  // Asked with each https request: the key that the server must prove to have, "sha256//..." (base/certificate.hpp).
  // Then who signed its certificate, for which name and until when is of no concern; "": it is, as without this.
  std::function<std::string()> key_pin;
  std::string proxy;  // empty: none, whatever the environment says
  // Asked with each resolved address before it is contacted ("127.0.0.1", "::1"); none: all are fine. It sees what the
  // name resolved to, so a name that points inside does not slip through.
  std::function<bool(std::string_view ip, int port)> may_contact;
};

// Through libcurl. Connections are kept and used again. `fs` outlives the client.
std::unique_ptr<HttpClient> make_http_client(Fs& fs, HttpClientConfig config = {});

}  // namespace millrace
