#include "api/v2/render.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <format>

#include "api/v2/signature.hpp"
#include "base/text.hpp"

namespace millrace::api::v2 {

namespace {

std::string quoted_text(std::string_view text) {
  std::string out;
  append_json_text(out, text);
  return out;
}

void put_json(std::string& out, double value) { append_json_number(out, value); }
void put_json(std::string& out, const std::string& value) { append_json_text(out, value); }

void put_binary(std::string& out, double value) {
  static_assert(std::endian::native == std::endian::little);
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof bytes);
}

void put_binary(std::string& out, const std::string& value) {
  const auto length = static_cast<std::uint32_t>(value.size());
  char bytes[sizeof length];
  std::memcpy(bytes, &length, sizeof length);
  out.append(bytes, sizeof bytes);
  out += value;
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string out = "[";
  for (const auto size : shape) out += (out.size() > 1 ? "," : "") + std::to_string(size);
  return out + "]";
}

// One output's elements, wherever they go.
template <class Put>
void each_element(const TensorInfo& output, const model::Manifest& manifest, const serve::Answered& answered, Put put) {
  for (std::size_t i = 0; i < answered.answers.size(); ++i) {
    const auto& answer = answered.answers[i];
    const auto probability = [&](std::size_t k) {
      if (manifest.task == model::TaskType::multiclass) return answer.probabilities[k];
      return k == 1 ? answer.score : 1 - answer.score;
    };
    if (output.name == "prediction") {
      if (manifest.task == model::TaskType::regression)
        put(answer.score);
      else
        put(answer.label);
    } else if (output.name == "probability") {
      put(probability(static_cast<std::size_t>(answer.decision)));
    } else if (output.name == "probabilities") {
      for (std::size_t k = 0; k < manifest.classes.size(); ++k) put(probability(k));
    } else {
      put(answered.ids[i].text());
    }
  }
}

std::string tensors_text(std::span<const TensorInfo> tensors) {
  std::string out = "[";
  for (const auto& each : tensors) {
    if (out.size() > 1) out += ',';
    out += std::format(R"({{"name":{},"datatype":"{}","shape":{}{}}})", quoted_text(each.name),
                       datatype_name(each.datatype), shape_text(each.shape),
                       each.optional ? R"(,"parameters":{"optional":true})" : "");
  }
  return out + "]";
}

std::string config_tensors(std::span<const TensorInfo> tensors) {
  std::string out = "[";
  for (const auto& each : tensors) {
    if (out.size() > 1) out += ',';
    out += std::format(R"({{"name":{},"data_type":"TYPE_{}","dims":{}{}}})", quoted_text(each.name),
                       each.datatype == Datatype::bytes ? "STRING" : datatype_name(each.datatype),
                       shape_text(each.shape), each.optional ? R"(,"optional":true)" : "");
  }
  return out + "]";
}

}  // namespace

std::string render_error(const Error& error) { return "{\"error\":" + quoted_text(error.message) + "}"; }

std::string render_server(std::string_view version) {
  return std::format(
      R"({{"name":"millrace","version":{},"extensions":["binary_tensor_data","model_configuration","model_repository"]}})",
      quoted_text(version));
}

std::string render_model(std::string_view name, const model::Manifest& manifest,
                         std::span<const std::int64_t> versions) {
  std::string numbers;
  for (const auto number : versions) numbers += std::format("{}\"{}\"", numbers.empty() ? "" : ",", number);
  std::string parameters;
  const auto add = [&](std::string_view key, std::string_view value) {
    parameters += std::format("{}{}:{}", parameters.empty() ? "" : ",", quoted_text(key), quoted_text(value));
  };
  if (takes_matrix(manifest)) {
    add("matrix_input", kMatrixInput);
    parameters += std::format(",\"matrix_columns\":{}", manifest.inputs.size());
  }
  if (!manifest.key.empty()) add("key_input", manifest.key);
  for (std::size_t i = 0; i < manifest.classes.size(); ++i) add(std::format("class.{}", i), manifest.classes[i]);
  return std::format(
      R"({{"name":{},"versions":[{}],"platform":"millrace_{}","inputs":{},"outputs":{},"parameters":{{{}}}}})",
      quoted_text(name), numbers, manifest.engine.name, tensors_text(inputs_of(manifest)),
      tensors_text(outputs_of(manifest)), parameters);
}

std::string render_ready(std::string_view name) { return "{\"name\":" + quoted_text(name) + ",\"ready\":true}"; }

std::string render_config(std::string_view name, const model::Manifest& manifest) {
  return std::format(
      R"({{"name":{},"platform":"millrace_{}","backend":"millrace","max_batch_size":0,"input":{},"output":{}}})",
      quoted_text(name), manifest.engine.name, config_tensors(inputs_of(manifest)),
      config_tensors(outputs_of(manifest)));
}

std::string render_index(std::span<const serve::Predictor::ModelState> states, bool ready_only) {
  std::string out = "[";
  const auto add = [&](const std::string& name, const std::string& version, bool ready, std::string_view reason) {
    if (ready_only && !ready) return;
    out += std::format(R"({}{{"name":{},"version":"{}","state":"{}","reason":{}}})", out.size() > 1 ? "," : "",
                       quoted_text(name), version, ready ? "READY" : "UNAVAILABLE", quoted_text(reason));
  };
  for (const auto& model : states) {
    for (const auto& version : model.versions)
      add(model.name, std::to_string(version.version), version.loaded, version.loaded ? "" : model.error);
    if (model.versions.empty()) add(model.name, "", false, "no version is to be served yet");
  }
  return out + "]";
}

InferAnswer render_infer(std::string_view name, std::int64_t version, const model::Manifest& manifest,
                         const InferRequest& request, const serve::Answered& answered) {
  auto known = outputs_of(manifest);
  std::vector<WantedOutput> wanted = request.outputs;
  if (wanted.empty()) {
    for (const auto& output : known) wanted.push_back({output.name, request.binary_outputs});
  }
  known.push_back({std::string(kIdOutput), Datatype::bytes, {-1}});

  std::string json = std::format(R"({{"model_name":{},"model_version":"{}")", quoted_text(name), version);
  if (!request.id.empty()) json += ",\"id\":" + quoted_text(request.id);
  json += ",\"parameters\":{\"prediction_ids\":\"";
  for (std::size_t i = 0; i < answered.ids.size(); ++i) json += (i ? "," : "") + answered.ids[i].text();
  json += '"';
  if (!answered.unlogged.empty()) json += ",\"logged\":false";
  json += "},\"outputs\":[";
  std::string binary;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto& output = *std::ranges::find(known, wanted[i].name, &TensorInfo::name);
    auto shape = output.shape;
    shape[0] = static_cast<std::int64_t>(answered.answers.size());
    json += std::format(R"({}{{"name":"{}","datatype":"{}","shape":{},)", i ? "," : "", output.name,
                        datatype_name(output.datatype), shape_text(shape));
    if (wanted[i].binary) {
      const auto before = binary.size();
      each_element(output, manifest, answered, [&](const auto& value) { put_binary(binary, value); });
      json += std::format(R"("parameters":{{"binary_data_size":{}}}}})", binary.size() - before);
      continue;
    }
    json += "\"data\":[";
    bool first = true;
    each_element(output, manifest, answered, [&](const auto& value) {
      if (!std::exchange(first, false)) json += ',';
      put_json(json, value);
    });
    json += "]}";
  }
  json += "]}";
  const auto json_bytes = json.size();
  return {std::move(json) + binary, json_bytes};
}

}  // namespace millrace::api::v2
