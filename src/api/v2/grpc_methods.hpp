// The Open Inference Protocol (v2) over gRPC: inference.GRPCInferenceService. The same models, log and counters as over
// HTTP, the same answers bit for bit and the same errors. The methods only translate.
#pragma once

#include <functional>
#include <vector>

#include "api/v2/routes.hpp"
#include "net/grpc.hpp"

namespace millrace::api::v2 {

// `context` outlives them. `taking`: whether the server takes requests, and is not about to stop.
std::vector<net::GrpcMethod> grpc_methods(Context& context, std::function<bool()> taking);

}  // namespace millrace::api::v2
