#include "api/v2/grpc_methods.hpp"

#include <format>

#include "api/v2/grpc_render.hpp"
#include "api/v2/grpc_request.hpp"
#include "api/v2/grpc_row.hpp"
#include "api/v2/routes_internal.hpp"
#include "api/v2/signature.hpp"

namespace millrace::api::v2 {

namespace {

using net::Access;
using Message = std::string_view;

// ModelInfer; in a stream the request's id is for its error.
Result<std::string> infer(const Context& c, Message message, net::GrpcCall& call, bool stream, std::string* id) {
  TRY(const auto asked, parse_model_asked(message));
  TRY(auto held, hold(c, asked.name, asked.version, call.may_wait));
  const serve::Turn turn{
      .may_wait = call.may_wait, .bytes = message.size(), .came = call.came, .place = &call.place, .lane = &call.lane};
  TRY_VOID(c.predictor.admit(held, turn));
  auto measure = c.predictor.measure(held, turn);
  const auto& manifest = held.model().manifest();
  if (auto plain = held.undecided() ? std::nullopt : read_grpc_row(message, manifest)) {
    const InferRequest request{.id = std::move(plain->id)};
    if (id) *id = request.id;
    TRY(const auto answered, c.predictor.answer(held, plain->rows, measure));
    auto answer = grpc_infer(asked.name, held.version(), manifest, request, true, answered, stream);
    measure.succeeded();
    return answer;
  }
  TRY(auto ask, parse_grpc_infer(message, limits_of(manifest)));
  if (id) *id = ask.request.id;
  TRY_VOID(check_outputs(manifest, ask.request.outputs));
  if (manifest.takes_tensors()) {
    TRY(const auto tensors, tensors_asked(manifest, ask.request));
    TRY(const auto answered, c.predictor.answer_tensors(held, tensors.inputs, tensors.outputs, measure));
    auto answer = grpc_infer_tensors(asked.name, held.version(), manifest.tensors.outputs, ask.request, ask.raw,
                                     tensors.outputs, answered, stream);
    measure.succeeded();
    return answer;
  }
  if (const auto matrix = c.predictor.keeps_log() ? std::nullopt : matrix_of(manifest, ask.request)) {
    TRY(const auto answered, c.predictor.answer_matrix(held, matrix->features, matrix->rows, measure));
    auto answer = grpc_infer_tensors(asked.name, held.version(), outputs_of(manifest), ask.request, ask.raw,
                                     kBareOutputs, answered, stream);
    measure.succeeded();
    return answer;
  }
  TRY(const auto rows, c.predictor.rows(held, measure, [&](const model::LoadedModel& model) {
    return rows_of(model.manifest(), held.undecided() ? ask.request.inputs : std::exchange(ask.request.inputs, {}));
  }));
  TRY(const auto answered, c.predictor.answer(held, rows, measure));
  auto answer = grpc_infer(asked.name, held.version(), held.model().manifest(), ask.request, ask.raw, answered, stream);
  measure.succeeded();
  return answer;
}

Result<std::string> infer_in_stream(const Context& c, Message message, net::GrpcCall& call) {
  std::string id;
  auto answer = infer(c, message, call, true, &id);
  return answer ? grpc_stream_answer(*answer) : grpc_stream_error(answer.error(), id);
}

// Of requests that name a model, and perhaps a version.
template <class F>
net::GrpcHandler with_model(Context& c, F answer) {
  return [&c, answer](Message message) -> Result<std::string> {
    TRY(const auto asked, parse_model_asked(message));
    TRY(const auto held, hold(c, asked.name, asked.version, true));
    return answer(asked.name, held);
  };
}

net::GrpcHandler not_offered(std::string_view what) {
  return [what](Message) -> Result<std::string> {
    return fail(Code::unimplemented, "v2.not_offered", std::format("{}", what));
  };
}

Result<std::string> nothing(Message) { return std::string(); }

class Service {
 public:
  void add(std::string_view name, net::GrpcHandler handler, Access access = Access::read, bool stream = false) {
    add_path(std::format("/inference.GRPCInferenceService/{}", name), std::move(handler), access, stream);
  }
  void add_path(std::string path, net::GrpcHandler handler, Access access, bool stream = false) {
    methods_.push_back({std::move(path), std::move(handler), stream, access});
  }
  // What changes the server, not what asks it.
  void add_admin(std::string_view name, net::GrpcHandler handler) {
    add(name, std::move(handler), Access::write);
    methods_.back().right = net::Right::admin;
  }
  void add_call(std::string_view name, net::GrpcCallHandler handler, bool stream = false) {
    methods_.push_back({.path = std::format("/inference.GRPCInferenceService/{}", name),
                        .handler = {},
                        .stream = stream,
                        .call_handler = std::move(handler)});
  }
  std::vector<net::GrpcMethod> take() { return std::move(methods_); }

 private:
  std::vector<net::GrpcMethod> methods_;
};

// grpc.health.v1.Health/Check, which load balancers and Kubernetes ask: of the server as a whole, or of our service.
Result<std::string> health(Message message, bool ready) {
  TRY(const auto asked, parse_model_asked(message));  // its field 1 is the service's name
  if (!asked.name.empty() && asked.name != "inference.GRPCInferenceService") {
    return fail(Code::not_found, "v2.no_service",
                std::format("there is no service '{}' here", table::excerpt(asked.name, 60)));
  }
  return grpc_health(ready);
}

void add_health(Service& service, Context& c, std::function<bool()> taking) {
  service.add_path(
      "/grpc.health.v1.Health/Check",
      [&c, taking](Message message) { return health(message, taking() && c.predictor.ready()); }, Access::open);
  service.add("ServerLive", [](Message) -> Result<std::string> { return grpc_flag(true); }, Access::open);
  service.add(
      "ServerReady",
      [&c, taking](Message) -> Result<std::string> { return grpc_flag(taking() && c.predictor.ready()); },
      Access::open);
  service.add("ModelReady", [&c](Message message) -> Result<std::string> {
    TRY(const auto asked, parse_model_asked(message));
    const auto held = hold(c, asked.name, asked.version, false);
    return grpc_flag(held || held.error().reason == serve::kOnDisk);  // it comes back when it is asked
  });
}

void add_repository(Service& service, Context& c) {
  service.add("RepositoryIndex", [&c](Message message) -> Result<std::string> {
    TRY(const bool only, parse_index_request(message));
    return grpc_index(index_of(c.predictor.states(), only));
  });
  for (const bool load : {true, false}) {
    service.add_admin(load ? "RepositoryModelLoad" : "RepositoryModelUnload",
                      [&c, load](Message message) -> Result<std::string> {
                        TRY(const auto ask, parse_grpc_load(message, load));
                        TRY_VOID(c.repository ? c.repository(ask) : managed(c, ask.model, load));
                        return std::string();
                      });
  }
}

// None is ever registered, so there is nothing to list and nothing to let go.
void add_shared_memory(Service& service) {
  for (const std::string kind : {"System", "Cuda"}) {
    service.add(kind + "SharedMemoryStatus", nothing);
    service.add_admin(kind + "SharedMemoryRegister",
                      not_offered("shared memory is not offered here; send tensors as raw_input_contents"));
    service.add_admin(kind + "SharedMemoryUnregister", nothing);
  }
}

void add_settings(Service& service, Context& c) {
  service.add_admin("TraceSetting", [&c](Message message) -> Result<std::string> {
    TRY(const auto request, parse_settings(message));
    if (!request.model.empty()) TRY_VOID(c.predictor.hold(request.model, std::nullopt));
    TRY_VOID(check_settings(trace_settings(), request.asked));
    return grpc_trace_settings(trace_settings());
  });
  service.add_admin("LogSettings", [](Message message) -> Result<std::string> {
    TRY(const auto request, parse_settings(message));
    TRY_VOID(check_settings(log_settings(), request.asked));
    return grpc_log_settings(log_settings());
  });
}

}  // namespace

std::vector<net::GrpcMethod> grpc_methods(Context& c, std::function<bool()> taking) {
  Service service;
  add_health(service, c, std::move(taking));
  service.add("ServerMetadata", [&c](Message) -> Result<std::string> { return grpc_server(c.version); });
  service.add("ModelMetadata", with_model(c, [](const std::string& name, const auto& held) {
                return grpc_model(name, held.model().manifest(), held.versions());
              }));
  service.add("ModelConfig", with_model(c, [](const std::string& name, const auto& held) {
                return grpc_config(name, held.model().manifest());
              }));
  service.add_call("ModelInfer",
                   [&c](Message message, net::GrpcCall& call) { return infer(c, message, call, false, nullptr); });
  service.add_call(
      "ModelStreamInfer", [&c](Message message, net::GrpcCall& call) { return infer_in_stream(c, message, call); },
      true);
  add_repository(service, c);
  add_shared_memory(service);
  service.add("ModelStatistics", [&c](Message message) -> Result<std::string> {
    TRY(const auto asked, parse_model_asked(message));
    TRY(const auto found, statistics_of(c, asked.name, asked.version));
    return grpc_statistics(found);
  });
  add_settings(service, c);
  return service.take();
}

}  // namespace millrace::api::v2
