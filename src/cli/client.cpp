#include "cli/client.hpp"

#include <format>

#include "base/certificate.hpp"
#include "base/error_codes.hpp"
#include "base/fs.hpp"

namespace millrace::cli {

namespace {

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

// Who types: a name for the records, as a header can carry it.
std::string user_of(const std::function<std::optional<std::string>(const char*)>& environment) {
  std::string name;
  for (const char* variable : {"MILLRACE_USER", "USER", "LOGNAME"}) {
    if (name.empty()) name = environment(variable).value_or("");
  }
  constexpr std::size_t bytes_max = 64;
  std::erase_if(name, [](char c) { return c < ' ' || c > '~'; });
  return name.empty() ? "cli" : name.substr(0, bytes_max);
}

}  // namespace

Result<ServerAddress> find_server(Fs& fs, const std::function<std::optional<std::string>(const char*)>& environment,
                                  const std::string& folder, const std::string& url, const std::string& data_dir,
                                  const std::string& ca) {
  ServerAddress address;
  address.user = user_of(environment);
  auto token = environment("MILLRACE_TOKEN");
  if (token) address.token = Secret(*token);
  address.url = url.empty() ? environment("MILLRACE_URL").value_or("") : url;
  std::string found = data_dir;
  if (found.empty()) {
    for (auto at = folder;; at = parent_path(at)) {
      if (exists(fs, join_path(at, ".millrace/address"))) {
        found = join_path(at, ".millrace");
        break;
      }
      if (at == "/" || at == "." || at.empty()) break;
    }
  }
  if (address.url.empty()) {
    auto text =
        found.empty() ? Result<std::string>(fail(Code::not_found, "", "")) : read_file(fs, join_path(found, "address"));
    if (!text) {
      return fail(Code::not_found, "client.no_server",
                  "no server of this folder is running (no .millrace/address here or above); start one with: millrace "
                  "up; or name "
                  "one with --server URL");
    }
    address.url = trimmed(*text);
  }
  while (address.url.ends_with('/')) address.url.pop_back();
  address.ca_file = ca.empty() ? environment("MILLRACE_CA").value_or("") : ca;
  if (!address.ca_file.empty() && !exists(fs, address.ca_file))
    return fail(Code::not_found, "client.no_ca",
                std::format("there is no file {}; --ca and MILLRACE_CA name the certificates (PEM) of who signed the "
                            "server's",
                            address.ca_file));
  if (address.ca_file.empty() && !found.empty()) {
    const auto own = read_file(fs, join_path(found, "address"));
    if (auto file = read_file(fs, join_path(found, "certificate")); file && own && trimmed(*own) == address.url)
      address.certificate_file = trimmed(*file);
  }
  if (!token && !found.empty()) {
    if (auto text = read_file(fs, join_path(found, "token"))) address.token = Secret(trimmed(*text));
  }
  return address;
}

HttpClientConfig http_config(Fs& fs, const ServerAddress& address, std::string user_agent) {
  HttpClientConfig out{.user_agent = std::move(user_agent), .ca_file = address.ca_file};
  if (address.certificate_file.empty()) return out;
  out.key_pin = [&fs, file = address.certificate_file] {  // as it is now: the server takes a new one while it runs
    constexpr std::uint64_t bytes_max = 1u << 20;
    const auto text = read_file(fs, file, bytes_max);
    const auto facts = text ? read_certificate(*text) : Result<CertificateFacts>(fail(text.error()));
    return facts ? facts->pin : std::string();
  };
  return out;
}

Client::Client(Env& env, ServerAddress address)
    : env_(env),
      address_(std::move(address)),
      http_(make_http_client(env.fs, http_config(env.fs, address_, "millrace-cli"))) {}

Result<std::string> Client::send(HttpRequest request) {
  TRY(auto response, exchange(std::move(request)));
  return std::move(response.body);
}

Result<HttpResponse> Client::exchange(HttpRequest request) {
  if (!address_.token.empty()) request.headers.emplace_back("Authorization", "Bearer " + address_.token.reveal());
  if (!address_.user.empty()) request.headers.emplace_back("X-Millrace-User", address_.user);
  if (request.to_file.empty()) request.response_bytes_max = 1u << 30;
  auto response = http_->send(request);
  if (!response) {
    if (response.error().reason == "http.bad_certificate") {
      return fail(Code::unavailable, "client.bad_certificate",
                  std::format("{}; name who signed it: --ca FILE or MILLRACE_CA; or call the server by a name that its "
                              "certificate has",
                              response.error().message));
    }
    if (response.error().code == Code::unavailable) {
      return fail(Code::unavailable, "client.unreachable",
                  std::format("{}; is the server running? start it with: millrace up", response.error().message));
    }
    return fail(std::move(response).error());
  }
  if (response->ok()) return response;
  if (auto answer = api::parse_error(response->body)) {
    auto message = answer->error.message;
    if (!answer->error.field.empty())
      message += std::format("\n  field    {}   expected {}, got {}", answer->error.field, answer->error.expected,
                             answer->error.got);
    if (!answer->error.next.empty()) message += "\n  next     " + answer->error.next;
    return fail(code_from_name(answer->error.code).value_or(code_from_http(response->status)), answer->error.reason,
                std::move(message));
  }
  return fail(code_from_http(response->status), "client.bad_answer",
              std::format("{} answered {} with something that is no Millrace error; is it the right server?",
                          address_.url, response->status));
}

Result<std::string> Client::call(std::string_view method, const std::string& path, std::string body,
                                 std::string content_type) {
  HttpRequest request;
  request.method = method;
  request.url = address_.url + path;
  request.body = std::move(body);
  if (method != "GET") request.headers.emplace_back("Content-Type", std::move(content_type));
  request.deadline = std::chrono::minutes(5);
  return send(std::move(request));
}

Result<std::string> Client::upload(const std::string& path, const std::string& file) {
  HttpRequest request;
  request.method = "POST";
  request.url = address_.url + path;
  request.body_file = file;
  request.headers.emplace_back("Content-Type", "application/octet-stream");
  request.deadline = std::chrono::hours(12);
  return send(std::move(request));
}

Result<void> Client::follow(const std::string& path, const std::function<Result<void>(const std::string& line)>& take,
                            const std::function<bool()>& cancelled) {
  std::string rest;
  HttpRequest request;
  request.url = address_.url + path;
  request.deadline = std::chrono::hours(12);
  request.cancelled = cancelled;
  request.to_function = [&](std::span<const std::byte> piece) -> Result<void> {
    rest.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    for (auto end = rest.find('\n'); end != std::string::npos; end = rest.find('\n')) {
      auto line = rest.substr(0, end);
      rest.erase(0, end + 1);
      if (!line.empty()) TRY_VOID(take(line));
    }
    return {};
  };
  TRY(auto done, exchange(std::move(request)));
  (void)done;
  return {};
}

Result<void> Client::may_write(const std::string& file, bool replace) const {
  if (auto there = env_.fs.info(file)) {
    if (there->is_dir)
      return fail(Code::invalid_argument, "client.file_is_folder", std::format("{} is a folder: name a file", file));
    if (!replace)
      return fail(Code::already_exists, "client.file_exists",
                  std::format("{} is there already; to replace it: --force", file));
  }
  auto folder = parent_path(file);
  if (!folder.empty() && !exists(env_.fs, folder))
    return fail(Code::not_found, "client.no_folder",
                std::format("{} can't be written: there is no folder {}", file, folder));
  return {};
}

Result<std::uint64_t> Client::download(const std::string& path, const std::string& file, bool replace) {
  TRY_VOID(may_write(file, replace));
  // Beside it first: what is there stays whole until all has come.
  const auto part = file + ".part";
  HttpRequest request;
  request.url = address_.url + path;
  request.deadline = std::chrono::hours(12);
  request.response_bytes_max = std::uint64_t{1} << 42;
  request.to_file = part;
  auto done = exchange(std::move(request));
  if (!done) {
    if (done.error().reason.starts_with("fs."))
      return fail(done.error().code, "client.file_not_written",
                  std::format("{} could not be written: {}", file, done.error().message));
    return fail(std::move(done).error());
  }
  TRY_VOID(env_.fs.rename(part, file));
  return done->body_bytes;
}

std::string percent_encoded(std::string_view text) {
  std::string out;
  for (char c : text) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                 c == '.' || c == '~';
    out += plain ? std::string(1, c) : std::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace millrace::cli
