// What a server answers that has models and nothing else of the native API.
#pragma once

#include "net/server.hpp"
#include "serve/predictor.hpp"

namespace millrace::api {

// Adds /predict, /readyz (and /readyz/MODEL) and /healthz. `predictor` outlives the server.
void add_predict_routes(net::Server& server, serve::Predictor& predictor);

}  // namespace millrace::api
