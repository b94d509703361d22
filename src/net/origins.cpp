#include "net/origins.hpp"

#include <algorithm>

namespace millrace::net {

namespace {

constexpr std::string_view any = "*";
constexpr std::string_view preflight_seconds = "600";  // a taken-back origin is refused after ten minutes at the latest
// Beyond those that a browser lets every page read.
constexpr std::string_view readable = "Inference-Header-Content-Length, Retry-After, X-Request-Id";
constexpr std::size_t asked_headers_bytes_max = 1024;

bool lists_any(std::span<const std::string> allowed) { return std::ranges::find(allowed, any) != allowed.end(); }

// Names of headers and commas, nothing that would end the line.
bool harmless(std::string_view names) {
  return names.size() <= asked_headers_bytes_max && std::ranges::all_of(names, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  std::string_view("-_, ").contains(c);
         });
}

}  // namespace

bool origin_allowed(std::string_view origin, std::span<const std::string> allowed) {
  if (origin.empty()) return false;
  return lists_any(allowed) || (origin != "null" && std::ranges::any_of(allowed, [&](const auto& one) {
                                  return equal_ignoring_case(one, origin);
                                }));
}

Response preflight_response(const Request& request, std::string_view methods) {
  Response response{.status = 204};
  auto& headers = response.headers;
  headers.emplace_back("Access-Control-Allow-Methods", methods);
  // A page may send what it likes: who may call is decided by its origin and the token, not by its headers.
  const auto asked = request.header("Access-Control-Request-Headers");
  if (!asked.empty() && harmless(asked)) headers.emplace_back("Access-Control-Allow-Headers", asked);
  headers.emplace_back("Access-Control-Max-Age", preflight_seconds);
  headers.emplace_back("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers");
  return response;
}

void add_origin_headers(Response& response, std::string_view origin, std::span<const std::string> allowed) {
  if (allowed.empty()) return;
  const bool all = lists_any(allowed);
  if (!all) {
    const auto there =
        std::ranges::find(response.headers, "Vary", [](const auto& header) { return std::string_view(header.first); });
    if (there == response.headers.end())
      response.headers.emplace_back("Vary", "Origin");
    else
      there->second += ", Origin";
  }
  if (!origin_allowed(origin, allowed)) return;
  response.headers.emplace_back("Access-Control-Allow-Origin", all ? any : origin);
  response.headers.emplace_back("Access-Control-Expose-Headers", readable);
}

}  // namespace millrace::net
