// What the routes, and the methods of gRPC, share.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

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

// The model, in the version that the text names; "" for what takes traffic. Versions are whole numbers: not_found
// `v2.no_version` for any other text. `may_wait`: see Predictor::hold().
Result<serve::Predictor::Held> hold(const Context& c, std::string_view model, std::string_view version, bool may_wait);

// Always an error: which versions are in memory is a decision with a record and a way back, not a client's call.
// failed_precondition `v2.managed`, not_found `v2.no_model`.
Result<void> managed(const Context& c, const std::string& model, bool load);

// Of all models, or the one named, or that version of it; errors as hold().
Result<std::vector<serve::ModelReport>> statistics_of(const Context& c, std::string_view model,
                                                      std::string_view version);

void add_repository_routes(net::Server& server, Context& c);
void add_statistics_routes(net::Server& server, Context& c);
void add_settings_routes(net::Server& server, Context& c);

}  // namespace millrace::api::v2
