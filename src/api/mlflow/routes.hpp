// MLflow's scoring server (`mlflow models serve`): /invocations, /ping, /version. Handlers only translate.
#pragma once

#include <string>

#include "net/server.hpp"
#include "serve/predictor.hpp"

namespace millrace::api::mlflow {

struct Context {
  serve::Predictor& predictor;
  std::string version;  // of the program
};

// `context` outlives the server.
void add_routes(net::Server& server, Context& context);

}  // namespace millrace::api::mlflow
