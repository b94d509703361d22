#include "api/v2/infer_checks_internal.hpp"

#include <algorithm>

namespace millrace::api::v2 {

namespace {

Result<void> no_shared_memory(const Parameters& parameters) {
  if (!parameters.contains("shared_memory_region")) return {};
  return bad("v2.not_offered", "shared memory is not offered here; send the tensor as JSON or binary data");
}

}  // namespace

std::unexpected<Error> bad(std::string_view reason, std::string message) {
  return fail(Code::invalid_argument, reason, std::move(message));
}

Result<void> check_more_inputs(std::size_t before, const InferLimits& limits) {
  if (before < limits.inputs_max) return {};
  return bad("v2.too_many_inputs",
             std::format("more inputs than the {} that this model could take", limits.inputs_max));
}

Result<void> check_name(const std::string& name, bool twice) {
  if (name.empty()) return bad("v2.bad_request", "an input has no name");
  if (twice) return bad("v2.bad_request", std::format("the input '{}' is there twice", name));
  return {};
}

Result<void> check_size(std::string_view input, const InferLimits& limits, std::size_t before, std::string_view text,
                        std::optional<std::int64_t> size) {
  if (before >= limits.axes_max) {
    return bad("v2.bad_shape", std::format("input '{}': a shape has {} here", input,
                                           limits.raw ? std::format("at most {} numbers", limits.axes_max)
                                                      : std::string("one or two numbers")));
  }
  if (size && *size >= 0) return {};
  return bad("v2.bad_shape",
             std::format("input '{}': {} in its shape; a request gives sizes of 0 or more", input, text));
}

Result<Tensor> head_of(const WrittenInput& input, const InferLimits& limits) {
  TRY_VOID(no_shared_memory(input.parameters));
  if (!input.datatype || !input.shape) {
    return bad("v2.bad_request",
               std::format("input '{}' has no '{}'", input.name, input.datatype ? "shape" : "datatype"));
  }
  const auto datatype = datatype_of(*input.datatype);
  if (!datatype) {
    return bad("v2.bad_datatype", std::format("input '{}': '{}' is no datatype of the protocol; BOOL, INT8 to INT64, "
                                              "UINT8 to UINT64, FP16, FP32, FP64, BF16 and BYTES are",
                                              input.name, table::excerpt(*input.datatype, 40)));
  }
  const auto& shape = *input.shape;
  if (limits.raw) {
    std::int64_t count = 1;
    for (const auto size : shape) {
      // Sizes first, so that a 0 among them hides none.
      if (size > InferLimits::kElementsMax || count > InferLimits::kElementsMax / std::max<std::int64_t>(size, 1))
        return bad("v2.bad_shape", std::format("input '{}': its shape has too many elements", input.name));
      count *= std::max<std::int64_t>(size, 1);
    }
    return Tensor{.name = input.name, .datatype = *datatype, .shape = shape};
  }
  if (shape.empty())
    return bad("v2.bad_shape", std::format("input '{}': its shape is [rows] or [rows, columns]", input.name));
  if (shape[0] == 0) return bad("v2.no_rows", std::format("input '{}' has no rows", input.name));
  if (shape[0] > limits.rows_max) {
    return bad("v2.too_many_rows",
               std::format("input '{}': {} rows; at most {} in one request", input.name, shape[0], limits.rows_max));
  }
  if (shape.size() == 2 && (shape[1] < 1 || shape[1] > limits.columns_max)) {
    return bad("v2.bad_shape",
               std::format("input '{}': {} columns are none or more than the model has", input.name, shape[1]));
  }
  return Tensor{.name = input.name, .datatype = *datatype, .shape = shape};
}

Result<MissingRule> missing_rule(const Parameters& parameters, MissingRule rule) {
  TRY(const auto null, take<bool>(parameters, "null_is_missing", "true or false"));
  TRY(const auto text, take<std::string>(parameters, "missing_text", "a text"));
  if (null) rule.null = *null;
  if (text) rule.text = *text;
  return rule;
}

Result<std::optional<Duration>> timeout_of(const Parameters& parameters) {
  TRY(const auto wanted, take<std::int64_t>(parameters, "timeout", "a whole number of microseconds"));
  if (!wanted || *wanted == 0) return std::optional<Duration>();
  if (*wanted < 0) return bad("v2.bad_request", std::format("the parameter 'timeout' is {}; it is 0 or more", *wanted));
  return std::optional(Duration(*wanted));
}

Result<bool> binary_outputs(const Parameters& parameters, bool otherwise) {
  TRY(const auto all, take<bool>(parameters, "binary_data_output", "true or false"));
  return all.value_or(otherwise);
}

Result<WantedOutput> wanted_output(const WrittenOutput& output, bool binary_outputs) {
  TRY_VOID(no_shared_memory(output.parameters));
  TRY(const auto own, take<bool>(output.parameters, "binary_data", "true or false"));
  TRY(const auto classes, take<std::int64_t>(output.parameters, "classification", "a number of classes"));
  if (classes.value_or(0) != 0) {
    return bad("v2.not_offered",
               "the classification extension is not offered here; ask for 'probabilities', whose classes the model's "
               "metadata names");
  }
  return WantedOutput{output.name, own.value_or(binary_outputs)};
}

}  // namespace millrace::api::v2
