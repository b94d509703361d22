// Requests of inference.GRPCInferenceService, whose messages inference.proto describes. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/v2/infer_request.hpp"
#include "api/v2/settings.hpp"

namespace millrace::api::v2 {

struct ModelAsked {
  std::string name;
  std::string version;  // "" for what takes traffic
};
// Field 1 and 2 of a request: those of ModelReady, ModelMetadata, ModelConfig, ModelStatistics and ModelInfer alike.
// invalid_argument `api.bad_protobuf`, as all of these.
Result<ModelAsked> parse_model_asked(std::string_view message);

struct GrpcInferRequest {
  InferRequest request;
  bool raw = true;  // the tensors came as raw contents, so the answer's do too
};
// ModelInferRequest. All other errors are those of parse_infer(), each for the same mistake; also `v2.bad_data`: both
// raw and typed contents, or typed ones of another datatype's member. `binary_data_output` among the request's
// parameters says how the answer's tensors are sent; without it they come as the request's did.
Result<GrpcInferRequest> parse_grpc_infer(std::string_view message, const InferLimits& limits);

Result<bool> parse_index_request(std::string_view message);  // RepositoryIndexRequest: only what is ready

struct SettingsRequest {
  std::string model;  // "" for all
  SettingsAsked asked;
};
Result<SettingsRequest> parse_settings(std::string_view message);  // TraceSettingRequest, LogSettingsRequest

}  // namespace millrace::api::v2
