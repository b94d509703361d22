// Answers of inference.GRPCInferenceService, whose messages inference.proto describes. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/v2/infer_request.hpp"
#include "api/v2/render.hpp"
#include "api/v2/settings.hpp"
#include "model/manifest.hpp"
#include "serve/predictor.hpp"

namespace millrace::api::v2 {

std::string grpc_flag(bool value);      // ServerLiveResponse, ServerReadyResponse, ModelReadyResponse
std::string grpc_health(bool serving);  // HealthCheckResponse of grpc.health.v1
std::string grpc_server(std::string_view version);
std::string grpc_model(std::string_view name, const model::Manifest& manifest, std::span<const std::int64_t> versions);
std::string grpc_config(std::string_view name, const model::Manifest& manifest);
std::string grpc_index(std::span<const IndexEntry> index);
std::string grpc_statistics(std::span<const serve::ModelReport> models);
std::string grpc_trace_settings(const std::vector<Setting>& settings);
std::string grpc_log_settings(const std::vector<Setting>& settings);
// ModelInferResponse; all tensors raw or all typed. `stream`: with the parameter that ends each answer of a stream.
std::string grpc_infer(std::string_view name, std::int64_t version, const model::Manifest& manifest,
                       const InferRequest& request, bool raw, const serve::Answered& answered, bool stream);
// The same of tensors, as render_tensors(). Raw also where an output (FP16, BF16)
// has no typed form.
std::string grpc_infer_tensors(std::string_view name, std::int64_t version, std::span<const model::TensorInfo> infos,
                               const InferRequest& request, bool raw, std::span<const std::size_t> outputs,
                               const serve::AnsweredTensors& answered, bool stream);
// ModelStreamInferResponse.
std::string grpc_stream_answer(std::string_view infer_response);
std::string grpc_stream_error(const Error& error, std::string_view id);

}  // namespace millrace::api::v2
