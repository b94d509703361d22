// The Open Inference Protocol (v2) over HTTP: health, metadata, inference, the model repository. Handlers only
// translate.
#pragma once

#include <string>

#include "net/server.hpp"
#include "serve/predictor.hpp"

namespace millrace::api::v2 {

struct Context {
  serve::Predictor& predictor;
  std::string version;  // of the program
};

// Adds every route of /v2, and the protocol's own shape of errors for all that is below it. `context` outlives the
// server.
void add_routes(net::Server& server, Context& context);

}  // namespace millrace::api::v2
