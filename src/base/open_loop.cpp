#include "base/open_loop.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <deque>
#include <format>
#include <memory>

#include "base/cpu.hpp"
#include "base/http_answer_internal.hpp"
#include "base/text.hpp"

namespace millrace {

Duration Arrivals::next() {
  if (kind_ == Kind::fixed) {
    at_s_ = static_cast<double>(count_++) / per_second_;
  } else {
    at_s_ += -std::log1p(-rng_.unit()) / per_second_;
  }
  return Duration(std::llround(at_s_ * 1e6));
}

std::string failure_reason(std::string_view body) {
  constexpr std::size_t bytes_max = 80;
  for (const std::string_view key : {"\"reason\":", "\"error\":"}) {
    auto at = body.find(key);
    if (at == body.npos) continue;
    at = body.find_first_not_of(" ", at + key.size());
    if (at == body.npos || body[at] != '"') continue;
    const auto end = body.find('"', at + 1);
    return printable(body.substr(at + 1, std::min(end == body.npos ? bytes_max : end - at - 1, bytes_max)));
  }
  return "";
}

namespace {

constexpr auto tick = std::chrono::milliseconds(100);
constexpr auto connect_patience = std::chrono::seconds(5);
constexpr std::size_t failure_kinds_max = 50;

struct Connection {
  enum class State { down, connecting, idle, busy };
  State state = State::down;
  int fd = -1;
  std::string_view unsent;
  bool waits_to_write = false;
  HttpAnswer answer;
  SteadyPoint due, sent, free_since, retry_at;
};

class OpenLoop {
 public:
  OpenLoop(const OpenLoopConfig& config, Clock& clock, const OpenLoopHooks& hooks)
      : config_(config),
        clock_(clock),
        hooks_(hooks),
        arrivals_(config.per_second, config.arrivals, config.seed),
        connections_(static_cast<std::size_t>(config.connections)),
        received_(256 << 10, '\0') {}
  ~OpenLoop() {
    for (auto& one : connections_) {
      if (one.fd >= 0) ::close(one.fd);
    }
    if (epoll_ >= 0) ::close(epoll_);
  }
  OpenLoop(const OpenLoop&) = delete;

  Result<OpenLoopResult> run() {
    TRY_VOID(resolve());
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) return fail(Code::resource_exhausted, "load.no_descriptors", "no more files can be opened");
    ::prctl(PR_SET_TIMERSLACK, 1000UL);  // 1 us: a request is due at a time, not about then
    TRY_VOID(connect_first());
    start_ = second_start_ = tick_at_ = now_ = clock_.steady();
    cpu_ = thread_cpu();
    next_due_ = arrivals_.next();
    while (!finished()) step();
    end_second(now_);
    result_.took_s = std::chrono::duration<double>(std::max(last_answer_ - start_, asked())).count();
    return std::move(result_);
  }

 private:
  // What was asked for; less when it was interrupted.
  Duration asked() const { return result_.interrupted ? now_ - start_ : config_.duration; }

  bool finished() {
    if (result_.interrupted) {
      // What is under way is nobody's failure: it is not counted as due.
      result_.due -= backlog_.size() + busy_;
      second_.due -= std::min<std::uint64_t>(second_.due, backlog_.size() + busy_);
      return true;
    }
    return next_due_ >= config_.duration && backlog_.empty() && busy_ == 0;
  }

  Result<void> resolve() {
    addrinfo hints{}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    const auto port = std::to_string(config_.port);
    if (const int error = ::getaddrinfo(config_.host.c_str(), port.c_str(), &hints, &found); error != 0)
      return fail(Code::unavailable, "load.unreachable",
                  std::format("{} can't be found: {}", config_.host, ::gai_strerror(error)));
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(found, &::freeaddrinfo);
    for (auto* one = found; one; one = one->ai_next)
      addresses_.emplace_back(reinterpret_cast<const char*>(one->ai_addr), one->ai_addrlen);
    return ok();
  }

  // Opens all connections before the first request is due.
  Result<void> connect_first() {
    const auto until = clock_.steady() + connect_patience;
    for (; address_ < addresses_.size(); ++address_) {  // the first of the name's addresses that answers
      down_ = 0;
      for (auto& one : connections_) connect(one);
      for (now_ = clock_.steady(); now_ < until && connecting_ > 0; now_ = clock_.steady()) wait(tick);
      if (!idle_.empty()) return ok();
      for (auto& one : connections_) {
        if (one.state == Connection::State::connecting) down(one, 0);
      }
    }
    return fail(Code::unavailable, "load.unreachable",
                std::format("no connection to {} port {}: {}; is the server running?", config_.host, config_.port,
                            connect_error_ == 0 ? "no answer" : std::strerror(connect_error_)));
  }

  void connect(Connection& one) {
    const auto& address = addresses_[std::min(address_, addresses_.size() - 1)];
    sockaddr_storage to{};
    std::memcpy(&to, address.data(), address.size());
    one.fd = ::socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (one.fd < 0) return down(one, errno);
    const int on = 1;
    ::setsockopt(one.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const bool done = ::connect(one.fd, reinterpret_cast<sockaddr*>(&to), static_cast<socklen_t>(address.size())) == 0;
    if (!done && errno != EINPROGRESS) return down(one, errno);
    one.state = Connection::State::connecting;
    ++connecting_;
    watch(one, EPOLL_CTL_ADD, true);
  }

  void watch(Connection& one, int operation, bool to_write) {
    epoll_event event{};
    event.events = EPOLLIN | (to_write ? static_cast<std::uint32_t>(EPOLLOUT) : 0u);
    event.data.ptr = &one;
    ::epoll_ctl(epoll_, operation, one.fd, &event);
    one.waits_to_write = to_write;
  }

  // Closed; tried again after a moment.
  void down(Connection& one, int error) {
    if (error != 0) connect_error_ = error;
    if (one.state == Connection::State::connecting) --connecting_;
    if (one.state == Connection::State::busy) --busy_;
    if (one.fd >= 0) ::close(one.fd);
    one.fd = -1;
    one.state = Connection::State::down;
    one.retry_at = now_ + (error != 0 ? Duration(tick) : Duration(0));
    one.answer.clear();
    ++down_;
  }

  void reconnect() {
    if (down_ == 0) return;
    for (auto& one : connections_) {
      if (one.state != Connection::State::down || one.retry_at > now_) continue;
      --down_;
      ++result_.connected_again;
      connect(one);
    }
  }

  void idle(Connection& one) {
    one.state = Connection::State::idle;
    one.free_since = now_;
    idle_.push_back(&one);
  }

  void failed(int status, std::string reason) {
    ++result_.failed;
    ++second_.failed;
    if (status == 429 || status == 503) ++second_.refused;
    Failure failure{status, std::move(reason)};
    if (result_.failures.size() >= failure_kinds_max && !result_.failures.contains(failure)) failure.reason = "other";
    ++result_.failures[failure];
  }

  static std::uint64_t us(Duration duration) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(duration.count(), 0));
  }

  void count_latency(Duration latency) {
    result_.latency.add(us(latency));
    second_latency_.add(us(latency));
  }

  void send(Connection& one, SteadyPoint due) {
    now_ = clock_.steady();
    one.state = Connection::State::busy;
    ++busy_;
    one.due = due;
    one.sent = now_;
    one.answer.clear();
    result_.send_delay.add(us(now_ - due));
    result_.client_delay.add(us(now_ - std::max(due, one.free_since)));
    one.unsent = config_.requests[next_request_++ % config_.requests.size()];
    write(one);
  }

  void write(Connection& one) {
    const auto wrote = ::send(one.fd, one.unsent.data(), one.unsent.size(), MSG_NOSIGNAL);
    if (wrote < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
      return broke_off(one, 0, "connection_closed");
    if (wrote > 0) one.unsent.remove_prefix(static_cast<std::size_t>(wrote));
    if (one.unsent.empty() == one.waits_to_write) watch(one, EPOLL_CTL_MOD, !one.unsent.empty());
  }

  void broke_off(Connection& one, int error, const char* reason) {
    failed(0, reason);
    down(one, error);
  }

  void answered(Connection& one) {
    const int status = one.answer.status();
    if (status / 100 == 2) {
      ++result_.answered;
      ++second_.answered;
      count_latency(now_ - one.due);
    } else {
      failed(status, failure_reason(one.answer.body()));
    }
    last_answer_ = now_;
    // An answer before the whole request was taken: the rest of it would be read as the next one.
    if (!one.answer.keep_alive() || !one.unsent.empty()) return down(one, 0);
    --busy_;
    idle(one);
  }

  void read(Connection& one) {
    const auto got = ::recv(one.fd, received_.data(), received_.size(), 0);
    now_ = clock_.steady();
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
    const bool busy = one.state == Connection::State::busy;
    if (!busy) std::erase(idle_, &one);
    if (got <= 0) return busy ? broke_off(one, 0, "connection_closed") : down(one, 0);
    if (!busy) return down(one, 0);  // bytes that nobody asked for
    switch (one.answer.take({received_.data(), static_cast<std::size_t>(got)})) {
      case HttpAnswer::State::more:
        return;
      case HttpAnswer::State::whole:
        return answered(one);
      case HttpAnswer::State::bad:
        return broke_off(one, 0, "bad_answer");
    }
  }

  void connected(Connection& one) {
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(one.fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return down(one, error);
    --connecting_;
    watch(one, EPOLL_CTL_MOD, false);
    idle(one);
  }

  void wait(Duration duration) {
    const auto us = std::max<std::int64_t>(duration.count(), 0);
    const timespec patience{us / 1'000'000, us % 1'000'000 * 1000};
    epoll_event events[256];
    int count = ::epoll_pwait2(epoll_, events, 256, &patience, nullptr);
    if (count < 0 && errno == ENOSYS) count = ::epoll_wait(epoll_, events, 256, static_cast<int>((us + 999) / 1000));
    now_ = clock_.steady();
    if (count < 0) tick_at_ = now_;  // a signal: ask whether to stop
    for (int i = 0; i < count; ++i) {
      auto& one = *static_cast<Connection*>(events[i].data.ptr);
      if (one.state == Connection::State::down) continue;
      if (one.state == Connection::State::connecting) {
        connected(one);
        continue;
      }
      if ((events[i].events & EPOLLOUT) != 0) write(one);
      if (one.state != Connection::State::down && (events[i].events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0)
        read(one);
    }
  }

  void step() {
    send_what_is_due();
    if (now_ >= tick_at_) every_tick();
    auto until = std::min(tick_at_, second_start_ + std::chrono::seconds(1));
    if (next_due_ < config_.duration) until = std::min(until, start_ + next_due_);
    for (const auto& one : connections_) {
      if (down_ == 0) break;
      if (one.state == Connection::State::down) until = std::min(until, one.retry_at);
    }
    const auto before = now_;
    const auto busy_before = static_cast<double>(busy_);
    wait(until - now_);
    busy_us_ += busy_before * static_cast<double>((now_ - before).count());
    reconnect();
    if (now_ - second_start_ >= std::chrono::seconds(1)) end_second(now_);
  }

  void send_what_is_due() {
    now_ = clock_.steady();
    while (next_due_ < config_.duration && start_ + next_due_ <= now_) {
      backlog_.push_back(start_ + next_due_);
      ++result_.due;
      ++second_.due;
      next_due_ = arrivals_.next();
    }
    while (!backlog_.empty() && !idle_.empty()) {
      auto& one = *idle_.front();
      idle_.pop_front();
      const auto due = backlog_.front();
      backlog_.pop_front();
      send(one, due);
    }
  }

  // What was given up, and whether to stop.
  void every_tick() {
    tick_at_ = now_ + tick;
    if (hooks_.stop && hooks_.stop()) result_.interrupted = true;
    while (!backlog_.empty() && now_ - backlog_.front() > config_.patience) {
      count_latency(now_ - backlog_.front());
      failed(0, "not_sent");
      backlog_.pop_front();
    }
    for (auto& one : connections_) {
      if (one.state != Connection::State::busy || now_ - one.sent <= config_.patience) continue;
      count_latency(now_ - one.due);
      broke_off(one, 0, "timeout");
    }
  }

  void end_second(SteadyPoint now) {
    const double length = std::chrono::duration<double>(now - second_start_).count();
    if (length < 0.001) return;
    const auto cpu = thread_cpu();
    second_.at_s = std::chrono::duration<double>(now - start_).count();
    second_.length_s = length;
    second_.waiting = backlog_.size();
    second_.p50_us = second_latency_.percentile(0.5);
    second_.p99_us = second_latency_.percentile(0.99);
    second_.max_us = second_latency_.max();
    second_latency_ = {};
    second_.connections_busy = busy_us_ / (length * 1e6 * static_cast<double>(connections_.size()));
    second_.client_cpu = (cpu.used_s - cpu_.used_s) / length;
    second_.client_starved = (cpu.waited_s - cpu_.waited_s) / length;
    if (hooks_.second) hooks_.second(second_);
    result_.seconds.push_back(std::exchange(second_, {}));
    cpu_ = cpu;
    busy_us_ = 0;
    second_start_ = now;
  }

  const OpenLoopConfig& config_;
  Clock& clock_;
  const OpenLoopHooks& hooks_;
  Arrivals arrivals_;
  std::vector<std::string> addresses_;  // sockaddr bytes
  std::size_t address_ = 0;
  int epoll_ = -1, connect_error_ = 0;
  std::vector<Connection> connections_;
  std::deque<Connection*> idle_;  // the one that rested longest first, so that all stay in use
  std::size_t connecting_ = 0, busy_ = 0, down_ = 0;
  std::string received_;
  std::deque<SteadyPoint> backlog_;  // due and not sent
  Duration next_due_{};
  std::size_t next_request_ = 0;
  SteadyPoint start_, now_, last_answer_, tick_at_, second_start_;
  double busy_us_ = 0;
  ThreadCpu cpu_;
  OpenLoopSecond second_;
  LatencyHistogram second_latency_;
  OpenLoopResult result_;
};

}  // namespace

Result<OpenLoopResult> run_open_loop(const OpenLoopConfig& config, Clock& clock, const OpenLoopHooks& hooks) {
  if (config.requests.empty() || !(config.per_second > 0) || config.connections < 1 || config.duration.count() <= 0)
    return fail(Code::invalid_argument, "load.bad_config", "no requests, or no rate, duration or connections above 0");
  return OpenLoop(config, clock, hooks).run();
}

}  // namespace millrace
