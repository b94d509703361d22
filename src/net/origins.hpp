// Which pages of other sites may call, and what a browser is told about it (CORS). Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "net/http.hpp"

namespace millrace::net {

// `allowed` holds origins as a browser sends them, "https://app.example.com" or "http://localhost:3000", or "*": all.
// Scheme, host and port must be the same; "null" (a page without an origin) is allowed by "*" alone.
bool origin_allowed(std::string_view origin, std::span<const std::string> allowed);

// The answer to OPTIONS with Access-Control-Request-Method: what may be sent. `methods` as in Allow. The page's origin
// is allowed already.
Response preflight_response(const Request& request, std::string_view methods);

// What a browser needs before it shows an answer to its page; also on errors, which a page wants to read as well.
// Whether or not the origin is allowed, caches are told that the answer depends on it.
void add_origin_headers(Response& response, std::string_view origin, std::span<const std::string> allowed);

}  // namespace millrace::net
