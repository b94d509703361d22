// What stands between a connection and Drogon's parser. Part of drogon_transport.cpp.
#pragma once

#include <trantor/net/TcpConnection.h>
#include <trantor/utils/MsgBuffer.h>

#include <memory>
#include <optional>
#include <string>

#include "net/drogon_exchange_internal.hpp"
#include "net/framing_internal.hpp"

namespace millrace::net {

// Lets only well-formed requests through (framing_internal.hpp). One per connection, on its loop.
class Gate {
 public:
  Gate(std::shared_ptr<Core> core, trantor::RecvMessageCallback drogon)
      : core_(std::move(core)),
        drogon_(std::move(drogon)),
        framing_({.body_bytes_max = core_->config.upload_bytes_max}) {}

  void received(const trantor::TcpConnectionPtr& connection, trantor::MsgBuffer* buffer) {
    while (buffer->readableBytes() > 0) {
      auto step = framing_.take({buffer->peek(), buffer->readableBytes()});
      at_gate.continue_awaited = step.send_continue;
      if (step.same && step.consumed == buffer->readableBytes()) {
        drogon_(connection, buffer);
      } else {
        std::string passed = step.same ? std::string(buffer->peek(), step.consumed) : std::move(step.output);
        buffer->retrieve(step.consumed);
        hand_on(connection, passed);
      }
      if (auto made = std::exchange(at_gate.latest, {}); made.lock()) latest_ = made;
      if (auto exchange = latest_.lock(); exchange && step.body_broken) exchange->body_broken();
      at_gate.continue_awaited = false;
      if (step.refusal) refuse(connection, *step.refusal, step.status);
      if (step.consumed == 0) break;
    }
    watch_head(connection, buffer);
  }

 private:
  void hand_on(const trantor::TcpConnectionPtr& connection, std::string_view bytes) {
    if (bytes.empty()) return;
    trantor::MsgBuffer passed(bytes.size());
    passed.append(bytes.data(), bytes.size());
    drogon_(connection, &passed);
  }

  // As the answer to a request that takes the broken one's place, so that it comes after those before it.
  void refuse(const trantor::TcpConnectionPtr& connection, const Error& error, int status) {
    auto response = error_response(error);
    response.status = status;
    response.headers.emplace_back(close_mark, "1");
    at_gate.refusal = std::move(response);
    hand_on(connection, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    at_gate.refusal = std::nullopt;
  }

  // A head that comes a byte at a time would hold its connection for ever.
  void watch_head(const trantor::TcpConnectionPtr& connection, trantor::MsgBuffer* buffer) {
    constexpr auto head_time_max = std::chrono::seconds(30);
    bool unfinished = framing_.in_head() && buffer->readableBytes() > 0;
    if (!unfinished) {
      head_since_ = std::nullopt;
    } else if (auto now = core_->env.clock.steady(); !head_since_) {
      head_since_ = now;
    } else if (now - *head_since_ > head_time_max) {
      buffer->retrieveAll();
      refuse(connection, {Code::deadline_exceeded, "net.head_too_slow", "the head of the request did not come in time"},
             408);
      connection->shutdown();
    }
  }

  const std::shared_ptr<Core> core_;
  const trantor::RecvMessageCallback drogon_;
  Framing framing_;
  std::weak_ptr<Ongoing> latest_;
  std::optional<SteadyPoint> head_since_;
};

}  // namespace millrace::net
