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
#include <drogon/drogon.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <trantor/utils/Logger.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <future>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "base/log.hpp"
#include "net/framing_internal.hpp"
#include "net/transport_internal.hpp"
#include "net/upload_internal.hpp"

namespace millrace::net {

namespace {

using drogon::AdviceCallback;
using drogon::HttpRequestPtr;
using drogon::HttpResponsePtr;

// Marks an answer after which the connection closes; taken off before it is sent.
constexpr const char* close_mark = "x-net-close";

// Framing has let digits through only.
std::uint64_t content_length(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

HttpResponsePtr render(Response response, std::string_view request_id) {
  HttpResponsePtr out;
  if (response.file && response.file->length > 0) {
    out =
        drogon::HttpResponse::newFileResponse(response.file->path, response.file->offset, response.file->length, false);
    if (out->statusCode() != drogon::k200OK && out->statusCode() != drogon::k206PartialContent) {
      response = error_response({Code::not_found, "net.file_gone", "the file of this answer is not there any more"});
      out = nullptr;
    }
  }
  if (!out) {
    out = drogon::HttpResponse::newHttpResponse();
    out->setBody(std::move(response.body));
  }
  out->setStatusCode(static_cast<drogon::HttpStatusCode>(response.status));
  out->setContentTypeString(response.content_type);
  for (auto& [name, value] : response.headers) out->addHeader(name, std::move(value));
  out->addHeader("x-request-id", std::string(request_id));
  return out;
}

class Exchange;

// Between a Gate and the Exchange that Drogon makes before the Gate's call returns.
struct AtGate {
  std::optional<Response> refusal;  // for the request handed on
  bool continue_awaited = false;    // by its client
  std::weak_ptr<Exchange> latest;   // the last one made
};
thread_local AtGate at_gate;

// One request from its head to its answer. Lives on its connection's loop but for what a pool runs.
class Exchange : public drogon::RequestStreamReader, public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(std::shared_ptr<Core> core, HttpRequestPtr http, AdviceCallback reply)
      : core_(std::move(core)), http_(std::move(http)), reply_(std::move(reply)), since_(core_->env.clock.steady()) {
    core_->started();
  }
  ~Exchange() override {
    if (!answered_.exchange(true)) finished(499);  // dropped by a pool that closed: its connection is cut next
  }

  void begin() {
    at_gate.latest = weak_from_this();
    read_head();
    if (at_gate.refusal) {
      auto refused = std::exchange(at_gate.refusal, std::nullopt);
      return refuse(std::move(*refused));
    }
    chunked_ = !request_.header("Transfer-Encoding").empty();
    body_length_ = content_length(request_.header("Content-Length"));
    auto admitted = core_->admit(request_);
    if (auto refused = std::get_if<Response>(&admitted)) return refuse(std::move(*refused));
    route_ = std::get<const Route*>(admitted);
    body_max_ = core_->body_bytes_max(*route_);
    if (body_length_ > body_max_) return refuse(too_large_response(body_max_));
    if (route_->kind == Route::Kind::upload) return begin_upload();
    if (!chunked_ && http_->body().size() == body_length_) {  // it came with the head, or there is none
      body_done_ = true;
      request_.body = http_->body();
      return run();
    }
    body_.reserve(body_length_);
    read_body();
  }

  // A piece of the body, on the loop.
  void onStreamData(const char* data, std::size_t size) override {
    if (answered_) return;  // refused already: the rest is dropped
    received_ += size;
    if (received_ > body_max_) {
      refuse(too_large_response(body_max_));
      if (upload_) upload_->cut({Code::out_of_range, "net.body_too_large", "the body is larger than accepted"});
      return;
    }
    if (upload_)
      upload_->push({data, size});
    else
      body_.append(data, size);
  }

  void onStreamFinish(std::exception_ptr error) override {
    if (error) {
      if (upload_)
        return upload_->cut({Code::cancelled, "net.aborted", "the client went away before the whole body was sent"});
      if (!answered_.exchange(true)) finished(499);  // nobody is there to read an answer
      return;
    }
    body_done_ = true;
    if (upload_) return upload_->end();
    if (answered_) return;
    request_.body = body_;
    run();
  }

  // The body's coding is wrong; no more of it comes.
  void body_broken() {
    const Error why{Code::invalid_argument, "net.bad_body", "the body is not valid chunked coding"};
    refuse(error_response(why));
    if (upload_) upload_->cut(why);
  }

 private:
  void read_head() {
    request_.method = http_->methodString();  // GET also for HEAD
    request_.path = http_->getOriginalPath();
    request_.query_text = http_->query();
    const auto& headers = http_->headers();
    request_.headers.reserve(headers.size());
    for (const auto& [name, value] : headers) request_.headers.emplace_back(name, value);
    remote_ = http_->peerAddr().toIpPort();
    request_.remote = remote_;
    auto trace = trace_id(request_.header("traceparent"));
    request_.id = trace.empty() ? core_->new_id() : std::string(trace);
  }

  void read_body() {
    if (std::exchange(at_gate.continue_awaited, false))
      if (auto connection = http_->getConnectionPtr().lock()) connection->send("HTTP/1.1 100 Continue\r\n\r\n", 25);
    reader_set_ = true;
    if (auto stream = drogon::internal::createRequestStream(http_)) stream->setStreamReader(shared_from_this());
  }

  void run() {
    switch (route_->kind) {
      case Route::Kind::fast:
        return answer(core_->call(*route_, request_));
      case Route::Kind::follow:
        return begin_follow();
      default:
        if (!core_->io->submit(
                [self = shared_from_this()] { self->answer(self->core_->call(*self->route_, self->request_)); }))
          answer(overloaded_response());
    }
  }

  void begin_upload() {
    constexpr auto stall_max = std::chrono::seconds(30);
    upload_ = std::make_shared<Upload>(core_->config.upload_buffer_bytes, stall_max,
                                       [core = core_] { return core->cutting.load(); });
    if (auto connection = http_->getConnectionPtr().lock())
      connection->keepAlive();  // a slow sink is not an idle client
    if (core_->uploads_running.fetch_add(1) >= core_->config.uploads_max) {
      core_->uploads_running.fetch_sub(1);
      upload_ = nullptr;
      return refuse(overloaded_response());
    }
    auto taken = core_->uploads->submit([self = shared_from_this()] {
      auto response = self->upload_->run([&] { return self->core_->open_upload(*self->route_, self->request_); });
      self->core_->uploads_running.fetch_sub(1);
      if (!self->upload_->whole()) self->close_after(response);
      self->answer(std::move(response));
    });
    if (!taken) return refuse(overloaded_response());  // the server stops
    read_body();
    if (!chunked_ && body_length_ == 0) upload_->end();
  }

  void begin_follow();

  // An answer before the whole body was read: the connection cannot be used for another request.
  void refuse(Response response) {
    bool whole = body_done_ || (!chunked_ && http_->body().size() == body_length_);
    if (!whole) {
      close_after(response);
      if (!reader_set_)
        drogon::internal::createRequestStream(http_);  // dropped at once: the rest of the body goes nowhere
    }
    answer(std::move(response));
  }

  // The client may still be sending and read the answer late; after a while it is cut.
  void close_after(Response& response) {
    constexpr double linger_seconds = 5;
    response.headers.emplace_back(close_mark, "1");
    if (auto connection = http_->getConnectionPtr().lock())
      connection->getLoop()->runAfter(linger_seconds, [weak = std::weak_ptr(connection)] {
        if (auto still_open = weak.lock()) still_open->forceClose();
      });
  }

  void answer(Response response) {
    if (answered_.exchange(true)) return;
    int status = response.status;
    if (core_->stopping) response.headers.emplace_back(close_mark, "1");
    reply_(render(std::move(response), request_.id));
    finished(status);
  }

  void finished(int status) { core_->finished(request_.method, route_, status, since_); }

  const std::shared_ptr<Core> core_;
  const HttpRequestPtr http_;
  const AdviceCallback reply_;
  const SteadyPoint since_;
  std::atomic<bool> answered_{false};
  Request request_;
  std::string remote_;
  const Route* route_ = nullptr;
  std::uint64_t body_length_ = 0, body_max_ = 0, received_ = 0;
  bool chunked_ = false, body_done_ = false, reader_set_ = false;
  std::string body_;
  std::shared_ptr<Upload> upload_;
};

// A follow route's answer: polled on the pool, sent on the loop; what a slow reader has not taken is bounded.
class Following : public std::enable_shared_from_this<Following> {
 public:
  Following(std::shared_ptr<Core> core, const Route& route, std::unique_ptr<Follower> follower,
            trantor::TcpConnectionPtr connection)
      : core_(std::move(core)),
        route_(route),
        follower_(std::move(follower)),
        connection_(connection),
        loop_(connection->getLoop()) {}
  ~Following() { core_->follows.fetch_sub(1); }

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
      self->loop_->queueInLoop([self, text = std::move(text)] { self->deliver(text); });
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

  const std::shared_ptr<Core> core_;
  const Route& route_;
  const std::unique_ptr<Follower> follower_;
  const std::weak_ptr<trantor::TcpConnection> connection_;
  trantor::EventLoop* const loop_;
  drogon::ResponseStreamPtr stream_;
  std::uint64_t queued_bytes_ = 0, sent_before_ = 0, sent_last_ = 0;
  SteadyPoint moved_{};
};

void Exchange::begin_follow() {
  if (http_->version() == drogon::Version::kHttp10)
    return answer(error_response(
        {Code::unimplemented, "net.needs_http11", "this answer is sent in chunks, which HTTP/1.0 does not have"}));
  if (core_->follows.fetch_add(1) >= core_->config.follows_max) {
    core_->follows.fetch_sub(1);
    return answer(overloaded_response());
  }
  auto taken = core_->io->submit([self = shared_from_this()] {
    auto follower = self->core_->open_follow(*self->route_, self->request_);
    auto connection = self->http_->getConnectionPtr().lock();
    if (!follower || !connection) {
      self->core_->follows.fetch_sub(1);
      return self->answer(follower ? Response{.status = 499} : error_response(follower.error()));
    }
    auto following = std::make_shared<Following>(self->core_, *self->route_, *std::move(follower), connection);
    if (self->answered_.exchange(true)) return;
    auto out = drogon::HttpResponse::newAsyncStreamResponse(
        [following](drogon::ResponseStreamPtr stream) { following->begin(std::move(stream)); }, true);
    out->setContentTypeString(self->route_->options.content_type);
    out->addHeader("x-request-id", self->request_.id);
    out->addHeader("cache-control", "no-store");
    self->reply_(out);
    self->finished(200);
  });
  if (!taken) {
    core_->follows.fetch_sub(1);
    answer(overloaded_response());
  }
}

// Stands before Drogon's parser on each connection and lets only well-formed requests through (framing_internal.hpp).
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
  std::weak_ptr<Exchange> latest_;
  std::optional<SteadyPoint> head_since_;
};

// TcpConnection has a setter for this callback but no getter.
struct CallbackOf : trantor::TcpConnection {
  static trantor::RecvMessageCallback& received(trantor::TcpConnection& connection) {
    return connection.*(&CallbackOf::recvMsgCallback_);
  }
};

class DrogonTransport final : public Transport {
 public:
  explicit DrogonTransport(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  ~DrogonTransport() override { quit(); }

  void start(const Reservation& reservation) {
    const auto& config = core_->config;
    trantor::Logger::setLogLevel(trantor::Logger::kWarn);
    trantor::Logger::setOutputFunction(
        [core = core_](const char* text, std::uint64_t size) { log(*core, {text, size}); }, [] {});
    auto& app = drogon::app();
    app.setThreadNum(static_cast<std::size_t>(config.io_threads));
    app.enableReusePort(true);  // or Drogon tries the port alone and through a lock file in /tmp
    app.addListener(reservation.ip(), static_cast<std::uint16_t>(reservation.port()));
    app.setUploadPath(std::filesystem::absolute(config.temp_dir).string());
    app.disableSigtermHandling();
    app.setIdleConnectionTimeout(static_cast<std::size_t>(config.idle_seconds_max));
    app.setMaxConnectionNum(static_cast<std::size_t>(config.connections_max));
    app.setPipeliningRequestsNumber(1024);
    app.setClientMaxBodySize(config.upload_bytes_max);
    app.setClientMaxMemoryBodySize(1u << 20);  // of what comes before a reader is set: one read's worth
    app.enableRequestStream();
    app.enableServerHeader(false);
    app.enableGzip(false);
    app.setBeforeListenSockOptCallback([this](int fd) {
      std::lock_guard lock(mutex_);
      listeners_.push_back(fd);
    });
    app.setAfterAcceptSockOptCallback([](int fd) { accepted_fd = fd; });
    app.setConnectionCallback([this](const trantor::TcpConnectionPtr& connection) { connection_changed(connection); });
    app.registerPreRoutingAdvice(
        [core = core_](const HttpRequestPtr& http, AdviceCallback&& reply, drogon::AdviceChainCallback&&) {
          std::make_shared<Exchange>(core, http, std::move(reply))->begin();
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
    drogon::app().quit();
    thread_.join();
    trantor::Logger::setOutputFunction([](const char*, std::uint64_t) {}, [] {});
  }

 private:
  static void log(const Core& core, std::string_view text) {
    while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
    core.env.log.warn("http_library", {{"text", text}});
  }

  void connection_changed(const trantor::TcpConnectionPtr& connection) {
    if (connection->connected())
      connection->setRecvMsgCallback(
          [gate = std::make_shared<Gate>(core_, CallbackOf::received(*connection))](
              const trantor::TcpConnectionPtr& from, trantor::MsgBuffer* buffer) { gate->received(from, buffer); });
    std::lock_guard lock(mutex_);
    if (connection->connected()) {
      connections_.emplace(connection.get(), Connection{connection, accepted_fd});
    } else {
      connections_.erase(connection.get());
      if (connections_.empty()) closed_.notify_all();
    }
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

  struct Connection {
    std::weak_ptr<trantor::TcpConnection> weak;
    int fd;
  };
  // A loop accepts, then announces the connection, on one thread; only the first step shows the descriptor.
  static thread_local int accepted_fd;

  const std::shared_ptr<Core> core_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable closed_;
  std::vector<int> listeners_;
  std::unordered_map<const trantor::TcpConnection*, Connection> connections_;
};

thread_local int DrogonTransport::accepted_fd = -1;

}  // namespace

Result<std::unique_ptr<Transport>> start_drogon(std::shared_ptr<Core> core, Reservation reservation) {
  static std::atomic<bool> started{false};
  if (started.exchange(true))
    return fail(Code::failed_precondition, "net.started_before", "the HTTP library can be started once in a process");
  auto transport = std::make_unique<DrogonTransport>(std::move(core));
  transport->start(reservation);
  return transport;
}

}  // namespace millrace::net
