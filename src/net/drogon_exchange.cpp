#include "net/drogon_exchange_internal.hpp"

#include <drogon/HttpResponse.h>
#include <drogon/RequestStream.h>
#include <trantor/net/EventLoop.h>
#include <trantor/net/TcpConnection.h>

#include <charconv>
#include <chrono>
#include <mutex>
#include <optional>
#include <vector>

#include "net/drogon_follow_internal.hpp"
#include "net/upload_internal.hpp"

namespace millrace::net {

thread_local AtGate at_gate;

namespace {

using drogon::AdviceCallback;
using drogon::HttpRequestPtr;
using drogon::HttpResponsePtr;

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
  for (auto& [name, value] : response.headers) {
    std::erase_if(value,
                  [](unsigned char c) { return c < 0x20; });  // a line end would begin a header of somebody else's
    out->addHeader(name, std::move(value));
  }
  out->addHeader("x-request-id", std::string(request_id));
  return out;
}

// Drogon's objects ask their loop for leave to die. Those that outlive the loops, in a handler that was still running
// when the server quit, are kept instead.
void bury(HttpRequestPtr http, AdviceCallback reply) {
  static std::mutex mutex;
  static auto& kept = *new std::vector<std::pair<HttpRequestPtr, AdviceCallback>>;
  std::lock_guard lock(mutex);
  kept.emplace_back(std::move(http), std::move(reply));
}

// One request from its head to its answer. Lives on its connection's loop but for what a pool runs.
class Exchange final : public Ongoing,
                       public drogon::RequestStreamReader,
                       public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(std::shared_ptr<Core> core, HttpRequestPtr http, AdviceCallback reply)
      : core_(std::move(core)),
        http_(std::move(http)),
        reply_(std::move(reply)),
        since_(core_->env.clock.steady()),
        under_way_(at_gate.traffic) {
    core_->started();
  }
  ~Exchange() override {
    core_->bodies_bytes.fetch_sub(held_bytes_);
    if (!answered_.exchange(true)) finished(499);  // dropped by a pool that closed: its connection is cut next
    with_loop([this] {
      reply_ = nullptr;
      http_ = nullptr;
    });
    if (http_) bury(std::move(http_), std::move(reply_));
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
      keep({data, size});
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

  void body_broken(Response response) override {
    refuse(std::move(response));
    if (upload_) upload_->cut({Code::cancelled, "net.aborted", "the rest of the body was refused"});
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
    if (core_->config.tracer) {
      trace_ = core_->begin_trace(request_);
      request_.trace = trace_.get();
    }
  }

  // Memory is taken for what has come, never for what a head announces, and all bodies together have a bound.
  void keep(std::string_view piece) {
    held_bytes_ += piece.size();
    if (core_->bodies_bytes.fetch_add(piece.size()) + piece.size() > core_->config.bodies_bytes_max) {
      core_->bodies_bytes.fetch_sub(std::exchange(held_bytes_, 0));
      body_ = {};
      return refuse(core_->overloaded());
    }
    body_.append(piece);
  }

  void read_body() {
    if (std::exchange(at_gate.continue_awaited, false))
      if (auto connection = http_->getConnectionPtr().lock()) connection->send("HTTP/1.1 100 Continue\r\n\r\n", 25);
    reader_set_ = true;
    if (auto stream = drogon::internal::createRequestStream(http_)) stream->setStreamReader(shared_from_this());
  }

  void run() {
    if (trace_) trace_->add("receive", since_, core_->env.clock.steady());
    switch (route_->kind) {
      case Route::Kind::fast: {
        const auto body = request_.body;  // compressed as it may be
        request_.came = core_->env.clock.steady();
        request_.may_wait = false;
        auto response = core_->call_inflated(*route_, request_);
        const auto& wait = route_->options.pool_on;
        if (wait.empty() || !response.error || response.error->reason != wait) return answer(std::move(response));
        request_.body = body;
        request_.may_wait = true;
        return compute();
      }
      case Route::Kind::follow:
        return begin_follow();
      default:
        if (trace_) submitted_ = core_->env.clock.steady();
        pool(*core_->io);
    }
  }

  void pool(Pool& pool) {
    if (!pool.submit([self = shared_from_this()] {
          if (self->trace_ && self->submitted_)
            self->trace_->add("queue", *self->submitted_, self->core_->env.clock.steady());
          self->answer(self->core_->call_inflated(*self->route_, self->request_));
        }))
      answer(core_->overloaded());
  }

  void compute() {
    auto lane = std::move(request_.lane);
    if (!core_->compute->submit(std::move(lane), *request_.came, [self = shared_from_this()] {
          self->answer(self->core_->call_inflated(*self->route_, self->request_));
        }))
      answer(core_->overloaded());
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
      return refuse(core_->overloaded());
    }
    auto taken = core_->uploads->submit([self = shared_from_this()] {
      auto response = self->upload_->run([&] { return self->core_->open_upload(*self->route_, self->request_); });
      self->core_->uploads_running.fetch_sub(1);
      if (!self->upload_->whole()) self->close_after(response);
      self->answer(std::move(response));
    });
    if (!taken) return refuse(core_->overloaded());  // the server stops
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
    response.headers.emplace_back(close_mark, "1");
    with_loop([&] {
      auto connection = http_->getConnectionPtr().lock();
      if (!connection) return;
      connection->getLoop()->runAfter(linger_seconds, [weak = std::weak_ptr(connection)] {
        if (auto still_open = weak.lock()) still_open->forceClose();
      });
    });
  }

  void answer(Response response) {
    if (answered_.exchange(true)) return;
    int status = response.status;
    if (core_->stopping) response.headers.emplace_back(close_mark, "1");
    const std::uint64_t file_bytes = response.file ? response.file->length : 0;
    if (file_bytes > 0 && core_->files_sent.fetch_add(1) >= core_->config.files_max) {
      core_->files_sent.fetch_sub(1);
      response = core_->overloaded();
      status = response.status;
    } else if (file_bytes > 0) {
      with_loop([&] { follow_file(file_bytes); });
    }
    response = core_->shaped(route_, request_, std::move(response));
    const std::uint64_t bytes = response.file ? response.file->length : response.body.size();
    auto rendered = render(std::move(response), request_.id);
    with_loop([&] { reply_(rendered); });
    finished(status, bytes);
  }

  // The kernel sends a file and nobody says when it is through: counted until as many bytes have gone, or the
  // connection has.
  void follow_file(std::uint64_t bytes) {
    auto connection = http_->getConnectionPtr().lock();
    if (!connection) {
      core_->files_sent.fetch_sub(1);
      return;
    }
    look_at_file(core_, connection->getLoop(), connection, connection->bytesSent() + bytes);
  }
  static void look_at_file(std::shared_ptr<Core> core, trantor::EventLoop* loop,
                           std::weak_ptr<trantor::TcpConnection> weak, std::uint64_t until) {
    auto connection = weak.lock();
    if (!connection || !connection->connected() || connection->bytesSent() >= until) {
      core->files_sent.fetch_sub(1);
      return;
    }
    constexpr double look_seconds = 0.5;
    loop->runAfter(look_seconds, [core = std::move(core), loop, weak = std::move(weak), until] {
      look_at_file(core, loop, weak, until);
    });
  }

  // On a loop it is there; elsewhere it may be gone.
  template <class F>
  void with_loop(F use) {
    if (trantor::EventLoop::getEventLoopOfCurrentThread())
      use();
    else
      core_->with_loops(use);
  }

  void finished(int status, std::uint64_t bytes = 0) {
    core_->note(route_, request_, status, bytes, since_);
    if (trace_) core_->end_trace(std::move(trace_), route_, request_, status);
    core_->finished(route_, status, since_);
  }

  const std::shared_ptr<Core> core_;
  HttpRequestPtr http_;
  AdviceCallback reply_;
  const SteadyPoint since_;
  const UnderWay under_way_;
  std::atomic<bool> answered_{false};
  Request request_;
  std::string remote_;
  std::unique_ptr<Trace> trace_;
  std::optional<SteadyPoint> submitted_;  // to the pool, of a request that is traced
  const Route* route_ = nullptr;
  std::uint64_t body_length_ = 0, body_max_ = 0, received_ = 0, held_bytes_ = 0;
  bool chunked_ = false, body_done_ = false, reader_set_ = false;
  std::string body_;
  std::shared_ptr<Upload> upload_;
};

void Exchange::begin_follow() {
  if (http_->version() == drogon::Version::kHttp10)
    return answer(error_response(
        {Code::unimplemented, "net.needs_http11", "this answer is sent in chunks, which HTTP/1.0 does not have"}));
  if (const auto& asked = http_->getHeader("connection");
      asked == "close" || asked == "Close")  // Drogon would send none
    return answer(error_response({Code::failed_precondition, "net.needs_keep_alive",
                                  "this answer is sent as it comes: ask for it without Connection: close"}));
  if (core_->follows.fetch_add(1) >= core_->config.follows_max) {
    core_->follows.fetch_sub(1);
    return answer(core_->overloaded());
  }
  auto taken = core_->io->submit([self = shared_from_this()] {
    auto follower = self->core_->open_follow(*self->route_, self->request_);
    auto connection = self->http_->getConnectionPtr().lock();
    if (!follower || !connection) {
      self->core_->follows.fetch_sub(1);
      return self->answer(follower ? Response{.status = 499} : error_response(follower.error()));
    }
    auto following = std::make_shared<Following>(self->core_, *self->route_, *std::move(follower), connection,
                                                 self->under_way_.traffic());
    if (self->answered_.exchange(true)) return;
    auto out = drogon::HttpResponse::newAsyncStreamResponse(
        [following](drogon::ResponseStreamPtr stream) { following->begin(std::move(stream)); }, true);
    out->setContentTypeString(self->route_->options.content_type);
    out->addHeader("x-request-id", self->request_.id);
    out->addHeader("cache-control", "no-store");
    self->with_loop([&] { self->reply_(out); });
    self->finished(200);
  });
  if (!taken) {
    core_->follows.fetch_sub(1);
    answer(core_->overloaded());
  }
}

}  // namespace

void begin_exchange(std::shared_ptr<Core> core, const HttpRequestPtr& http, AdviceCallback reply) {
  std::make_shared<Exchange>(std::move(core), http, std::move(reply))->begin();
}

}  // namespace millrace::net
