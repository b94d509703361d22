// One request as Drogon shows it, from its head to its answer.
#pragma once

#include <drogon/HttpRequest.h>
#include <drogon/drogon_callbacks.h>

#include <memory>
#include <optional>

#include "net/core_internal.hpp"

namespace millrace::net {

// Starts what the request asks for, on its connection's loop; `reply` is called once, from any thread.
void begin_exchange(std::shared_ptr<Core> core, const drogon::HttpRequestPtr& http, drogon::AdviceCallback reply);

// A request under way, for the Gate.
class Ongoing {
 public:
  virtual ~Ongoing() = default;
  virtual void body_broken() = 0;  // the body's coding is wrong; no more of it comes
};

// Between a Gate and the exchange that Drogon begins before the Gate's call returns.
struct AtGate {
  std::optional<Response> refusal;  // for the request handed on
  bool continue_awaited = false;    // by its client
  std::weak_ptr<Ongoing> latest;    // the last one begun
};
extern thread_local AtGate at_gate;

// A header of ours that marks an answer after which the connection closes; taken off before it is sent.
inline constexpr const char* close_mark = "x-net-close";

}  // namespace millrace::net
