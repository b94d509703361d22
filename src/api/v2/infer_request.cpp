#include "api/v2/infer_request.hpp"

#include <simdjson.h>

#include <charconv>
#include <format>
#include <map>

#include "api/json_reader_internal.hpp"

namespace millrace::api::v2 {

namespace {

using Parameters = std::map<std::string, table::Value>;  // null: of a kind that no parameter has

std::unexpected<Error> bad(std::string_view reason, std::string message) {
  return fail(Code::invalid_argument, reason, std::move(message));
}

constexpr std::size_t kParametersMax = 100;  // a body of nothing else would take ten times its size

Result<Parameters> read_parameters(JsonReader& json) {
  Parameters out;
  TRY_VOID(json.object([&](const std::string& name) -> Result<void> {
    if (out.size() >= kParametersMax) return bad("v2.bad_request", "more than 100 parameters in one place");
    auto& value = out[name];
    switch (json.peek()) {
      case JsonReader::Kind::boolean: {
        TRY(const bool flag, json.boolean());
        value = flag;
        return {};
      }
      case JsonReader::Kind::string: {
        TRY(value, json.string());
        return {};
      }
      case JsonReader::Kind::number: {
        TRY(const auto text, json.number());
        std::int64_t whole = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), whole);
        value = error == std::errc() && end == text.data() + text.size() ? table::Value(whole) : table::Value(0.0);
        return {};
      }
      default:
        value = std::monostate();
        return json.skip();
    }
  }));
  return out;
}

// A parameter of the kind T, if it is there.
template <class T>
Result<std::optional<T>> take(const Parameters& parameters, const std::string& name, std::string_view kind) {
  const auto found = parameters.find(name);
  if (found == parameters.end()) return std::optional<T>();
  if (const auto* value = std::get_if<T>(&found->second)) return std::optional<T>(*value);
  return bad("v2.bad_request", std::format("the parameter '{}' is {}", name, kind));
}

Result<void> no_shared_memory(const Parameters& parameters) {
  if (!parameters.contains("shared_memory_region")) return {};
  return bad("v2.not_offered", "shared memory is not offered here; send the tensor as JSON or binary data");
}

Result<MissingRule> missing_rule(const Parameters& parameters, MissingRule rule) {
  TRY(const auto null, take<bool>(parameters, "null_is_missing", "true or false"));
  TRY(const auto text, take<std::string>(parameters, "missing_text", "a text"));
  if (null) rule.null = *null;
  if (text) rule.text = *text;
  return rule;
}

// An input as it stands: its data can only be read when all of it, and the request's parameters, are known.
struct Written {
  std::string name;
  std::optional<std::string> datatype;
  std::optional<std::vector<std::int64_t>> shape;
  std::optional<std::string_view> data;
  Parameters parameters;
};

Result<std::vector<std::int64_t>> read_shape(JsonReader& json, std::string_view input) {
  std::vector<std::int64_t> shape;
  TRY_VOID(json.array([&]() -> Result<void> {
    if (json.peek() != JsonReader::Kind::number || shape.size() == 2) {
      if (shape.size() < 2) return json.wrong("a whole number, of a shape");
      return bad("v2.bad_shape", std::format("input '{}': a shape has one or two numbers here", input));
    }
    TRY(const auto text, json.number());
    std::int64_t size = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
    if (error != std::errc() || end != text.data() + text.size() || size < 0) {
      return bad("v2.bad_shape",
                 std::format("input '{}': {} in its shape; a request gives sizes of 0 or more", input, text));
    }
    shape.push_back(size);
    return {};
  }));
  return shape;
}

Result<Written> read_input(JsonReader& json) {
  Written out;
  TRY_VOID(json.object([&](const std::string& member) -> Result<void> {
    if (member == "name") {
      TRY(out.name, json.string());
    } else if (member == "datatype") {
      TRY(out.datatype, json.string());
    } else if (member == "shape") {
      TRY(out.shape, read_shape(json, out.name));
    } else if (member == "parameters") {
      TRY(out.parameters, read_parameters(json));
    } else if (member == "data") {
      if (json.peek() != JsonReader::Kind::array) return json.wrong("a list, of an input's data");
      TRY(out.data, json.raw());
    } else {
      return json.skip();
    }
    return {};
  }));
  return out;
}

struct WrittenOutput {
  std::string name;
  Parameters parameters;
};

Result<WrittenOutput> read_output(JsonReader& json) {
  WrittenOutput out;
  TRY_VOID(json.object([&](const std::string& member) -> Result<void> {
    if (member == "name") {
      TRY(out.name, json.string());
    } else if (member == "parameters") {
      TRY(out.parameters, read_parameters(json));
    } else {
      return json.skip();
    }
    return {};
  }));
  return out;
}

struct WrittenRequest {
  std::string id;
  Parameters parameters;
  std::vector<Written> inputs;
  std::vector<WrittenOutput> outputs;
};

constexpr std::size_t kOutputsMax = 100;

Result<WrittenRequest> read_request(std::string_view text, const InferLimits& limits) {
  WrittenRequest out;
  JsonReader json(text);
  TRY_VOID(json.object([&](const std::string& member) -> Result<void> {
    if (member == "id") {
      if (json.peek() == JsonReader::Kind::null) return json.null();
      TRY(out.id, json.string());
    } else if (member == "parameters") {
      TRY(out.parameters, read_parameters(json));
    } else if (member == "inputs") {
      return json.array([&]() -> Result<void> {
        if (out.inputs.size() >= limits.inputs_max) {
          return bad("v2.too_many_inputs",
                     std::format("more inputs than the {} that this model could take", limits.inputs_max));
        }
        TRY(auto input, read_input(json));
        if (input.name.empty()) return bad("v2.bad_request", "an input has no name");
        for (const auto& other : out.inputs) {
          if (other.name == input.name)
            return bad("v2.bad_request", std::format("the input '{}' is there twice", input.name));
        }
        out.inputs.push_back(std::move(input));
        return {};
      });
    } else if (member == "outputs") {
      return json.array([&]() -> Result<void> {
        if (out.outputs.size() >= kOutputsMax) return bad("v2.bad_request", "too many outputs");
        TRY(auto output, read_output(json));
        out.outputs.push_back(std::move(output));
        return {};
      });
    } else {
      return json.skip();
    }
    return {};
  }));
  TRY_VOID(json.end());
  if (out.inputs.empty()) return bad("v2.bad_request", "the request has no 'inputs'");
  return out;
}

// All but the elements.
Result<Tensor> head_of(const Written& input, const InferLimits& limits) {
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

}  // namespace

Result<InferRequest> parse_infer(std::string_view body, std::optional<std::size_t> json_bytes,
                                 const InferLimits& limits) {
  if (json_bytes && *json_bytes > body.size()) {
    return bad("v2.bad_request", std::format("Inference-Header-Content-Length says {} bytes, but the body has {}",
                                             *json_bytes, body.size()));
  }
  const auto text = body.substr(0, json_bytes.value_or(body.size()));
  auto binary = body.substr(text.size());
  if (!simdjson::validate_utf8(text)) return bad("api.bad_json", "the JSON is no UTF-8 text");
  TRY(const auto written, read_request(text, limits));

  InferRequest out{.id = written.id};
  TRY(const auto missing, missing_rule(written.parameters, {}));
  for (const auto& input : written.inputs) {
    TRY_VOID(no_shared_memory(input.parameters));
    TRY(auto tensor, head_of(input, limits));
    TRY(const auto rule, missing_rule(input.parameters, missing));
    TRY(const auto bytes, take<std::int64_t>(input.parameters, "binary_data_size", "a number of bytes"));
    if (input.data.has_value() == bytes.has_value()) {
      return bad("v2.bad_data", std::format("input '{}' has {}", input.name,
                                            bytes ? "both 'data' and binary data"
                                                  : "no 'data' (and no binary data, which the parameter "
                                                    "'binary_data_size' would tell of)"));
    }
    if (input.data) {
      TRY_VOID(read_json(*input.data, rule, tensor));
    } else {
      if (*bytes < 0 || static_cast<std::uint64_t>(*bytes) > binary.size()) {
        return bad("v2.bad_data",
                   std::format("input '{}': binary_data_size is {}, but {} bytes are left after the JSON", input.name,
                               *bytes, binary.size()));
      }
      TRY_VOID(read_binary(binary.substr(0, static_cast<std::size_t>(*bytes)), rule, tensor));
      binary.remove_prefix(static_cast<std::size_t>(*bytes));
    }
    out.inputs.push_back(std::move(tensor));
  }
  if (!binary.empty())
    return bad("v2.bad_data", std::format("{} bytes of binary data belong to no input", binary.size()));

  TRY(const auto all_binary, take<bool>(written.parameters, "binary_data_output", "true or false"));
  out.binary_outputs = all_binary.value_or(false);
  for (const auto& output : written.outputs) {
    TRY_VOID(no_shared_memory(output.parameters));
    TRY(const auto own, take<bool>(output.parameters, "binary_data", "true or false"));
    TRY(const auto classes, take<std::int64_t>(output.parameters, "classification", "a number of classes"));
    if (classes.value_or(0) != 0) {
      return bad("v2.not_offered",
                 "the classification extension is not offered here; ask for 'probabilities', whose "
                 "classes the model's metadata names");
    }
    out.outputs.push_back({output.name, own.value_or(out.binary_outputs)});
  }
  return out;
}

}  // namespace millrace::api::v2
