// What stands between a connection and Drogon's parser. Part of drogon_transport.cpp.
#pragma once

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <trantor/net/EventLoop.h>
#include <trantor/net/TcpConnection.h>
#include <trantor/utils/MsgBuffer.h>

#include <algorithm>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <tuple>

#include "net/drogon_exchange_internal.hpp"
#include "net/framing_internal.hpp"

namespace millrace::net {

// Lets only well-formed requests through (framing_internal.hpp), in time, and no more of them than answers are read.
// One per connection, on its loop.
class Gate : public std::enable_shared_from_this<Gate> {
 public:
  Gate(std::shared_ptr<Core> core, trantor::TcpConnection& connection, int fd, trantor::RecvMessageCallback drogon)
      : core_(std::move(core)),
        drogon_(std::move(drogon)),
        loop_(connection.getLoop()),
        fd_(fd),
        framing_({.body_bytes_max = core_->config.upload_bytes_max}) {}
  ~Gate() { count_unread(0); }

  // Of this loop, the one without traffic for longest first.
  static std::list<Gate*>& of_loop() {
    thread_local std::list<Gate*> gates;
    return gates;
  }
  void opened(const trantor::TcpConnectionPtr& connection) {
    connection_ = connection;
    heard_ = core_->env.clock.steady();
    place_ = of_loop().insert(of_loop().end(), this);
    connection->setHighWaterMarkCallback(
        [weak = weak_from_this()](const trantor::TcpConnectionPtr& from, std::size_t bytes) {
          if (auto gate = weak.lock()) gate->left_unread(from, bytes);
        },
        core_->config.unread_bytes_free);
  }
  bool owes() const {
    int unsent = 0;
    return traffic_->under_way > 0 || ::ioctl(fd_, SIOCOUTQ, &unsent) != 0 || unsent > 0;
  }
  // Also what it was asked and has not read yet.
  bool in_use() const {
    int unread = 0;
    return owes() || ::ioctl(fd_, FIONREAD, &unread) != 0 || unread > 0;
  }
  void closed() {
    if (place_) of_loop().erase(*place_);
    place_ = std::nullopt;
  }

  // A connection that nobody waits for. Who never asked for anything goes first: a flood of those would else send
  // away the ones that do, between two requests. Then who asked longest ago.
  struct Idle {
    bool asked;
    SteadyPoint since;
    std::weak_ptr<Gate> gate;
    bool before(const Idle& other) const { return std::tie(asked, since) < std::tie(other.asked, other.since); }
  };
  // The one of this loop that goes first, of those without traffic since `before`.
  static std::optional<Idle> idlest_of_loop(SteadyPoint before) {
    std::optional<Idle> out;
    for (Gate* gate : of_loop()) {
      if (gate->heard_ >= before) break;
      if ((out && gate->asked_) || gate->in_use()) continue;
      out = Idle{gate->asked_, gate->heard_, gate->weak_from_this()};
      if (!gate->asked_) break;
    }
    return out;
  }
  // On its loop. Whether it went: by now it may be gone, or wait for an answer.
  bool make_room() {
    auto connection = connection_.lock();
    if (!place_ || !connection || in_use()) return false;
    core_->probe.cut("made_room");
    connection->forceClose();
    return true;
  }
  trantor::EventLoop* loop() const { return loop_; }
  SteadyPoint heard() const { return heard_; }

  void received(const trantor::TcpConnectionPtr& connection, trantor::MsgBuffer* buffer) {
    if (place_) of_loop().splice(of_loop().end(), of_loop(), *place_);
    heard_ = core_->env.clock.steady();
    const auto came = buffer->readableBytes();
    at_gate.traffic = traffic_;
    while (buffer->readableBytes() > 0) {
      if (unread(*connection) > core_->config.unread_bytes_free) {
        // What was asked waits here until answers are read: a client may ask ahead, but not for ever.
        if (buffer->readableBytes() <= core_->config.asked_bytes_max) break;
        buffer->retrieveAll();
        cut(connection, "answers_not_read");
        break;
      }
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
      asked_ = asked_ || step.consumed > 0;
      if (step.body_broken)
        break_body({Code::invalid_argument, "net.bad_body", "the body is not valid chunked coding"}, 400);
      at_gate.continue_awaited = false;
      if (step.refusal) refuse(connection, *step.refusal, step.status);
      if (step.consumed == 0) break;
    }
    at_gate.traffic = nullptr;
    if (unread(*connection) > core_->config.unread_bytes_free) return;
    watch_head(connection, buffer);
    watch_body(came);
  }

 private:
  void hand_on(const trantor::TcpConnectionPtr& connection, std::string_view bytes) {
    if (bytes.empty()) return;
    trantor::MsgBuffer passed(bytes.size());
    passed.append(bytes.data(), bytes.size());
    drogon_(connection, &passed);
  }

  static Response closing(const Error& error, int status) {
    auto response = error_response(error);
    response.status = status;
    response.headers.emplace_back(close_mark, "1");
    return response;
  }

  // As the answer to a request that takes the broken one's place, so that it comes after those before it.
  void refuse(const trantor::TcpConnectionPtr& connection, const Error& error, int status) {
    at_gate.refusal = closing(error, status);
    hand_on(connection, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    at_gate.refusal = std::nullopt;
    end_soon();
  }

  // A client that goes on sending would keep its half of the connection open for ever.
  void end_soon() {
    if (std::exchange(ending_, true)) return;
    loop_->runAfter(linger_seconds, [weak = connection_] {
      if (auto still_open = weak.lock()) still_open->forceClose();
    });
  }

  void break_body(const Error& error, int status) {
    if (auto exchange = latest_.lock()) exchange->body_broken(closing(error, status));
    end_soon();
  }

  // Not at once: the caller may be in the middle of sending on it.
  void cut(const trantor::TcpConnectionPtr& connection, std::string_view why) {
    core_->probe.cut(why);
    loop_->queueInLoop([connection] { connection->forceClose(); });
  }

  // A head that comes a byte at a time would hold its connection for ever. (One that stops coming is idle.)
  void watch_head(const trantor::TcpConnectionPtr& connection, trantor::MsgBuffer* buffer) {
    bool unfinished = !ending_ && framing_.in_head() && buffer->readableBytes() > 0;
    if (!unfinished) {
      head_since_ = std::nullopt;
    } else if (auto now = core_->env.clock.steady(); !head_since_) {
      head_since_ = now;
    } else if (seconds(now - *head_since_) > core_->config.head_seconds_max) {
      buffer->retrieveAll();
      refuse(connection, {Code::deadline_exceeded, "net.head_too_slow", "the head of the request did not come in time"},
             408);
      connection->shutdown();
    }
  }

  // A body likewise, and it holds memory, or one of the few uploads.
  void watch_body(std::size_t bytes) {
    const auto& config = core_->config;
    if (ending_ || framing_.in_head()) {
      body_since_ = std::nullopt;
      return;
    }
    auto now = core_->env.clock.steady();
    if (!body_since_) {
      body_since_ = now;
      body_bytes_ = 0;
    }
    body_bytes_ += bytes;
    const auto paid = seconds(now - *body_since_) - config.body_seconds_free;
    if (paid <= 0 || static_cast<double>(body_bytes_) >= paid * static_cast<double>(config.body_bytes_per_second_min))
      return;
    break_body(
        {Code::deadline_exceeded, "net.body_too_slow",
         "the body came more slowly than " + std::to_string(config.body_bytes_per_second_min) + " bytes a second"},
        408);
  }

  // Answers that Drogon has written and the kernel has not taken: nothing of it is known but when it grows.
  void left_unread(const trantor::TcpConnectionPtr& connection, std::size_t bytes) {
    unread_ = bytes;
    unread_at_ = connection->bytesSent();
    count_unread(bytes);
    if (core_->unread_bytes > core_->config.unread_bytes_max) {
      ending_ = true;
      return cut(connection, "answers_not_read");
    }
    if (std::exchange(looking_, true)) return;
    look_at_unread();
  }
  std::uint64_t unread(const trantor::TcpConnection& connection) const {
    return unread_ - std::min<std::uint64_t>(unread_, connection.bytesSent() - unread_at_);
  }
  void look_at_unread() {
    constexpr double look_seconds = 0.02;
    loop_->runAfter(look_seconds, [weak = weak_from_this()] {
      auto gate = weak.lock();
      if (!gate) return;
      auto connection = gate->connection_.lock();
      const auto left = connection && connection->connected() ? gate->unread(*connection) : 0;
      gate->count_unread(left);
      if (left > gate->core_->config.unread_bytes_free) return gate->look_at_unread();
      gate->count_unread(0);
      gate->looking_ = false;
      if (!connection || !connection->connected()) return;
      auto* asked = connection->getRecvBuffer();
      if (asked->readableBytes() > 0) gate->received(connection, asked);
    });
  }
  void count_unread(std::uint64_t bytes) {
    core_->unread_bytes.fetch_add(bytes - counted_);  // wraps as it should
    counted_ = bytes;
  }

  static double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

  const std::shared_ptr<Core> core_;
  const trantor::RecvMessageCallback drogon_;
  trantor::EventLoop* const loop_;
  const int fd_;
  const std::shared_ptr<Traffic> traffic_ = std::make_shared<Traffic>();
  std::weak_ptr<trantor::TcpConnection> connection_;
  std::optional<std::list<Gate*>::iterator> place_;
  SteadyPoint heard_{};  // when it was opened, or bytes came
  Framing framing_;
  std::weak_ptr<Ongoing> latest_;
  std::optional<SteadyPoint> head_since_, body_since_;
  std::uint64_t body_bytes_ = 0;
  bool ending_ = false, asked_ = false;
  std::uint64_t unread_ = 0, unread_at_ = 0, counted_ = 0;
  bool looking_ = false;
};

}  // namespace millrace::net
