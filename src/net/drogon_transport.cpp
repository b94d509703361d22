// Drogon carries the bytes; what to answer is decided in Core. Its own routing is not used: one advice before routing
// sees every request as soon as its head is there.
//
// Facts about Drogon 1.9.13 that shaped this file:
// - One application per process; it cannot run again after quit().
// - A failed bind ends the process: the Reservation is made first. Each loop has a listener of its own with
// SO_REUSEPORT.
// - It cannot stop listening without cutting connections: stop_listening() puts another file under the listeners'
// numbers.
// - It does not stop reading when a body's consumer is slow: an upload's loop waits for the sink instead
// (upload_internal.hpp).
// - Its parser is lax (framing_internal.hpp has the list): a Gate of ours stands before it.
// - The body limit is one for all routes: ours are checked per route, and Drogon's is the largest.
// - With TLS it hands on what it has decrypted, so the Gate sees the same bytes; but it tells us of a connection only
// when its handshake is over (drogon_handshakes_internal.hpp), and it reads certificates from files alone, with an
// exception for bad ones on the event loop: it gets a file in memory that only checked bytes are put into.
#include <drogon/HttpAppFramework.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <trantor/utils/Logger.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <future>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "base/log.hpp"
#include "net/drogon_gate_internal.hpp"
#include "net/drogon_handshakes_internal.hpp"
#include "net/transport_internal.hpp"

namespace millrace::net {

namespace {

using drogon::AdviceCallback;
using drogon::HttpRequestPtr;
using drogon::HttpResponsePtr;

// TcpConnection has a setter for this callback but no getter.
struct CallbackOf : trantor::TcpConnection {
  static trantor::RecvMessageCallback& received(trantor::TcpConnection& connection) {
    return connection.*(&CallbackOf::recvMsgCallback_);
  }
};

constexpr double kCertificateLook = 1;  // seconds

class DrogonTransport final : public Transport {
 public:
  explicit DrogonTransport(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  ~DrogonTransport() override { quit(); }

  Result<void> start(const Reservation& reservation) {
    const auto& config = core_->config;
    trantor::Logger::setLogLevel(trantor::Logger::kWarn);
    trantor::Logger::setOutputFunction(
        [core = core_](const char* text, std::uint64_t size) { log(*core, {text, size}); }, [] {});
    auto& app = drogon::app();
    app.setThreadNum(static_cast<std::size_t>(config.io_threads));
    app.enableReusePort(true);  // or Drogon tries the port alone and through a lock file in /tmp
    const bool tls = config.tls != nullptr;
    if (tls && !put_certificate())
      return fail(
          Code::resource_exhausted, "net.no_memory_file",
          "there is no memory or no free descriptor for the certificate; end other programs, or raise ulimit -n");
    app.addListener(reservation.ip(), static_cast<std::uint16_t>(reservation.port()), tls, certificate_path(),
                    certificate_path());
    app.setUploadPath(std::filesystem::absolute(config.temp_dir).string());
    app.disableSigtermHandling();
    app.setIdleConnectionTimeout(static_cast<std::size_t>(std::max(1, config.idle_seconds_max)));
    app.setMaxConnectionNum(static_cast<std::size_t>(config.connections_max) * 2);  // ours decides
    app.setPipeliningRequestsNumber(1024);
    app.setClientMaxBodySize(config.upload_bytes_max);
    app.setClientMaxMemoryBodySize(1u << 20);  // of what comes before a reader is set: one read's worth
    app.enableRequestStream();
    app.enableServerHeader(false);
    app.enableGzip(false);
    app.setBeforeListenSockOptCallback([this, tls](int fd) {
      // Accepted when the client has spoken, or after a second or two: so its first byte says whether it speaks TLS.
      constexpr int wait_seconds = 1;
      if (tls) ::setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &wait_seconds, sizeof wait_seconds);
      std::lock_guard lock(mutex_);
      listeners_.push_back(fd);
    });
    app.setAfterAcceptSockOptCallback([core = core_, tls](int fd) {
      accepted_fd = fd;
      if (tls) Handshakes::of_loop().begin(core, fd);
    });
    app.setConnectionCallback([this](const trantor::TcpConnectionPtr& connection) { connection_changed(connection); });
    app.registerPreRoutingAdvice(
        [core = core_](const HttpRequestPtr& http, AdviceCallback&& reply, drogon::AdviceChainCallback&&) {
          begin_exchange(core, http, std::move(reply));
        });
    app.registerPreSendingAdvice([](const HttpRequestPtr&, const HttpResponsePtr& response) {
      if (response->getHeader(close_mark).empty()) return;
      response->removeHeader(close_mark);
      response->setCloseConnection(true);
    });
    std::promise<void> listening;
    app.registerBeginningAdvice([&] {  // runs just before Drogon lets the loops listen
      drogon::app().getLoop()->queueInLoop([&] { listening.set_value(); });
    });
    thread_ = std::thread([] { drogon::app().run(); });
    listening.get_future().wait();
    for (int i = 0; i < config.io_threads; ++i) {  // each loop listens in a step of its own, queued before this one
      std::promise<void> done;
      app.getIOLoop(static_cast<std::size_t>(i))->queueInLoop([&] { done.set_value(); });
      done.get_future().wait();
    }
    if (tls) drogon::app().getLoop()->runEvery(kCertificateLook, [this] { look_at_certificate(); });
    return {};
  }

  void stop_listening() override {
    std::lock_guard lock(mutex_);
    for (int fd : listeners_) {
      // The loop keeps the number and finds nothing to accept; the socket itself is closed.
      int nothing = ::eventfd(0, EFD_CLOEXEC);
      ::dup3(nothing, fd, O_CLOEXEC);
      ::close(nothing);
    }
    listeners_.clear();
  }

  void flush(Duration time_max, const std::function<bool()>& hurried) override {
    constexpr auto look = std::chrono::milliseconds(10);
    constexpr int still_looks_max = 100;  // a second without a byte taken by any reader
    for (auto& connection : connections()) connection->shutdown();
    std::uint64_t taken_last = 0;
    int still_looks = 0;
    for (auto waited = Duration::zero(); waited < time_max && still_looks < still_looks_max && !hurried();
         waited += look) {
      std::unique_lock lock(mutex_);
      if (closed_.wait_for(lock, std::min<Duration>(look, time_max - waited), [&] { return connections_.empty(); }))
        return;
      auto [unsent, taken] = progress();
      if (unsent == 0) return;  // the kernel has the rest; clients that do not hang up are not waited for
      still_looks = taken == taken_last ? still_looks + 1 : 0;
      taken_last = taken;
    }
  }

  void quit() override {
    if (!thread_.joinable()) return;
    core_->cutting = true;
    abort_connections();
    core_->end_loops();
    drogon::app().quit();
    thread_.join();
    trantor::Logger::setOutputFunction([](const char*, std::uint64_t) {}, [] {});
  }

 private:
  // The library calls every client that went away FATAL; that it cannot accept is worth a warning.
  static void log(Core& core, std::string_view text) {
    const int told = errno;  // it looks at it once more
    while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
    const bool accepts = text.find("Acceptor") != std::string_view::npos;
    const bool serious = accepts || text.find("too much connections") != std::string_view::npos;
    core.env.log.write(serious ? Level::warn : Level::debug, "http_library", {{"text", text}});
    // Without a free descriptor it sends clients away by one that it keeps in reserve. Where another thread has taken
    // that, its loop would try again at once, without end.
    constexpr auto rest = std::chrono::milliseconds(2);
    if (accepts) core.rest(rest);
    errno = told;
  }

  // The library's name for what put_certificate() wrote.
  std::string certificate_path() const {
    return certificate_fd_ < 0 ? std::string() : "/proc/self/fd/" + std::to_string(certificate_fd_);
  }
  // Certificate and key in one file of memory, whole or not at all: never both old and new.
  bool put_certificate() {
    const auto pair = core_->config.tls->now();
    const auto text = pair->certificate + "\n" + pair->key + "\n";
    const int fd = ::memfd_create("millrace-tls", MFD_CLOEXEC);
    if (fd < 0) return false;
    if (::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
      ::close(fd);
      return false;
    }
    if (certificate_fd_ < 0) {
      certificate_fd_ = fd;
    } else {
      ::dup3(fd, certificate_fd_, O_CLOEXEC);
      ::close(fd);
    }
    return true;
  }
  // On Drogon's main loop, which carries no connections. Each event loop takes the new certificate for the connections
  // that come; it is not put a second time before all have.
  void look_at_certificate() {
    if (core_->cutting || !(core_->config.tls->look() || certificate_due_)) return;
    certificate_due_ = !put_certificate();
    if (certificate_due_) return core_->env.log.error("certificate_not_taken", {{"error", "no memory for it"}});
    auto& app = drogon::app();
    app.reloadSSLFiles();
    for (int i = 0; i < core_->config.io_threads; ++i) {
      std::promise<void> done;
      app.getIOLoop(static_cast<std::size_t>(i))->queueInLoop([&] { done.set_value(); });
      done.get_future().wait();
    }
  }

  void connection_changed(const trantor::TcpConnectionPtr& connection) {
    int fd = accepted_fd;
    if (core_->config.tls) {
      // One that ends before it is announced failed its handshake; one that is announced has it behind it.
      const auto handshake = Handshakes::of_loop().over(*connection);
      if (handshake && !connection->connected()) return core_->probe.cut("handshake_failed");
      if (!handshake && connection->connected()) return connection->forceClose();
      if (handshake) fd = *handshake;
    }
    std::shared_ptr<Gate> gate;
    std::size_t open = 0;
    if (connection->connected()) {
      gate = std::make_shared<Gate>(core_, *connection, fd, CallbackOf::received(*connection));
      std::lock_guard lock(mutex_);
      core_->probe.connection_opened();
      connections_.emplace(connection.get(), Connection{connection, fd, gate});
      open = connections_.size();
    } else {
      std::lock_guard lock(mutex_);
      auto found = connections_.find(connection.get());
      if (found == connections_.end()) return;
      // The library says goodbye in TLS after this, and fails an assertion of its own where the socket has no room for
      // it: a client that reads no answers would end the server. Written to a closed end, it is an error like others.
      if (core_->config.tls) ::shutdown(found->second.fd, SHUT_WR);
      found->second.gate->closed();
      connections_.erase(found);
      core_->probe.connection_closed();
      if (connections_.empty()) closed_.notify_all();
      return;
    }
    gate->opened(connection);
    connection->setRecvMsgCallback(
        [gate](const trantor::TcpConnectionPtr& from, trantor::MsgBuffer* buffer) { gate->received(from, buffer); });
    if (open > static_cast<std::size_t>(core_->config.connections_max)) make_room(connection, gate);
  }

  // One connection too many: the idlest of all goes, wherever its loop is. Where there is none, everybody waits for
  // something, and the new one goes, unless it was quick.
  struct Room {
    trantor::TcpConnectionPtr connection;
    std::shared_ptr<Gate> gate;
    SteadyPoint opened;
    std::optional<Gate::Idle> idlest;
    int tries_left;  // somebody else's new connection may have sent the same one away
  };
  void make_room(const trantor::TcpConnectionPtr& connection, const std::shared_ptr<Gate>& gate) {
    auto here = Gate::idlest_of_loop(gate->heard());
    if (here && !here->asked && here->gate.lock()->make_room()) return;  // no other loop knows a better one
    ask_loops(0, {connection, gate, gate->heard(), std::nullopt, 8});
  }
  void ask_loops(int next, Room room) {
    core_->with_loops([&] {
      if (next == core_->config.io_threads) return choose(std::move(room));
      drogon::app().getIOLoop(static_cast<std::size_t>(next))->queueInLoop([this, next, room]() mutable {
        auto here = Gate::idlest_of_loop(room.opened);
        if (here && (!room.idlest || here->before(*room.idlest))) room.idlest = std::move(here);
        ask_loops(next + 1, std::move(room));
      });
    });
  }
  void choose(Room room) {
    if (!room.idlest || room.tries_left == 0) {
      room.connection->getLoop()->queueInLoop([this, room] {
        if (room.connection->connected() && !room.gate->owes()) turn_away(*room.connection);
      });
      return;
    }
    auto chosen = room.idlest->gate.lock();
    auto* loop = chosen ? chosen->loop() : room.connection->getLoop();
    loop->queueInLoop([this, chosen, room]() mutable {
      if (chosen && chosen->make_room()) return;
      room.idlest = std::nullopt;
      --room.tries_left;
      ask_loops(0, std::move(room));
    });
  }

  void turn_away(trantor::TcpConnection& connection) {
    core_->probe.cut("turned_away");
    auto response = core_->overloaded();
    auto text = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: " + response.content_type +
                "\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: " + std::to_string(response.body.size()) +
                "\r\n\r\n" + response.body;
    connection.send(text.data(), text.size());
    connection.forceClose();
  }

  std::vector<trantor::TcpConnectionPtr> connections() {
    std::vector<trantor::TcpConnectionPtr> out;
    std::lock_guard lock(mutex_);
    for (auto& [key, entry] : connections_)
      if (auto connection = entry.weak.lock()) out.push_back(std::move(connection));
    return out;
  }

  // How many connections have not closed their side yet, and how many bytes all readers have taken. With the lock held:
  // a connection leaves the map before its socket is closed.
  std::pair<int, std::uint64_t> progress() const {
    constexpr int established = 1, close_wait = 8;  // of tcpi_state; <netinet/tcp.h> has the names but not the counts
    std::pair<int, std::uint64_t> out{0, 0};
    for (const auto& [key, entry] : connections_) {
      tcp_info info{};
      socklen_t size = sizeof info;
      if (::getsockopt(entry.fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) continue;
      out.first += info.tcpi_state == established || info.tcpi_state == close_wait;
      out.second += info.tcpi_bytes_acked;
    }
    return out;
  }

  // A handler that still runs holds its connection and with it the socket, so a client might wait for ever. What the
  // kernel is still sending is left to it.
  void abort_connections() {
    constexpr int sending_the_rest = 4;  // TCP_FIN_WAIT1
    std::lock_guard lock(mutex_);
    for (const auto& [key, entry] : connections_) {
      tcp_info info{};
      socklen_t size = sizeof info;
      if (::getsockopt(entry.fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || info.tcpi_state == sending_the_rest)
        continue;
      sockaddr nowhere{};
      nowhere.sa_family = AF_UNSPEC;
      ::connect(entry.fd, &nowhere, sizeof nowhere);  // how Linux is told to reset a connection that others hold open
    }
  }

  struct Connection {
    std::weak_ptr<trantor::TcpConnection> weak;
    int fd;
    std::shared_ptr<Gate> gate;
  };
  // A loop accepts, then announces the connection, on one thread; only the first step shows the descriptor.
  static thread_local int accepted_fd;

  const std::shared_ptr<Core> core_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable closed_;
  std::vector<int> listeners_;
  int certificate_fd_ = -1;
  bool certificate_due_ = false;
  std::unordered_map<const trantor::TcpConnection*, Connection> connections_;
};

thread_local int DrogonTransport::accepted_fd = -1;

}  // namespace

Result<std::unique_ptr<Transport>> start_drogon(std::shared_ptr<Core> core, Reservation reservation) {
  static std::atomic<bool> started{false};
  if (started.exchange(true))
    return fail(Code::failed_precondition, "net.started_before", "the HTTP library can be started once in a process");
  auto transport = std::make_unique<DrogonTransport>(std::move(core));
  TRY_VOID(transport->start(reservation));
  return transport;
}

}  // namespace millrace::net
