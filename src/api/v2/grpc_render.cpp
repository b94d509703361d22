#include "api/v2/grpc_render.hpp"

#include <cstring>
#include <format>

#include "api/protobuf_internal.hpp"
#include "api/v2/elements_internal.hpp"

namespace millrace::api::v2 {

namespace {

ProtoWriter tensor_head(const TensorInfo& tensor) {
  ProtoWriter out;
  out.text(1, tensor.name);
  out.text(2, datatype_name(tensor.datatype));
  out.packed(3, tensor.shape);
  return out;
}

// inference.DataType of model_config.proto.
std::uint64_t config_type(Datatype type) {
  switch (type) {
    case Datatype::boolean:
      return 1;
    case Datatype::uint8:
      return 2;
    case Datatype::uint16:
      return 3;
    case Datatype::uint32:
      return 4;
    case Datatype::uint64:
      return 5;
    case Datatype::int8:
      return 6;
    case Datatype::int16:
      return 7;
    case Datatype::int32:
      return 8;
    case Datatype::int64:
      return 9;
    case Datatype::fp16:
      return 10;
    case Datatype::fp32:
      return 11;
    case Datatype::fp64:
      return 12;
    case Datatype::bytes:
      return 13;
    case Datatype::bf16:
      return 14;
  }
  return 0;
}

ProtoWriter flag_parameter(bool value) {
  ProtoWriter out;
  out.put_number(1, value);
  return out;
}

// InferTensorContents: the classes' names, or numbers.
struct Contents {
  ProtoWriter out;
  std::string floats, doubles;
  void put(float value) { put_binary(floats, value); }
  void put(double value) { put_binary(doubles, value); }
  void put(const std::string& value) { out.bytes(8, value); }
  ProtoWriter& whole() {
    out.text(6, floats);
    out.text(7, doubles);
    return out;
  }
};

template <class T>
void put_typed(ProtoWriter& out, std::uint32_t member, std::string_view bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  out.packed(member, values);
}

// InferTensorContents of a tensor as it lies.
ProtoWriter typed_contents(Datatype type, const model::TensorAnswer::Output& tensor) {
  ProtoWriter out;
  switch (type) {
    case Datatype::boolean:
      put_typed<std::uint8_t>(out, 1, tensor.bytes);
      break;
    case Datatype::int8:
      put_typed<std::int8_t>(out, 2, tensor.bytes);
      break;
    case Datatype::int16:
      put_typed<std::int16_t>(out, 2, tensor.bytes);
      break;
    case Datatype::int32:
      put_typed<std::int32_t>(out, 2, tensor.bytes);
      break;
    case Datatype::int64:
      put_typed<std::int64_t>(out, 3, tensor.bytes);
      break;
    case Datatype::uint8:
      put_typed<std::uint8_t>(out, 4, tensor.bytes);
      break;
    case Datatype::uint16:
      put_typed<std::uint16_t>(out, 4, tensor.bytes);
      break;
    case Datatype::uint32:
      put_typed<std::uint32_t>(out, 4, tensor.bytes);
      break;
    case Datatype::uint64:
      put_typed<std::uint64_t>(out, 5, tensor.bytes);
      break;
    case Datatype::fp32:
      out.text(6, tensor.bytes);
      break;
    case Datatype::fp64:
      out.text(7, tensor.bytes);
      break;
    case Datatype::bytes:
      for (const auto text : tensor.texts) out.bytes(8, text);
      break;
    case Datatype::fp16:
    case Datatype::bf16:
      break;
  }
  return out;
}

}  // namespace

std::string grpc_flag(bool value) {
  ProtoWriter out;
  out.number(1, value);
  return out.take();
}

std::string grpc_health(bool serving) {
  ProtoWriter out;
  out.number(1, serving ? 1 : 2);
  return out.take();
}

std::string grpc_server(std::string_view version) {
  ProtoWriter out;
  out.text(1, "millrace");
  out.text(2, version);
  for (const auto name : extensions()) out.bytes(3, name);
  return out.take();
}

std::string grpc_model(std::string_view name, const model::Manifest& manifest, std::span<const std::int64_t> versions) {
  ProtoWriter out;
  out.text(1, name);
  for (const auto version : versions) out.bytes(2, std::to_string(version));
  out.text(3, "millrace_" + manifest.engine.name);
  for (const auto& tensor : inputs_of(manifest)) out.message(4, tensor_head(tensor));
  for (const auto& tensor : outputs_of(manifest)) out.message(5, tensor_head(tensor));
  return out.take();
}

std::string grpc_config(std::string_view name, const model::Manifest& manifest) {
  ProtoWriter config;
  config.text(1, name);
  config.text(2, "millrace_" + manifest.engine.name);
  for (const auto& tensor : inputs_of(manifest)) {
    ProtoWriter input;
    input.text(1, tensor.name);
    input.number(2, config_type(tensor.datatype));
    input.packed(4, tensor.shape);
    input.number(8, tensor.optional);
    config.message(5, input);
  }
  for (const auto& tensor : outputs_of(manifest)) {
    ProtoWriter output;
    output.text(1, tensor.name);
    output.number(2, config_type(tensor.datatype));
    output.packed(3, tensor.shape);
    config.message(6, output);
  }
  // What the places of an output's last axis are called; TensorMetadata has no room for it.
  for (const auto& tensor : manifest.tensors.outputs) {
    for (std::size_t i = 0; i < tensor.labels.size(); ++i) {
      ProtoWriter value;
      value.text(1, tensor.labels[i]);
      config.entry(14, std::format("{}.class.{}", tensor.name, i), value);
    }
  }
  config.text(17, "millrace");
  ProtoWriter out;
  out.message(1, config);
  return out.take();
}

std::string grpc_index(std::span<const IndexEntry> index) {
  ProtoWriter out;
  for (const auto& each : index) {
    ProtoWriter entry;
    entry.text(1, each.name);
    entry.text(2, each.version);
    entry.text(3, each.state());
    entry.text(4, each.reason);
    out.message(1, entry);
  }
  return out.take();
}

std::string grpc_statistics(std::span<const serve::ModelReport> models) {
  ProtoWriter out;
  for (const auto& model : models) {
    for (const auto& version : model.versions) {
      ProtoWriter one, durations;
      one.text(1, model.name);
      one.text(2, std::to_string(version.number));
      one.number(3, last_ms(version.counts));
      one.number(4, version.counts.rows);
      one.number(5, version.counts.executions());
      for (const auto& [name, number, count, spent] : durations_of(version.counts)) {
        ProtoWriter duration;
        duration.number(1, count);
        duration.number(2, static_cast<std::uint64_t>(std::chrono::nanoseconds(spent).count()));
        durations.message(number, duration);
      }
      one.message(6, durations);
      out.message(1, one);
    }
  }
  return out.take();
}

std::string grpc_trace_settings(const std::vector<Setting>& settings) {
  ProtoWriter out;
  for (const auto& [name, value] : settings) {
    ProtoWriter texts;
    if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
      for (const auto& text : *list) texts.bytes(1, text);
    } else {
      texts.bytes(1, std::get<std::string>(value));
    }
    out.entry(1, name, texts);
  }
  return out.take();
}

std::string grpc_log_settings(const std::vector<Setting>& settings) {
  ProtoWriter out;
  for (const auto& [name, value] : settings) {
    ProtoWriter one;
    if (const auto* flag = std::get_if<bool>(&value))
      one.put_number(1, *flag);
    else if (const auto* number = std::get_if<std::int64_t>(&value))
      one.put_number(2, static_cast<std::uint64_t>(*number));
    else
      one.bytes(3, std::get<std::string>(value));
    out.entry(1, name, one);
  }
  return out.take();
}

std::string grpc_infer(std::string_view name, std::int64_t version, const model::Manifest& manifest,
                       const InferRequest& request, bool raw, const serve::Answered& answered, bool stream) {
  ProtoWriter out;
  out.text(1, name);
  out.text(2, std::to_string(version));
  out.text(3, request.id);
  ProtoWriter ids;
  ids.bytes(3, ids_text(answered));
  out.entry(4, "prediction_ids", ids);
  if (!answered.unlogged.empty()) out.entry(4, "logged", flag_parameter(false));
  if (answered.fallback) out.entry(4, "fallback", flag_parameter(true));
  if (stream) out.entry(4, "triton_final_response", flag_parameter(true));
  const auto tensors = tensors_of(manifest, request, answered.answers.size());
  for (const auto& tensor : tensors) {
    auto head = tensor_head(tensor.info);
    if (!raw) {
      Contents contents;
      each_element(tensor.info, manifest, answered, [&](const auto& value) { contents.put(value); });
      head.message(5, contents.whole());
    }
    out.message(5, head);
  }
  for (std::size_t i = 0; raw && i < tensors.size(); ++i) {
    std::string bytes;
    each_element(tensors[i].info, manifest, answered, [&](const auto& value) { put_binary(bytes, value); });
    out.bytes(6, bytes);
  }
  return out.take();
}

std::string grpc_infer_tensors(std::string_view name, std::int64_t version, std::span<const TensorInfo> infos,
                               const InferRequest& request, bool raw, std::span<const std::size_t> outputs,
                               const serve::AnsweredTensors& answered, bool stream) {
  for (const auto output : outputs) {
    const auto type = infos[output].datatype;
    raw = raw || type == Datatype::fp16 || type == Datatype::bf16;
  }
  ProtoWriter out;
  out.text(1, name);
  out.text(2, std::to_string(version));
  out.text(3, request.id);
  ProtoWriter id;
  id.bytes(3, answered.id.text());
  out.entry(4, "prediction_id", id);
  if (stream) out.entry(4, "triton_final_response", flag_parameter(true));
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto& info = infos[outputs[i]];
    const auto& tensor = answered.answer.outputs[i];
    ProtoWriter head;
    head.text(1, info.name);
    head.text(2, datatype_name(info.datatype));
    head.packed(3, tensor.shape);
    if (!raw) head.message(5, typed_contents(info.datatype, tensor));
    out.message(5, head);
  }
  for (std::size_t i = 0; raw && i < outputs.size(); ++i) {
    const auto& tensor = answered.answer.outputs[i];
    if (const auto type = infos[outputs[i]].datatype; type == Datatype::bytes) {
      std::string bytes;
      put_binary_tensor(bytes, type, tensor);
      out.bytes(6, bytes);
    } else {
      out.bytes(6, tensor.bytes);
    }
  }
  return out.take();
}

std::string grpc_stream_answer(std::string_view infer_response) {
  ProtoWriter out;
  out.bytes(2, infer_response);
  return out.take();
}

std::string grpc_stream_error(const Error& error, std::string_view id) {
  ProtoWriter answer, out;
  answer.text(3, id);
  answer.entry(4, "triton_final_response", flag_parameter(true));
  out.text(1, error.message);
  out.message(2, answer);
  return out.take();
}

}  // namespace millrace::api::v2
