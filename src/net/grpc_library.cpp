// The only file that knows the gRPC library. It is built as a file of its own that the server opens when it is to
// listen.
//
// Methods are registered as generated code registers its raw callback methods: messages stay bytes, and a call is
// answered on the thread that the library calls us on.
#include "net/grpc_library_internal.hpp"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/resource_quota.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

namespace millrace::net {

namespace {

using grpc::ByteBuffer;
using grpc::CallbackServerContext;

constexpr Duration kQuiet =
    std::chrono::milliseconds(200);                       // a stream without a request for so long is ended by stop()
constexpr Duration kTalkative = std::chrono::seconds(2);  // one that is never quiet, after its next answer
constexpr Duration kLook = std::chrono::milliseconds(20);

grpc::Status status_of(const Error& error) { return {static_cast<grpc::StatusCode>(error.code), error.message}; }

grpc::Status refuse(CallbackServerContext& context, const Error& error) {
  if (!error.reason.empty()) context.AddTrailingMetadata("reason", error.reason);
  return status_of(error);
}

// A message's bytes, without a copy where they lie in one piece. The library would inflate a compressed one before it
// looks at its size, so that 300 kB could take 300 MB: it is told to leave that to us.
class Bytes {
 public:
  Bytes(const ByteBuffer& buffer, const GrpcWiring& wiring) {
    if (buffer.TrySingleSlice(&slice_).ok()) return;
    // In several pieces, or compressed; the buffer doesn't say by what. No message of ours can begin as gzip does
    // (there is no such kind of field), nor one that a client means to be understood as zlib's format (field 15).
    ok_ = buffer.DumpToSingleSlice(&slice_).ok();
    const auto bytes = of(slice_);
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
    if (bytes.size() < 2) return;
    const bool gzip = byte(0) == 0x1f && byte(1) == 0x8b;
    const bool zlib = byte(0) == 0x78 && (byte(0) * 256 + byte(1)) % 31 == 0;
    if (gzip || zlib) inflated_ = wiring.inflate(bytes, gzip ? "gzip" : "deflate");
  }
  Result<std::string_view> view() const {
    if (!ok_) return fail(Code::internal, "net.message", "the message can't be read");
    if (!inflated_) return of(slice_);
    if (!*inflated_) return fail(inflated_->error());
    return std::string_view(**inflated_);
  }

 private:
  static std::string_view of(const grpc::Slice& slice) {
    return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
  }
  grpc::Slice slice_;
  std::optional<Result<std::string>> inflated_;
  bool ok_ = true;
};

ByteBuffer buffer_of(std::string text) {
  constexpr std::size_t copied_max = 4096;  // below it a copy costs less than the bookkeeping
  if (text.size() <= copied_max) {
    grpc::Slice slice(text);
    return {&slice, 1};
  }
  auto* owned = new std::string(std::move(text));
  grpc::Slice slice(owned->data(), owned->size(), [](void* p) { delete static_cast<std::string*>(p); }, owned);
  return {&slice, 1};
}

bool expired(const CallbackServerContext& context) {
  const auto deadline = context.raw_deadline();
  return context.IsCancelled() || (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) < 0 &&
                                   gpr_time_cmp(deadline, gpr_now(deadline.clock_type)) < 0);
}

std::string_view metadata_of(const CallbackServerContext& context, const char* name) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find(name);
  return found == metadata.end() ? std::string_view() : std::string_view(found->second.data(), found->second.size());
}

Result<std::string> call(const GrpcMethod& method, const CallbackServerContext& context, const ByteBuffer& request,
                         const GrpcWiring& wiring, GrpcCall& call) {
  try {
    const Bytes bytes(request, wiring);
    TRY(const auto message, bytes.view());
    return wiring.call(method, message, metadata_of(context, "traceparent"), call);
  } catch (const std::bad_alloc&) {
    return fail(Code::resource_exhausted, "net.memory", "there is not enough memory for this request");
  } catch (const std::exception& error) {
    return fail(Code::internal, "net.handler_failed", error.what());
  }
}

class Stream;

// All streams that are open.
class Streams {
 public:
  Result<void> add(Stream* stream, std::size_t count_max) {
    std::lock_guard lock(mutex_);
    if (stopping_) return fail(Code::unavailable, "net.stopping", "the server is stopping; call again");
    if (open_.size() >= count_max) {
      return fail(Code::resource_exhausted, "net.too_many_streams",
                  "there are as many streams as this server takes; try again later");
    }
    open_.insert(stream);
    return {};
  }
  void remove(Stream* stream) {
    std::lock_guard lock(mutex_);
    open_.erase(stream);
  }
  // From now on none may begin, and those there are end; until `until`, or finished().
  void end(Clock& clock, SteadyPoint until);
  void finished() {
    std::lock_guard lock(mutex_);
    done_ = true;
    wake_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::set<Stream*> open_;
  bool stopping_ = false;
  bool done_ = false;
};

// One stream: reads a message, answers it, reads the next. A client that does not take its answers is not read from.
class Stream final : public grpc::ServerBidiReactor<ByteBuffer, ByteBuffer> {
 public:
  Stream(CallbackServerContext& context, const GrpcMethod& method, Streams& streams, const GrpcWiring& wiring)
      : context_(context), method_(method), streams_(streams), wiring_(wiring), heard_(wiring.clock.steady()) {
    const auto added = streams.add(this, static_cast<std::size_t>(wiring.config.streams_max));
    counted_ = added.has_value();
    if (counted_)
      StartRead(&in_);
    else
      end(refuse(context, added.error()));
  }

  void OnReadDone(bool ok) override {
    if (!ok) return end(grpc::Status::OK);
    {
      std::lock_guard lock(mutex_);
      if (ended_) return;
      busy_ = true;
    }
    if (expired(context_)) return end({grpc::StatusCode::DEADLINE_EXCEEDED, "the deadline has passed"});
    GrpcCall now{.may_wait = true, .came = wiring_.clock.steady()};
    auto answer = call(method_, context_, in_, wiring_, now);
    if (!answer) return end(refuse(context_, answer.error()));
    std::lock_guard lock(mutex_);
    if (ended_) return;
    out_ = buffer_of(*std::move(answer));
    StartWrite(&out_);
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return end(grpc::Status(grpc::StatusCode::CANCELLED, "the client is gone"));
    std::lock_guard lock(mutex_);
    if (ended_) return;
    if (last_) {
      ended_ = true;
      return Finish(stopping());
    }
    busy_ = false;
    heard_ = wiring_.clock.steady();
    in_.Clear();
    StartRead(&in_);
  }

  void OnCancel() override { end(grpc::Status(grpc::StatusCode::CANCELLED, "the call was cancelled")); }

  void OnDone() override {
    if (counted_) streams_.remove(this);
    delete this;
  }

  // Now, if it has been quiet; with `talkative`, in any case after the answer that is under way.
  void end_soon(SteadyPoint now, bool talkative) {
    {
      std::lock_guard lock(mutex_);
      last_ = last_ || talkative;
      if (busy_ || (!talkative && now - heard_ < kQuiet)) return;
    }
    end(stopping());
  }

 private:
  static grpc::Status stopping() { return {grpc::StatusCode::UNAVAILABLE, "the server is stopping; call again"}; }

  void end(const grpc::Status& status) {
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(ended_, true)) return;
    }
    Finish(status);
  }

  CallbackServerContext& context_;
  const GrpcMethod& method_;
  Streams& streams_;
  const GrpcWiring& wiring_;
  std::mutex mutex_;
  bool busy_ = false, last_ = false, ended_ = false, counted_ = false;
  SteadyPoint heard_;
  ByteBuffer in_, out_;
};

void Streams::end(Clock& clock, SteadyPoint until) {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  const auto began = clock.steady();
  while (!done_ && clock.steady() < until) {
    const auto now = clock.steady();
    for (auto* stream : open_) stream->end_soon(now, now - began > kTalkative);
    wake_.wait_for(lock, kLook, [&] { return done_; });
  }
}

// Refuses a stream before it begins.
class Refused final : public grpc::ServerBidiReactor<ByteBuffer, ByteBuffer> {
 public:
  explicit Refused(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

// A call that waits for its turn on the pool. The library keeps what it refers to until Finish().
class Waiting {
 public:
  struct Parts {
    const GrpcMethod& method;
    const GrpcWiring& wiring;
    CallbackServerContext& context;
    grpc::ServerUnaryReactor& reactor;
    const ByteBuffer& request;
    ByteBuffer& response;
  };
  Waiting(const Parts& parts, GrpcCall call) : parts_(parts), call_(std::move(call)) {}
  // There was no room for it, or the server stops.
  ~Waiting() {
    if (!answered_)
      finish(fail(Code::unavailable, "net.overloaded", "too many requests wait already; try again in a second"));
  }
  void answer() {
    if (expired(parts_.context)) {
      answered_ = true;
      return parts_.reactor.Finish({grpc::StatusCode::DEADLINE_EXCEEDED, "the deadline passed while the call waited"});
    }
    call_.may_wait = true;
    finish(call(parts_.method, parts_.context, parts_.request, parts_.wiring, call_));
  }

 private:
  void finish(Result<std::string> answer) {
    answered_ = true;
    call_ = {};  // its place is free before the client reads the answer
    if (!answer) return parts_.reactor.Finish(refuse(parts_.context, answer.error()));
    parts_.response = buffer_of(*std::move(answer));
    parts_.reactor.Finish(grpc::Status::OK);
  }

  Parts parts_;
  GrpcCall call_;
  bool answered_ = false;
};

class Methods final : public grpc::Service {
 public:
  Methods(const GrpcWiring& wiring, Streams& streams) : wiring_(wiring), streams_(streams) {
    int index = 0;
    for (const auto& method : wiring.methods) {
      using Kind = grpc::internal::RpcMethod;
      AddMethod(new grpc::internal::RpcServiceMethod(method.path.c_str(),
                                                     method.stream ? Kind::BIDI_STREAMING : Kind::NORMAL_RPC, nullptr));
      MarkMethodRawCallback(index++, method.stream ? streaming(method) : unary(method));
    }
  }

 private:
  grpc::internal::MethodHandler* unary(const GrpcMethod& method) {
    return new grpc::internal::CallbackUnaryHandler<ByteBuffer, ByteBuffer>(
        [this, &method](CallbackServerContext* context, const ByteBuffer* request, ByteBuffer* response) {
          auto* reactor = context->DefaultReactor();
          if (const auto done = answer({method, wiring_, *context, *reactor, *request, *response}))
            reactor->Finish(*done);
          return reactor;
        });
  }

  // nullopt: it waits for the pool, which finishes it.
  std::optional<grpc::Status> answer(const Waiting::Parts& parts) {
    auto& context = parts.context;
    if (auto allowed = wiring_.authorize(parts.method, metadata_of(context, "authorization")); !allowed)
      return refuse(context, allowed.error());
    if (expired(context))
      return grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "the deadline passed before the call began");
    const bool pooled = wiring_.config.pool && parts.method.call_handler;
    GrpcCall now{.may_wait = !pooled, .came = wiring_.clock.steady()};
    auto answered = call(parts.method, context, parts.request, wiring_, now);
    if (pooled && !answered && answered.error().reason == wiring_.config.pool_on) {
      const auto came = now.came;
      auto lane = std::move(now.lane);
      auto waiting = std::make_unique<Waiting>(parts, std::move(now));
      wiring_.compute(std::move(lane), came, [waiting = std::move(waiting)] { waiting->answer(); });
      return std::nullopt;
    }
    if (!answered) return refuse(context, answered.error());
    parts.response = buffer_of(*std::move(answered));
    return grpc::Status::OK;
  }

  grpc::internal::MethodHandler* streaming(const GrpcMethod& method) {
    return new grpc::internal::CallbackBidiHandler<ByteBuffer, ByteBuffer>(
        [this, &method](CallbackServerContext* context) -> grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>* {
          if (auto allowed = wiring_.authorize(method, metadata_of(*context, "authorization")); !allowed)
            return new Refused(refuse(*context, allowed.error()));
          return new Stream(*context, method, streams_, wiring_);
        });
  }

  const GrpcWiring& wiring_;
  Streams& streams_;
};

// The certificate of the moment for each handshake. The library's C++ side takes one that stays, or watches files by
// itself without looking whether the key is that of the certificate; its C side asks.
class LiveCredentials final : public grpc::ServerCredentials {
 public:
  explicit LiveCredentials(std::shared_ptr<const LiveTls> tls) : tls_(std::move(tls)) {
    credentials_ =
        grpc_ssl_server_credentials_create_with_options(grpc_ssl_server_credentials_create_options_using_config_fetcher(
            GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE, &LiveCredentials::fetch, this));
  }
  ~LiveCredentials() override { grpc_server_credentials_release(credentials_); }
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }
  // One call at a time: the library holds a lock of the listener.
  static grpc_ssl_certificate_config_reload_status fetch(void* self, grpc_ssl_server_certificate_config** out) {
    auto& mine = *static_cast<LiveCredentials*>(self);
    auto pair = mine.tls_->now();
    if (pair == mine.given_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    const grpc_ssl_pem_key_cert_pair pem{pair->key.c_str(), pair->certificate.c_str()};
    // The library demands some authority of clients' certificates, although none is asked for.
    *out = grpc_ssl_server_certificate_config_create(pair->certificate.c_str(), &pem, 1);
    mine.given_ = std::move(pair);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const std::shared_ptr<const LiveTls> tls_;
  std::shared_ptr<const TlsPair> given_;
  grpc_server_credentials* credentials_ = nullptr;
};

class Library final : public GrpcLibrary {
 public:
  explicit Library(const GrpcWiring& wiring) : wiring_(wiring), methods_(wiring, streams_) {}

  Result<void> start() override {
    const auto& config = wiring_.config;
    grpc::ResourceQuota quota("millrace");
    quota.Resize(config.messages_bytes_max);
    grpc::ServerBuilder builder;
    builder.SetResourceQuota(quota);
    builder.SetMaxReceiveMessageSize(static_cast<int>(config.message_bytes_max));
    builder.SetMaxSendMessageSize(-1);
    builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, config.calls_per_connection_max);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, config.connection_idle_seconds_max * 1000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);  // a connection whose other side is gone
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
    int port = 0;
    builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                               static_cast<int>(config.handshake_seconds_max * 1000));
    if (config.tls) credentials_ = std::make_shared<LiveCredentials>(config.tls);
    builder.AddListeningPort(wiring_.address, credentials_ ? credentials_ : grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&methods_);
    server_ = builder.BuildAndStart();
    if (!server_ || port == 0) {
      return fail(Code::invalid_argument, "net.bad_address",
                  "gRPC can't listen on " + wiring_.address + "; choose another address with --grpc");
    }
    return {};
  }

  bool stop(Duration deadline) override {
    if (!server_) return true;
    const auto until = wiring_.clock.steady() + deadline;
    std::thread ending([&] { streams_.end(wiring_.clock, until); });
    server_->Shutdown(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_micros(deadline.count(), GPR_TIMESPAN)));
    const bool whole = wiring_.clock.steady() < until;
    streams_.finished();
    ending.join();
    server_->Wait();
    server_.reset();
    return whole;
  }

 private:
  const GrpcWiring& wiring_;
  Streams streams_;
  Methods methods_;
  std::shared_ptr<grpc::ServerCredentials> credentials_;  // asked at each handshake, so it goes after the server
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

}  // namespace millrace::net

extern "C" __attribute__((visibility("default"))) millrace::net::GrpcLibrary* millrace_grpc_library(
    const millrace::net::GrpcWiring& wiring) {
  return new millrace::net::Library(wiring);
}
