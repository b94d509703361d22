#include "api/v2/render.hpp"

#include <algorithm>
#include <format>

#include "api/v2/elements_internal.hpp"
#include "api/v2/signature.hpp"
#include "base/text.hpp"

namespace millrace::api::v2 {

namespace {

std::string quoted_text(std::string_view text) {
  std::string out;
  append_json_text(out, text);
  return out;
}

void put_json(std::string& out, float value) { append_json_float(out, value); }
void put_json(std::string& out, double value) { append_json_number(out, value); }
void put_json(std::string& out, const std::string& value) { append_json_text(out, value); }

using model::shape_text;

// {"optional":true}, or what the places of the last axis are called: {"class.0":"cat",..}. "" for neither.
std::string parameters_text(const TensorInfo& tensor) {
  std::string out;
  if (tensor.optional) out = R"("optional":true)";
  for (std::size_t i = 0; i < tensor.labels.size(); ++i)
    out += std::format(R"({}"class.{}":{})", out.empty() ? "" : ",", i, quoted_text(tensor.labels[i]));
  return out.empty() ? out : R"(,"parameters":{)" + out + '}';
}

std::string tensors_text(std::span<const TensorInfo> tensors) {
  std::string out = "[";
  for (const auto& each : tensors) {
    if (out.size() > 1) out += ',';
    out += std::format(R"({{"name":{},"datatype":"{}","shape":{}{}}})", quoted_text(each.name),
                       datatype_name(each.datatype), shape_text(each.shape), parameters_text(each));
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

std::vector<std::string_view> extensions() {
  return {"binary_tensor_data", "model_configuration", "model_repository", "statistics", "trace", "logging"};
}

std::string render_server(std::string_view version) {
  std::string names;
  for (const auto name : extensions()) names += std::format("{}\"{}\"", names.empty() ? "" : ",", name);
  return std::format(R"({{"name":"millrace","version":{},"extensions":[{}]}})", quoted_text(version), names);
}

std::string render_model(std::string_view name, const model::Manifest& manifest,
                         std::span<const std::int64_t> versions) {
  std::string numbers;
  for (const auto number : versions) numbers += std::format("{}\"{}\"", numbers.empty() ? "" : ",", number);
  std::string parameters;
  const auto add = [&](std::string_view key, std::string_view value) {
    parameters += std::format("{}{}:{}", parameters.empty() ? "" : ",", quoted_text(key), quoted_text(value));
  };
  if (takes_matrix(manifest) && manifest.bare_outputs == 0) {
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

std::vector<IndexEntry> index_of(std::span<const serve::Predictor::ModelState> states, bool ready_only) {
  std::vector<IndexEntry> out;
  for (const auto& model : states) {
    for (const auto& version : model.versions) {
      if (version.loaded || !ready_only)
        out.push_back(
            {model.name, std::to_string(version.version), version.loaded, version.loaded ? "" : version.error});
    }
    if (model.versions.empty() && !ready_only) out.push_back({model.name, "", false, "no version is to be served yet"});
  }
  return out;
}

std::string render_index(std::span<const IndexEntry> index) {
  std::string out = "[";
  for (const auto& each : index) {
    out += std::format(R"({}{{"name":{},"version":"{}","state":"{}","reason":{}}})", out.size() > 1 ? "," : "",
                       quoted_text(each.name), each.version, each.state(), quoted_text(each.reason));
  }
  return out + "]";
}

std::uint64_t last_ms(const serve::VersionCounts& counts) {
  using std::chrono::milliseconds;
  return counts.last ? static_cast<std::uint64_t>(
                           std::chrono::duration_cast<milliseconds>(counts.last->time_since_epoch()).count())
                     : 0;
}

std::array<StatisticDuration, 8> durations_of(const serve::VersionCounts& counts) {
  const auto& spent = counts.times.spent;
  const auto n = counts.succeeded;
  return {{{"success", 1, n, spent[3]},
           {"fail", 2, counts.failed, counts.failed_time},
           {"queue", 3, n, spent[4]},
           {"compute_input", 4, n, spent[0]},
           {"compute_infer", 5, n, spent[1]},
           {"compute_output", 6, n, spent[2]},
           {"cache_hit", 7, 0, Duration(0)},
           {"cache_miss", 8, 0, Duration(0)}}};
}

std::string render_statistics(std::span<const serve::ModelReport> models) {
  std::string out = R"({"model_stats":[)";
  for (const auto& model : models) {
    for (const auto& version : model.versions) {
      if (out.back() != '[') out += ',';
      const auto& counts = version.counts;
      out += std::format(
          R"({{"name":{},"version":"{}","last_inference":{},"inference_count":{},"execution_count":{},"inference_stats":{{)",
          quoted_text(model.name), version.number, last_ms(counts), counts.rows, counts.executions());
      for (const auto& [name, number, count, spent] : durations_of(counts)) {
        out += std::format(R"({}"{}":{{"count":{},"ns":{}}})", number == 1 ? "" : ",", name, count,
                           std::chrono::nanoseconds(spent).count());
      }
      out += R"(},"response_stats":{},"batch_stats":[],"memory_usage":[]})";
    }
  }
  return out + "]}";
}

std::vector<AnswerTensor> tensors_of(const model::Manifest& manifest, const InferRequest& request, std::size_t rows) {
  auto known = outputs_of(manifest);
  std::vector<AnswerTensor> out;
  if (request.outputs.empty()) {
    for (auto& info : known) out.push_back({std::move(info), request.binary_outputs});
  } else {
    known.push_back({std::string(kIdOutput), Datatype::bytes, {-1}});
    for (const auto& wanted : request.outputs)
      out.push_back({*std::ranges::find(known, wanted.name, &TensorInfo::name), wanted.binary});
  }
  for (auto& tensor : out) tensor.info.shape[0] = static_cast<std::int64_t>(rows);
  return out;
}

std::string ids_text(const serve::Answered& answered) {
  std::string out;
  for (const auto& id : answered.ids) {
    if (!out.empty()) out += ',';
    out += id.text();
  }
  return out;
}

InferAnswer render_infer(std::string_view name, std::int64_t version, const model::Manifest& manifest,
                         const InferRequest& request, const serve::Answered& answered) {
  std::string json = std::format(R"({{"model_name":{},"model_version":"{}")", quoted_text(name), version);
  if (!request.id.empty()) json += ",\"id\":" + quoted_text(request.id);
  json += ",\"parameters\":{\"prediction_ids\":\"" + ids_text(answered) + '"';
  if (!answered.unlogged.empty()) json += ",\"logged\":false";
  if (answered.fallback) json += ",\"fallback\":true";
  json += "},\"outputs\":[";
  std::string binary;
  for (const auto& [output, as_binary] : tensors_of(manifest, request, answered.answers.size())) {
    if (json.back() != '[') json += ',';
    json += std::format(R"({{"name":"{}","datatype":"{}","shape":{},)", output.name, datatype_name(output.datatype),
                        shape_text(output.shape));
    if (as_binary) {
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

void put_binary_tensor(std::string& out, Datatype type, const model::TensorAnswer::Output& tensor) {
  if (type != Datatype::bytes) {
    out += tensor.bytes;
    return;
  }
  for (const auto text : tensor.texts) put_binary(out, text);
}

Result<InferAnswer> render_tensors(std::string_view name, std::int64_t version, std::span<const TensorInfo> known,
                                   const InferRequest& request, std::span<const std::size_t> outputs,
                                   const serve::AnsweredTensors& answered) {
  std::string json = std::format(R"({{"model_name":{},"model_version":"{}")", quoted_text(name), version);
  if (!request.id.empty()) json += ",\"id\":" + quoted_text(request.id);
  json += ",\"parameters\":{\"prediction_id\":\"" + answered.id.text() + "\"},\"outputs\":[";
  std::vector<std::size_t> binary;  // written behind the JSON
  std::size_t binary_bytes = 0;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto& info = known[outputs[i]];
    const auto& tensor = answered.answer.outputs[i];
    if (i) json += ',';
    json += std::format(R"({{"name":{},"datatype":"{}","shape":{},)", quoted_text(info.name),
                        datatype_name(info.datatype), shape_text(tensor.shape));
    if (request.outputs.empty() ? request.binary_outputs : request.outputs[i].binary) {
      std::size_t bytes = tensor.bytes.size();
      for (const auto text : tensor.texts) bytes += sizeof(std::uint32_t) + text.size();
      json += std::format(R"("parameters":{{"binary_data_size":{}}}}})", bytes);
      binary.push_back(i);
      binary_bytes += bytes;
      continue;
    }
    json += "\"data\":[";
    if (!model::append_json_elements(json, info.datatype, tensor, 0, model::elements_of(tensor.shape))) {
      return fail(
          Code::invalid_argument, "v2.not_text",
          std::format("the output '{}' has bytes that are no UTF-8 text: ask for it as binary data", info.name));
    }
    json += "]}";
  }
  json += "]}";
  const auto json_bytes = json.size();
  json.reserve(json_bytes + binary_bytes);
  for (const auto i : binary) put_binary_tensor(json, known[outputs[i]].datatype, answered.answer.outputs[i]);
  return InferAnswer{std::move(json), json_bytes};
}

}  // namespace millrace::api::v2
