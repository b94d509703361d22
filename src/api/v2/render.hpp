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
std::string render_server(std::string_view version);
std::string render_model(std::string_view name, const model::Manifest& manifest,
                         std::span<const std::int64_t> versions);
std::string render_ready(std::string_view name);
// As Triton's ModelConfig.
std::string render_config(std::string_view name, const model::Manifest& manifest);
// Of the repository: [{"name":..,"version":..,"state":"READY","reason":""}].
std::string render_index(std::span<const serve::Predictor::ModelState> states, bool ready_only);

struct InferAnswer {
  std::string body;
  std::size_t json_bytes = 0;  // of the body; the rest is binary data
};
// The outputs are known to be right: check_outputs().
InferAnswer render_infer(std::string_view name, std::int64_t version, const model::Manifest& manifest,
                         const InferRequest& request, const serve::Answered& answered);

}  // namespace millrace::api::v2
