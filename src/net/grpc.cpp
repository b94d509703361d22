#include "net/grpc.hpp"

#include <dlfcn.h>

#include <format>
#include <optional>

#include "base/process.hpp"
#include "base/rng.hpp"
#include "base/tracing.hpp"
#include "net/address_internal.hpp"
#include "net/grpc_library_internal.hpp"
#include "net/inflate_internal.hpp"

namespace millrace::net {

namespace {

// Never closed: the library's threads outlive every server.
Result<GrpcLibraryFunction> open_library(const std::string& path) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* function = handle ? dlsym(handle, kGrpcLibraryFunction) : nullptr;
  if (!function) {
    const char* why = dlerror();
    return fail(
        Code::unavailable, "net.grpc_missing",
        std::format("gRPC can't be opened: {}; put {} and the libraries it needs (libgrpc++) there, or leave the "
                    "gRPC address out",
                    why ? why : "unknown reason", path));
  }
  return reinterpret_cast<GrpcLibraryFunction>(function);
}

}  // namespace

struct GrpcServer::Impl {
  GrpcConfig config;
  std::vector<GrpcMethod> methods;
  Env& env;
  std::optional<Reservation> port;
  std::unique_ptr<GrpcWiring> wiring;
  std::unique_ptr<GrpcLibrary> library;
  std::string address;

  static Result<std::string> handled(const GrpcMethod& method, std::string_view message, GrpcCall& call) {
    return method.call_handler ? method.call_handler(message, call) : method.handler(message);
  }

  // Names and keys are OpenTelemetry's for RPC servers.
  Result<std::string> traced(const GrpcMethod& method, std::string_view message, std::string_view traceparent,
                             GrpcCall& call) const {
    if (!call.trace && !call.asked_to_trace) {
      call.asked_to_trace = true;
      const auto id = std::format("{:016x}{:016x}", env.rng.next() | 1, env.rng.next());
      call.trace = config.tracer->begin(traceparent, id, method.path.substr(1));
    }
    if (!call.trace) return handled(method, message, call);
    auto answer = [&] {
      const TraceScope scope(call.trace.get());
      return handled(method, message, call);
    }();
    if (!answer && !call.may_wait && answer.error().reason == config.pool_on) return answer;  // it goes on there
    auto& root = call.trace->root();
    const auto slash = method.path.rfind('/');
    const auto code = answer ? std::int64_t{0} : static_cast<std::int64_t>(answer.error().code);
    root.attributes = {{"rpc.system", std::string("grpc")},
                       {"rpc.service", method.path.substr(1, slash - 1)},
                       {"rpc.method", method.path.substr(slash + 1)},
                       {"rpc.grpc.status_code", code}};
    root.failed = !answer;
    if (!answer) root.message = answer.error().message;
    config.tracer->end(std::move(call.trace));
    return answer;
  }
};

GrpcServer::GrpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GrpcServer::~GrpcServer() { stop(Duration(0)); }

Result<std::unique_ptr<GrpcServer>> GrpcServer::open(GrpcConfig config, std::vector<GrpcMethod> methods, Env& env) {
  if (!is_loopback(config.host)) {
    if (config.auth.token.empty()) {
      return fail(Code::failed_precondition, "net.token_needed",
                  "listening on " + config.host + " opens Millrace to other machines, so it needs a token");
    }
    config.auth.token_required = true;
  }
  if (config.library.empty()) config.library = beside_program("millrace-grpc.so");
  return std::unique_ptr<GrpcServer>(
      new GrpcServer(std::make_unique<Impl>(Impl{std::move(config), std::move(methods), env, {}, {}, {}, {}})));
}

Result<void> GrpcServer::start() {
  auto& impl = *impl_;
  TRY(auto held, Reservation::make(impl.config.host, impl.config.port, "--grpc"));
  impl.port.emplace(std::move(held));
  TRY(const auto function, open_library(impl.config.library));
  const auto& where = *impl.port;
  impl.address = std::format("{}:{}", where.is_v6() ? "[" + where.ip() + "]" : where.ip(), where.port());
  // A browser sends no gRPC, so what a web page could do is no question here: who calls is on this machine or has the
  // token.
  const auto authorized = [&auth = impl.config.auth](const GrpcMethod& method, std::string_view authorization) {
    return authorize_now({.access = method.access,
                          .authorization = authorization,
                          .host = "localhost",
                          .right = method.right,
                          .what = method.path},
                         auth);
  };
  const auto inflated = [&bytes_max = impl.config.message_bytes_max](std::string_view message,
                                                                     std::string_view coding) {
    auto out = inflate_body(message, coding, bytes_max, [](std::uint64_t) { return true; });
    // The code that the library itself gives a message that is too large.
    if (!out && out.error().code == Code::out_of_range) out.error().code = Code::resource_exhausted;
    return out;
  };
  const auto compute = [pool = impl.config.pool](std::shared_ptr<Lane> lane, SteadyPoint came,
                                                 std::move_only_function<void()> work) {
    (void)pool->submit(std::move(lane), came, std::move(work));
  };
  impl.wiring = std::make_unique<GrpcWiring>(GrpcWiring{
      impl.config, impl.methods, impl.address, authorized, inflated, compute, impl.env.clock,
      [&impl](const GrpcMethod& method, std::string_view message, std::string_view traceparent, GrpcCall& call) {
        return impl.config.tracer ? impl.traced(method, message, traceparent, call)
                                  : Impl::handled(method, message, call);
      }});
  impl.library.reset(function(*impl.wiring));
  return impl.library->start();
}

std::string GrpcServer::address() const { return impl_->address; }

bool GrpcServer::stop(Duration deadline) {
  if (!impl_->library) return true;
  const bool whole = impl_->library->stop(deadline);
  impl_->library.reset();
  impl_->port.reset();
  return whole;
}

}  // namespace millrace::net
