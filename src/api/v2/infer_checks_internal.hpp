// What every form of an inference request (JSON, protobuf) says before the elements of its tensors, and what is checked
// of it. Pure. All errors are those of parse_infer().
#pragma once

#include <format>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "api/v2/infer_request.hpp"

namespace millrace::api::v2 {

using Parameters = std::map<std::string, table::Value>;  // null: of a kind that no parameter has
inline constexpr std::size_t kParametersMax = 100;       // a body of nothing else would take ten times its size
inline constexpr std::size_t kOutputsMax = 100;

// An input without its data.
struct WrittenInput {
  std::string name;
  std::optional<std::string> datatype;
  std::optional<std::vector<std::int64_t>> shape;
  Parameters parameters;
};

struct WrittenOutput {
  std::string name;
  Parameters parameters;
};

std::unexpected<Error> bad(std::string_view reason, std::string message);  // invalid_argument

// A parameter of the kind T, if it is there.
template <class T>
Result<std::optional<T>> take(const Parameters& parameters, const std::string& name, std::string_view kind) {
  const auto found = parameters.find(name);
  if (found == parameters.end()) return std::optional<T>();
  if (const auto* value = std::get_if<T>(&found->second)) return std::optional<T>(*value);
  return bad("v2.bad_request", std::format("the parameter '{}' is {}", name, kind));
}

// One more input, beside those that were read before.
Result<void> check_more_inputs(std::size_t before, const InferLimits& limits);
Result<void> check_name(const std::string& name, bool twice);
// One more number of a shape that has `before` so far.
Result<void> check_size(std::string_view input, const InferLimits& limits, std::size_t before, std::string_view text,
                        std::optional<std::int64_t> size);
// All of the tensor but its elements.
Result<Tensor> head_of(const WrittenInput& input, const InferLimits& limits);
Result<MissingRule> missing_rule(const Parameters& parameters, MissingRule rule);
Result<std::optional<Duration>> timeout_of(const Parameters& parameters);  // of a request; 0 is none
// Of the request's parameters; `otherwise` where they say nothing.
Result<bool> binary_outputs(const Parameters& parameters, bool otherwise);
Result<WantedOutput> wanted_output(const WrittenOutput& output, bool binary_outputs);

}  // namespace millrace::api::v2
