// What the route files share.
#pragma once

#include <utility>

#include "api/v2/routes.hpp"

namespace millrace::api::v2 {

// A handler that may fail.
template <class F>
net::Handler handler(F f) {
  return [f = std::move(f)](const net::Request& request) {
    Result<net::Response> response = f(request);
    return response ? *std::move(response) : net::error_response(response.error());
  };
}

void add_repository_routes(net::Server& server, Context& c);
void add_unavailable_routes(net::Server& server);  // 501, in the protocol's shape

}  // namespace millrace::api::v2
