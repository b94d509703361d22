// Answers of the protocol as text: JSON, and for inference binary tensors behind it. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/v2/infer_request.hpp"
#include "model/manifest.hpp"
#include "serve/predictor.hpp"

namespace millrace::api::v2 {

std::string render_error(const Error& error);  // {"error":"..."}
std::vector<std::string_view> extensions();
std::string render_server(std::string_view version);
std::string render_model(std::string_view name, const model::Manifest& manifest,
                         std::span<const std::int64_t> versions);
std::string render_ready(std::string_view name);
// As Triton's ModelConfig.
std::string render_config(std::string_view name, const model::Manifest& manifest);

struct IndexEntry {
  std::string name, version;  // version "" where none is to be served yet
  bool ready = false;
  std::string reason;  // why not
  std::string_view state() const { return ready ? "READY" : "UNAVAILABLE"; }
};
std::vector<IndexEntry> index_of(std::span<const serve::Predictor::ModelState> states, bool ready_only);
// Of the repository: [{"name":..,"version":..,"state":"READY","reason":""}].
std::string render_index(std::span<const IndexEntry> index);

// {"model_stats":[..]}, an entry per version.
std::string render_statistics(std::span<const serve::ModelReport> models);

struct InferAnswer {
  std::string body;
  std::size_t json_bytes = 0;  // of the body; the rest is binary data
};
// The outputs are known to be right: check_outputs().
InferAnswer render_infer(std::string_view name, std::int64_t version, const model::Manifest& manifest,
                         const InferRequest& request, const serve::Answered& answered);

// Of tensors: `known` are the model's outputs, `outputs` the places in it of those that are answered. invalid_argument
// `v2.not_text`: a text of an output that is no UTF-8 can't be in JSON.
Result<InferAnswer> render_tensors(std::string_view name, std::int64_t version,
                                   std::span<const model::TensorInfo> known, const InferRequest& request,
                                   std::span<const std::size_t> outputs, const serve::AnsweredTensors& answered);

}  // namespace millrace::api::v2
