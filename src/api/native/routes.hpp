// The native API's routes over the loop's service. Handlers only translate: wire structs in map.hpp, rules in the
// domain.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "loop/controller.hpp"
#include "loop/fleet.hpp"
#include "loop/log_intake.hpp"
#include "loop/service.hpp"
#include "net/server.hpp"
#include "serve/predictor.hpp"

namespace millrace::api {

struct Context {
  loop::Service& service;
  serve::Predictor& predictor;
  loop::Controller& controller;
  std::string version;  // of the program
  TimePoint started{};
  std::function<void()> shut_down;  // asks the process to end in good order
  net::LiveTokens& tokens;
  loop::Fleet* fleet = nullptr;       // predictors of other machines; nullptr: no routes for them
  bool serves = true;                 // false: predictions are answered by other processes alone
  loop::LogIntake* intake = nullptr;  // of their prediction logs
};

// What the records say counts from now on: at the start, and after each change of theirs.
Result<void> look_at_tokens(meta::Store& store, net::LiveTokens& tokens);

// Adds every route of /api/v1, /predict, /labels, /readyz and /healthz. `context` outlives the server.
void add_routes(net::Server& server, Context& context);
}  // namespace millrace::api
