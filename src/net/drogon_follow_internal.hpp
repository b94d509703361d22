// The answer of a follow route. Part of drogon_exchange.cpp.
#pragma once

#include <drogon/HttpResponse.h>
#include <trantor/net/TcpConnection.h>

#include <memory>
#include <string>

#include "net/core_internal.hpp"
#include "net/drogon_exchange_internal.hpp"

namespace millrace::net {

// Polled on the pool, sent on the loop; what a slow reader has not taken is bounded.
class Following : public std::enable_shared_from_this<Following> {
 public:
  Following(std::shared_ptr<Core> core, const Route& route, std::unique_ptr<Follower> follower,
            trantor::TcpConnectionPtr connection, std::shared_ptr<Traffic> traffic)
      : under_way_(std::move(traffic)),
        core_(std::move(core)),
        route_(route),
        follower_(std::move(follower)),
        connection_(connection),
        loop_(connection->getLoop()) {}
  ~Following() {
    core_->follows.fetch_sub(1);
    if (!stream_) return;
    core_->with_loops([this] { stream_ = nullptr; });
    (void)stream_.release();  // of a server that has quit: its end would be written through a loop
  }

  void begin(drogon::ResponseStreamPtr stream) {
    stream_ = std::move(stream);
    if (auto connection = connection_.lock()) sent_before_ = connection->bytesSent();
    poll();
  }

 private:
  void poll() {
    auto connection = connection_.lock();
    if (!connection || !connection->connected() || core_->stopping) return end();
    constexpr std::uint64_t unread_bytes_max = 256u << 10;
    constexpr auto stuck_max = std::chrono::seconds(60);
    auto sent = connection->bytesSent() - sent_before_;
    auto now = core_->env.clock.steady();
    if (queued_bytes_ > sent + unread_bytes_max) {
      if (sent != sent_last_) {
        sent_last_ = sent;
        moved_ = now;
      } else if (now - moved_ > stuck_max) {
        connection->forceClose();
        return end();
      }
      return later();
    }
    moved_ = now;
    auto taken = core_->io->submit([self = shared_from_this()] {
      auto text = self->follower_->next();
      self->core_->with_loops(
          [&] { self->loop_->queueInLoop([self, text = std::move(text)] { self->deliver(text); }); });
    });
    if (!taken) later();
  }

  void deliver(const Result<std::optional<std::string>>& text) {
    if (!stream_) return;
    if (!text) send(render_error(text.error()) + "\n");
    if (!text || !*text) return end();
    if (!(*text)->empty()) send(**text);
    later();
  }

  void send(const std::string& text) {
    queued_bytes_ += text.size();
    stream_->send(text);
  }

  void later() {
    loop_->runAfter(std::chrono::duration<double>(route_.options.poll).count(),
                    [self = shared_from_this()] { self->poll(); });
  }

  void end() { stream_ = nullptr; }  // writes the last chunk

  const UnderWay under_way_;
  const std::shared_ptr<Core> core_;
  const Route& route_;
  const std::unique_ptr<Follower> follower_;
  const std::weak_ptr<trantor::TcpConnection> connection_;
  trantor::EventLoop* const loop_;
  drogon::ResponseStreamPtr stream_;
  std::uint64_t queued_bytes_ = 0, sent_before_ = 0, sent_last_ = 0;
  SteadyPoint moved_{};
};

}  // namespace millrace::net
