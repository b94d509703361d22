#include "api/v2/infer_request.hpp"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <format>

#include "api/json_reader_internal.hpp"
#include "api/v2/infer_checks_internal.hpp"

namespace millrace::api::v2 {

namespace {

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

// An input as it stands: its data can only be read when all of it, and the request's parameters, are known.
struct JsonInput : WrittenInput {
  std::optional<std::string_view> data;
};

Result<std::vector<std::int64_t>> read_shape(JsonReader& json, std::string_view input, const InferLimits& limits) {
  std::vector<std::int64_t> shape;
  TRY_VOID(json.array([&]() -> Result<void> {
    if (json.peek() != JsonReader::Kind::number && shape.size() < limits.axes_max)
      return json.wrong("a whole number, of a shape");
    TRY_VOID(check_size(input, limits, shape.size(), "", 0));
    TRY(const auto text, json.number());
    std::int64_t size = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    TRY_VOID(check_size(input, limits, shape.size(), text, whole ? std::optional(size) : std::nullopt));
    shape.push_back(size);
    return {};
  }));
  return shape;
}

Result<JsonInput> read_input(JsonReader& json, const InferLimits& limits) {
  JsonInput out;
  TRY_VOID(json.object([&](const std::string& member) -> Result<void> {
    if (member == "name") {
      TRY(out.name, json.string());
    } else if (member == "datatype") {
      TRY(out.datatype, json.string());
    } else if (member == "shape") {
      TRY(out.shape, read_shape(json, out.name, limits));
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

struct JsonRequest {
  std::string id;
  Parameters parameters;
  std::vector<JsonInput> inputs;
  std::vector<WrittenOutput> outputs;
};

Result<JsonRequest> read_json_request(std::string_view text, const InferLimits& limits) {
  JsonRequest out;
  JsonReader json(text);
  TRY_VOID(json.object([&](const std::string& member) -> Result<void> {
    if (member == "id") {
      if (json.peek() == JsonReader::Kind::null) return json.null();
      TRY(out.id, json.string());
    } else if (member == "parameters") {
      TRY(out.parameters, read_parameters(json));
    } else if (member == "inputs") {
      return json.array([&]() -> Result<void> {
        TRY_VOID(check_more_inputs(out.inputs.size(), limits));
        TRY(auto input, read_input(json, limits));
        TRY_VOID(
            check_name(input.name, std::ranges::find(out.inputs, input.name, &JsonInput::name) != out.inputs.end()));
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
  TRY(const auto written, read_json_request(text, limits));

  InferRequest out{.id = written.id};
  TRY(out.timeout, timeout_of(written.parameters));
  TRY(const auto missing, missing_rule(written.parameters, {}));
  for (const auto& input : written.inputs) {
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
      TRY_VOID(limits.packed(tensor) ? pack_json(*input.data, rule, tensor) : read_json(*input.data, rule, tensor));
    } else {
      if (*bytes < 0 || static_cast<std::uint64_t>(*bytes) > binary.size()) {
        return bad("v2.bad_data",
                   std::format("input '{}': binary_data_size is {}, but {} bytes are left after the JSON", input.name,
                               *bytes, binary.size()));
      }
      const auto mine = binary.substr(0, static_cast<std::size_t>(*bytes));
      TRY_VOID(limits.packed(tensor) ? view_binary(mine, tensor) : read_binary(mine, rule, tensor));
      binary.remove_prefix(static_cast<std::size_t>(*bytes));
    }
    out.inputs.push_back(std::move(tensor));
  }
  if (!binary.empty())
    return bad("v2.bad_data", std::format("{} bytes of binary data belong to no input", binary.size()));

  TRY(out.binary_outputs, binary_outputs(written.parameters, false));
  for (const auto& output : written.outputs) {
    TRY(auto wanted, wanted_output(output, out.binary_outputs));
    out.outputs.push_back(std::move(wanted));
  }
  return out;
}

}  // namespace millrace::api::v2
