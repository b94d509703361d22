// What a server answers that has models and nothing else of the native API.
#pragma once

#include "net/server.hpp"
#include "serve/predictor.hpp"

namespace millrace::api {

// Adds /predict, /readyz (and /readyz/MODEL) and /healthz. `predictor` outlives the server.
void add_predict_routes(net::Server& server, serve::Predictor& predictor);

// Of a server that answers no predictions: health as above, and where predictions would be a not_found
// `api.serves_nothing` that says who answers them.
void add_no_predict_routes(net::Server& server);

}  // namespace millrace::api
