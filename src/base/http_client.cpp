#include "base/http_client.hpp"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <mutex>
#include <optional>

#include "base/check.hpp"

namespace millrace {
namespace {

constexpr std::uint64_t error_body_bytes_max = 1u << 20;

struct FreeEasy {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Easy = std::unique_ptr<CURL, FreeEasy>;
using List = std::unique_ptr<curl_slist, FreeList>;

void init_library() {
  static const CURLcode done = curl_global_init(CURL_GLOBAL_DEFAULT);
  check(done == CURLE_OK, "libcurl can start");
}

// Without password and query, for messages.
std::string shown(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  const auto scheme = url.find("://");
  if (scheme == std::string_view::npos) return std::string(url);
  const auto host = scheme + 3;
  const auto authority = url.substr(host, url.find('/', host) - host);
  const auto at = authority.rfind('@');
  if (at == std::string_view::npos) return std::string(url);
  return std::string(url.substr(0, host)) + std::string(url.substr(host + at + 1));
}

bool is_token(std::string_view text) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](unsigned char c) {
    return std::isalnum(c) || marks.find(static_cast<char>(c)) != std::string_view::npos;
  });
}

bool same_text(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

Result<void> check_request(const HttpRequest& request) {
  const auto scheme = request.url.substr(0, request.url.find("://"));
  if (!same_text(scheme, "http") && !same_text(scheme, "https")) {
    return fail(Code::invalid_argument, "http.bad_url",
                fmt::format("'{}' is no address of a server; it begins with http:// or https://", shown(request.url)));
  }
  for (const auto& [name, value] : request.headers) {
    // A line break in a value would add a header of somebody else's choice.
    if (is_token(name) && value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos) continue;
    return fail(Code::invalid_argument, "http.bad_header", fmt::format("the header '{}' cannot be sent", name));
  }
  if (is_token(request.method)) return {};
  return fail(Code::invalid_argument, "http.bad_header", fmt::format("'{}' is no method", request.method));
}

// One request on its way. The callbacks of libcurl come here.
struct Exchange {
  const HttpRequest& request;
  const HttpClientConfig& config;
  Fs& fs;
  HttpResponse response;
  std::unique_ptr<ReadableFile> upload;
  std::uint64_t upload_at = 0;
  std::unique_ptr<WritableFile> download;
  std::optional<Error> error;  // ours: libcurl only knows that a callback said no
  bool address_refused = false;

  bool goes_elsewhere() const { return response.ok() && (!request.to_file.empty() || request.to_function); }

  Result<void> take(std::span<const std::byte> piece) {
    response.body_bytes += piece.size();
    const auto max =
        response.ok() ? request.response_bytes_max : std::min(request.response_bytes_max, error_body_bytes_max);
    if (response.body_bytes > max) {
      return fail(
          Code::resource_exhausted, "http.too_large",
          fmt::format("{} answered more than {}", shown(request.url), format_size(static_cast<long long>(max))));
    }
    if (!goes_elsewhere()) {
      response.body.append(reinterpret_cast<const char*>(piece.data()), piece.size());
      return {};
    }
    if (request.to_function) return request.to_function(piece);
    if (!download) {
      TRY(download, fs.open_write(request.to_file, WriteMode::truncate));
    }
    return download->append(piece);
  }

  void header(std::string_view line) {
    while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
    if (line.starts_with("HTTP/")) {  // a new answer: the one before was 100 Continue
      response.headers.clear();
      const auto space = line.find(' ');
      response.status = space == std::string_view::npos ? 0 : std::atoi(std::string(line.substr(space + 1, 3)).c_str());
      return;
    }
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) return;
    std::string name(line.substr(0, colon));
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    auto value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
    while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
    response.headers.emplace_back(std::move(name), value);
  }
};

std::size_t on_write(char* data, std::size_t, std::size_t count, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  auto taken = exchange.take(std::as_bytes(std::span(data, count)));
  if (taken) return count;
  exchange.error = std::move(taken).error();
  return CURL_WRITEFUNC_ERROR;
}

std::size_t on_header(char* data, std::size_t, std::size_t count, void* self) {
  static_cast<Exchange*>(self)->header({data, count});
  return count;
}

std::size_t on_read(char* data, std::size_t, std::size_t count, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  auto got = exchange.upload->read(exchange.upload_at, std::as_writable_bytes(std::span(data, count)));
  if (!got) {
    exchange.error = std::move(got).error();
    return CURL_READFUNC_ABORT;
  }
  exchange.upload_at += *got;
  return *got;
}

// A kept connection may turn out dead after a part was sent: libcurl begins again on a new one.
int on_seek(void* self, curl_off_t offset, int origin) {
  if (origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  static_cast<Exchange*>(self)->upload_at = static_cast<std::uint64_t>(offset);
  return CURL_SEEKFUNC_OK;
}

int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto& request = static_cast<Exchange*>(self)->request;
  return request.cancelled && request.cancelled() ? 1 : 0;
}

curl_socket_t on_open_socket(void* self, curlsocktype, curl_sockaddr* address) {
  auto& exchange = *static_cast<Exchange*>(self);
  if (exchange.config.may_contact) {
    char text[INET6_ADDRSTRLEN] = "";
    int port = 0;
    if (address->family == AF_INET) {
      sockaddr_in v4{};
      std::memcpy(&v4, &address->addr, sizeof v4);
      ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
      port = ntohs(v4.sin_port);
    } else if (address->family == AF_INET6) {
      sockaddr_in6 v6{};
      // curl_sockaddr ends in a sockaddr with room for larger ones behind it.
      std::memcpy(&v6, reinterpret_cast<const char*>(address) + offsetof(curl_sockaddr, addr), sizeof v6);
      ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
      port = ntohs(v6.sin6_port);
    }
    if (!exchange.config.may_contact(text, port)) {
      exchange.address_refused = true;
      return CURL_SOCKET_BAD;
    }
  }
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

class CurlHttpClient final : public HttpClient {
 public:
  CurlHttpClient(Fs& fs, HttpClientConfig config) : fs_(fs), config_(std::move(config)) { init_library(); }

  Result<HttpResponse> send(const HttpRequest& request) override {
    TRY_VOID(check_request(request));
    Exchange exchange{.request = request, .config = config_, .fs = fs_};
    if (!request.body_file.empty()) {
      TRY(exchange.upload, fs_.open_read(request.body_file));
    }
    auto easy = take_handle();
    const auto headers = prepare(easy.get(), exchange);
    char detail[CURL_ERROR_SIZE] = "";
    curl_easy_setopt(easy.get(), CURLOPT_ERRORBUFFER, detail);
    const CURLcode code = curl_easy_perform(easy.get());
    curl_off_t took_us = 0;
    curl_easy_getinfo(easy.get(), CURLINFO_TOTAL_TIME_T, &took_us);
    curl_easy_reset(easy.get());  // keeps its connections
    give_back(std::move(easy));

    auto done = finish(exchange, code, detail, Duration(took_us));
    if (!done) {
      if (exchange.download) (void)fs_.remove(request.to_file);
      return fail(std::move(done).error());
    }
    return std::move(exchange.response);
  }

 private:
  Easy take_handle() {
    {
      const std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        auto easy = std::move(idle_.back());
        idle_.pop_back();
        return easy;
      }
    }
    Easy easy(curl_easy_init());
    check(easy != nullptr, "libcurl gives a handle");
    return easy;
  }

  void give_back(Easy easy) {
    const std::lock_guard lock(mutex_);
    if (idle_.size() < config_.idle_max) idle_.push_back(std::move(easy));
  }

  List prepare(CURL* curl, Exchange& exchange) {
    const auto set = [curl](CURLoption option, auto value) {
      check(curl_easy_setopt(curl, option, value) == CURLE_OK, "libcurl knows the option");
    };
    const auto milliseconds = [](Duration d) {
      return std::max(1L, static_cast<long>(std::chrono::ceil<std::chrono::milliseconds>(d).count()));
    };
    const auto& request = exchange.request;
    set(CURLOPT_URL, request.url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_USERAGENT, config_.user_agent.c_str());
    set(CURLOPT_PROXY, config_.proxy.c_str());
    set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!config_.ca_file.empty()) set(CURLOPT_CAINFO, config_.ca_file.c_str());
    if (const auto pin = config_.key_pin ? config_.key_pin() : std::string(); !pin.empty()) {
      set(CURLOPT_PINNEDPUBLICKEY, pin.c_str());
      set(CURLOPT_SSL_VERIFYPEER, 0L);
      set(CURLOPT_SSL_VERIFYHOST, 0L);
    }
    set(CURLOPT_TIMEOUT_MS, milliseconds(request.deadline));
    set(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(std::min(config_.connect_max, request.deadline)));
    set(CURLOPT_BUFFERSIZE, 128L << 10);
    set(CURLOPT_UPLOAD_BUFFERSIZE, 128L << 10);
    set(CURLOPT_WRITEFUNCTION, &on_write);
    set(CURLOPT_WRITEDATA, &exchange);
    set(CURLOPT_HEADERFUNCTION, &on_header);
    set(CURLOPT_HEADERDATA, &exchange);
    set(CURLOPT_OPENSOCKETFUNCTION, &on_open_socket);
    set(CURLOPT_OPENSOCKETDATA, &exchange);
    if (request.cancelled) {
      set(CURLOPT_NOPROGRESS, 0L);
      set(CURLOPT_XFERINFOFUNCTION, &on_progress);
      set(CURLOPT_XFERINFODATA, &exchange);
    }
    const auto& method = request.method;
    if (exchange.upload) {
      set(CURLOPT_UPLOAD, 1L);
      set(CURLOPT_READFUNCTION, &on_read);
      set(CURLOPT_READDATA, &exchange);
      set(CURLOPT_SEEKFUNCTION, &on_seek);
      set(CURLOPT_SEEKDATA, &exchange);
      set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(exchange.upload->size()));
    } else if (method == "HEAD") {
      set(CURLOPT_NOBODY, 1L);
    } else if (!request.body.empty() || method == "POST" || method == "PUT" || method == "PATCH") {
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
      set(CURLOPT_POSTFIELDS, request.body.c_str());
    }
    set(CURLOPT_CUSTOMREQUEST, method.c_str());

    List list;
    const auto add = [&list](const std::string& line) {
      auto* grown = curl_slist_append(list.get(), line.c_str());
      check(grown != nullptr, "there is memory for a header");
      (void)list.release();
      list.reset(grown);
    };
    // Not sent: libcurl's own ideas of a body's type and of asking before sending.
    for (const auto* line : {"Expect:", "Content-Type:", "Accept: */*"}) {
      const std::string_view name(line, std::strchr(line, ':'));
      const auto same_name = [&](const auto& header) { return same_text(header.first, name); };
      if (!std::ranges::any_of(request.headers, same_name)) add(line);
    }
    for (const auto& [name, value] : request.headers) add(value.empty() ? name + ";" : name + ": " + value);
    set(CURLOPT_HTTPHEADER, list.get());
    return list;
  }

  Result<void> finish(Exchange& exchange, CURLcode code, const char* detail, Duration took) {
    if (exchange.error) return fail(std::move(*exchange.error));
    const auto& request = exchange.request;
    const auto where = shown(request.url);
    const std::string why = *detail != '\0' ? detail : curl_easy_strerror(code);
    switch (code) {
      case CURLE_OK:
        break;
      case CURLE_URL_MALFORMAT:
        return fail(Code::invalid_argument, "http.bad_url",
                    fmt::format("'{}' is no http or https address: {}", where, why));
      case CURLE_ABORTED_BY_CALLBACK:
        return fail(Code::cancelled, "http.cancelled", "the request to " + where + " was cancelled");
      case CURLE_PEER_FAILED_VERIFICATION:
      case CURLE_SSL_CACERT_BADFILE:
      case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
        return fail(Code::unavailable, "http.bad_certificate",
                    fmt::format("{} does not prove who it is: {}", where, why));
      case CURLE_OPERATION_TIMEDOUT:
        // connect_max ran out first: the host is not there, rather than slow.
        if (took < request.deadline) {
          return fail(Code::unavailable, "http.unreachable", fmt::format("cannot reach {}: {}", where, why));
        }
        return fail(Code::deadline_exceeded, "http.deadline",
                    fmt::format("{} did not answer within {}", where, format_duration(request.deadline)));
      default:
        if (exchange.address_refused) {
          return fail(Code::permission_denied, "http.address_refused",
                      fmt::format("{} resolves to an address that may not be contacted from here", where));
        }
        return fail(Code::unavailable, "http.unreachable", fmt::format("cannot reach {}: {}", where, why));
    }
    if (!exchange.goes_elsewhere() || request.to_file.empty()) return {};
    if (!exchange.download) {  // an empty body
      TRY(exchange.download, fs_.open_write(request.to_file, WriteMode::truncate));
    }
    return exchange.download->sync();
  }

  Fs& fs_;
  HttpClientConfig config_;
  std::mutex mutex_;
  std::vector<Easy> idle_;
};

}  // namespace

std::string_view HttpResponse::header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_case_name) return value;
  }
  return {};
}

std::unique_ptr<HttpClient> make_http_client(Fs& fs, HttpClientConfig config) {
  return std::make_unique<CurlHttpClient>(fs, std::move(config));
}

}  // namespace millrace
