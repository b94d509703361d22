// One request as Drogon shows it, from its head to its answer.
#pragma once

#include <drogon/HttpRequest.h>
#include <drogon/drogon_callbacks.h>

#include <atomic>
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
  virtual void body_broken(Response answer) = 0;  // no more of the body comes: its coding is wrong, or it is too slow
};

// What one connection has under way. Made by its Gate, held by whatever works for it.
struct Traffic {
  std::atomic<int> under_way{0};  // requests that are not answered, answers that go on
};
class UnderWay {
 public:
  explicit UnderWay(std::shared_ptr<Traffic> traffic) : traffic_(std::move(traffic)) {
    if (traffic_) traffic_->under_way.fetch_add(1);
  }
  ~UnderWay() {
    if (traffic_) traffic_->under_way.fetch_sub(1);
  }
  UnderWay(const UnderWay&) = delete;
  UnderWay& operator=(const UnderWay&) = delete;
  const std::shared_ptr<Traffic>& traffic() const { return traffic_; }

 private:
  const std::shared_ptr<Traffic> traffic_;
};

// Between a Gate and the exchange that Drogon begins before the Gate's call returns.
struct AtGate {
  std::optional<Response> refusal;  // for the request handed on
  bool continue_awaited = false;    // by its client
  std::weak_ptr<Ongoing> latest;    // the last one begun
  std::shared_ptr<Traffic> traffic;
};
extern thread_local AtGate at_gate;

// After a refusal, for a client that is still sending and reads it late; then the connection is cut.
inline constexpr double linger_seconds = 5;

// A header of ours that marks an answer after which the connection closes; taken off before it is sent.
inline constexpr const char* close_mark = "x-net-close";

}  // namespace millrace::net
