// The Open Inference Protocol (v2) over HTTP: health, metadata, inference, the model repository. Handlers only
// translate.
#pragma once

#include <functional>
#include <string>

#include "api/v2/load_request.hpp"
#include "net/server.hpp"
#include "serve/predictor.hpp"

namespace millrace::api::v2 {

struct Context {
  serve::Predictor& predictor;
  std::string version;  // of the program
  // Takes a model of a folder in (a look at once, and it answers or the error says why not) or out. Empty: a project
  // decides what is served, and clients are refused.
  std::function<Result<void>(const LoadRequest&)> repository;
  std::uint64_t upload_bytes_max = 1u << 20;  // of a load request, over HTTP
};

// Adds every route of /v2, and the protocol's own shape of errors for all that is below it. `context` outlives the
// server.
void add_routes(net::Server& server, Context& context);

}  // namespace millrace::api::v2
