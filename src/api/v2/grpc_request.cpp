#include "api/v2/grpc_request.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <format>
#include <utility>

#include "api/protobuf_internal.hpp"
#include "api/v2/infer_checks_internal.hpp"

namespace millrace::api::v2 {

namespace {

using Kind = ProtoField::Kind;

// An InferParameter.
Result<table::Value> read_parameter(std::string_view message) {
  table::Value out;
  TRY_VOID(each_field(message, [&](const ProtoField& field) -> Result<void> {
    if (field.is_varint(1)) {
      out = field.value != 0;
    } else if (field.is_varint(2) || field.is_varint(5)) {
      out = static_cast<std::int64_t>(field.value);
    } else if (field.is_bytes(3)) {
      TRY(out, proto_text(field));
    } else if (field.is(4, Kind::fixed64)) {
      out = std::bit_cast<double>(field.value);
    }
    return {};
  }));
  return out;
}

// One entry of a map of parameters.
Result<void> add_parameter(std::string_view entry, Parameters& out) {
  if (out.size() >= kParametersMax) return bad("v2.bad_request", "more than 100 parameters in one place");
  std::string name;
  table::Value value;
  TRY_VOID(each_field(entry, [&](const ProtoField& field) -> Result<void> {
    if (field.is_bytes(1)) {
      TRY(name, proto_text(field));
    } else if (field.is_bytes(2)) {
      TRY(value, read_parameter(field.bytes));
    }
    return {};
  }));
  out[std::move(name)] = std::move(value);
  return {};
}

// An input with where its typed contents lie, if it has some.
struct GrpcInput : WrittenInput {
  std::optional<std::string_view> contents;
};

Result<GrpcInput> read_input(std::string_view message, const InferLimits& limits) {
  GrpcInput out;
  std::vector<std::int64_t> shape;
  TRY_VOID(each_field(message, [&](const ProtoField& field) -> Result<void> {
    if (field.is_bytes(1)) {
      TRY(out.name, proto_text(field));
    } else if (field.is_bytes(2)) {
      TRY(out.datatype, proto_text(field));
    } else if (field.number == 3) {
      return each_varint(field, [&](std::uint64_t value) -> Result<void> {
        const auto size = static_cast<std::int64_t>(value);
        TRY_VOID(check_size(out.name, limits, shape.size(), std::to_string(size), size));
        shape.push_back(size);
        return {};
      });
    } else if (field.is_bytes(4)) {
      return add_parameter(field.bytes, out.parameters);
    } else if (field.is_bytes(5)) {
      if (out.contents) return bad("v2.bad_data", std::format("input '{}' has contents twice", out.name));
      out.contents = field.bytes;
    }
    return {};
  }));
  if (!shape.empty() || limits.raw) out.shape = std::move(shape);  // one that is not there has no axes
  return out;
}

Result<WrittenOutput> read_output(std::string_view message) {
  WrittenOutput out;
  TRY_VOID(each_field(message, [&](const ProtoField& field) -> Result<void> {
    if (field.is_bytes(1)) {
      TRY(out.name, proto_text(field));
    } else if (field.is_bytes(2)) {
      return add_parameter(field.bytes, out.parameters);
    }
    return {};
  }));
  return out;
}

struct GrpcRequest {
  std::string id;
  Parameters parameters;
  std::vector<GrpcInput> inputs;
  std::vector<WrittenOutput> outputs;
  std::vector<std::string_view> raw;
};

Result<GrpcRequest> read_grpc_request(std::string_view message, const InferLimits& limits) {
  GrpcRequest out;
  TRY_VOID(each_field(message, [&](const ProtoField& field) -> Result<void> {
    if (field.is_bytes(3)) {
      TRY(out.id, proto_text(field));
    } else if (field.is_bytes(4)) {
      return add_parameter(field.bytes, out.parameters);
    } else if (field.is_bytes(5)) {
      TRY_VOID(check_more_inputs(out.inputs.size(), limits));
      TRY(auto input, read_input(field.bytes, limits));
      TRY_VOID(check_name(input.name, std::ranges::find(out.inputs, input.name, &GrpcInput::name) != out.inputs.end()));
      out.inputs.push_back(std::move(input));
    } else if (field.is_bytes(6)) {
      if (out.outputs.size() >= kOutputsMax) return bad("v2.bad_request", "too many outputs");
      TRY(auto output, read_output(field.bytes));
      out.outputs.push_back(std::move(output));
    } else if (field.is_bytes(7)) {
      TRY_VOID(check_more_inputs(out.raw.size(), limits));
      out.raw.push_back(field.bytes);
    }
    return {};
  }));
  if (out.inputs.empty()) return bad("v2.bad_request", "the request has no 'inputs'");
  return out;
}

// The members of InferTensorContents, by number.
constexpr std::array<std::string_view, 9> kMembers = {"",
                                                      "bool_contents",
                                                      "int_contents",
                                                      "int64_contents",
                                                      "uint_contents",
                                                      "uint64_contents",
                                                      "fp32_contents",
                                                      "fp64_contents",
                                                      "bytes_contents"};

// In which of them the elements of a datatype lie; 0: in none.
std::uint32_t member_of(Datatype datatype) {
  switch (datatype) {
    case Datatype::boolean:
      return 1;
    case Datatype::int8:
    case Datatype::int16:
    case Datatype::int32:
      return 2;
    case Datatype::int64:
      return 3;
    case Datatype::uint8:
    case Datatype::uint16:
    case Datatype::uint32:
      return 4;
    case Datatype::uint64:
      return 5;
    case Datatype::fp32:
      return 6;
    case Datatype::fp64:
      return 7;
    case Datatype::bytes:
      return 8;
    case Datatype::fp16:
    case Datatype::bf16:
      break;
  }
  return 0;
}

template <class T>
void append_number(std::string& out, T value) {
  static_assert(std::endian::native == std::endian::little);
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof bytes);
}

// Typed contents as raw ones, so that both are read in one way.
class Packer {
 public:
  explicit Packer(const Tensor& tensor) : tensor_(tensor), member_(member_of(tensor.datatype)) {
    for (const auto size : tensor.shape) count_max_ *= static_cast<std::size_t>(size);
  }

  Result<std::string> pack(std::string_view contents) {
    if (member_ == 0) {
      return bad("v2.bad_data", std::format("input '{}': {} has no typed contents; send raw_input_contents",
                                            tensor_.name, datatype_name(tensor_.datatype)));
    }
    TRY_VOID(each_field(contents, [&](const ProtoField& field) -> Result<void> {
      if (field.number >= kMembers.size()) return {};
      if (field.number != member_) {
        if (field.kind == Kind::bytes && field.number != 8 && field.bytes.empty()) return {};
        return bad("v2.bad_data",
                   std::format("input '{}': its contents are in '{}', but {} has them in '{}'", tensor_.name,
                               kMembers[field.number], datatype_name(tensor_.datatype), kMembers[member_]));
      }
      return add(field);
    }));
    return std::move(out_);
  }

 private:
  Result<void> add(const ProtoField& field) {
    if (member_ == 8) return field.kind == Kind::bytes ? add_bytes(field.bytes) : Result<void>();
    if (member_ == 6 || member_ == 7) return add_floats(field, member_ == 6 ? Kind::fixed32 : Kind::fixed64);
    return each_varint(field, [&](std::uint64_t value) { return add_whole(value); });
  }

  Result<void> one_more(std::size_t how_many = 1) {
    count_ += how_many;
    if (count_ <= count_max_) return {};
    return bad("v2.bad_data",
               std::format("input '{}': more than the {} elements of its shape", tensor_.name, count_max_));
  }

  Result<void> add_bytes(std::string_view bytes) {
    TRY_VOID(one_more());
    append_number(out_, static_cast<std::uint32_t>(bytes.size()));
    out_ += bytes;
    return {};
  }

  Result<void> add_floats(const ProtoField& field, Kind alone) {
    const std::size_t width = element_bytes(tensor_.datatype);
    if (field.kind == alone) {
      TRY_VOID(one_more());
      width == 4 ? append_number(out_, static_cast<std::uint32_t>(field.value)) : append_number(out_, field.value);
    } else if (field.kind == Kind::bytes) {
      if (field.bytes.size() % width != 0) return bad_protobuf("packed numbers end within one");
      TRY_VOID(one_more(field.bytes.size() / width));
      out_ += field.bytes;
    }
    return {};
  }

  Result<void> add_whole(std::uint64_t value) {
    TRY_VOID(one_more());
    switch (tensor_.datatype) {
      case Datatype::boolean:
        out_ += value != 0 ? '\1' : '\0';
        return {};
      case Datatype::int8:
        return add_as<std::int8_t>(static_cast<std::int32_t>(value));
      case Datatype::int16:
        return add_as<std::int16_t>(static_cast<std::int32_t>(value));
      case Datatype::int32:
        return add_as<std::int32_t>(static_cast<std::int32_t>(value));
      case Datatype::uint8:
        return add_as<std::uint8_t>(static_cast<std::uint32_t>(value));
      case Datatype::uint16:
        return add_as<std::uint16_t>(static_cast<std::uint32_t>(value));
      case Datatype::uint32:
        return add_as<std::uint32_t>(static_cast<std::uint32_t>(value));
      default:
        append_number(out_, value);
        return {};
    }
  }

  template <class T, class V>
  Result<void> add_as(V value) {
    if (!std::in_range<T>(value)) {
      return bad("v2.bad_data", std::format("input '{}': element {}: expected {}, got {}", tensor_.name, count_ - 1,
                                            datatype_name(tensor_.datatype), value));
    }
    append_number(out_, static_cast<T>(value));
    return {};
  }

  const Tensor& tensor_;
  const std::uint32_t member_;
  std::size_t count_max_ = 1, count_ = 0;
  std::string out_;
};

// A SettingValue of either message: texts of a trace setting; a flag, a number or a text of a log setting.
Result<std::optional<std::string>> read_setting(std::string_view message) {
  std::optional<std::string> out;
  TRY_VOID(each_field(message, [&](const ProtoField& field) -> Result<void> {
    if (field.is_bytes(1) || field.is_bytes(3)) {
      TRY(const auto text, proto_text(field));
      out = out ? *out + "," + text : text;
    } else if (field.is_varint(1)) {
      out = field.value != 0 ? "true" : "false";
    } else if (field.is_varint(2)) {
      out = std::to_string(field.value);
    }
    return {};
  }));
  return out;
}

}  // namespace

Result<ModelAsked> parse_model_asked(std::string_view message) {
  ModelAsked out;
  TRY_VOID(each_field(message, [&](const ProtoField& field) -> Result<void> {
    if (field.is_bytes(1)) {
      TRY(out.name, proto_text(field));
    } else if (field.is_bytes(2)) {
      TRY(out.version, proto_text(field));
    }
    return {};
  }));
  return out;
}

Result<GrpcInferRequest> parse_grpc_infer(std::string_view message, const InferLimits& limits) {
  TRY(const auto written, read_grpc_request(message, limits));
  GrpcInferRequest out{.request = {.id = written.id}, .raw = !written.raw.empty()};
  if (out.raw && written.raw.size() != written.inputs.size()) {
    return bad("v2.bad_data",
               std::format("{} raw_input_contents for {} inputs", written.raw.size(), written.inputs.size()));
  }
  auto& request = out.request;
  TRY(request.timeout, timeout_of(written.parameters));
  TRY(const auto missing, missing_rule(written.parameters, {}));
  for (std::size_t i = 0; i < written.inputs.size(); ++i) {
    const auto& input = written.inputs[i];
    TRY(auto tensor, head_of(input, limits));
    TRY(const auto rule, missing_rule(input.parameters, missing));
    if (out.raw == input.contents.has_value()) {
      return bad("v2.bad_data", std::format("input '{}' has {}", input.name,
                                            out.raw ? "both contents and raw_input_contents"
                                                    : "neither contents nor raw_input_contents"));
    }
    if (out.raw) {
      TRY_VOID(limits.packed(tensor) ? view_binary(written.raw[i], tensor) : read_binary(written.raw[i], rule, tensor));
    } else {
      TRY(auto packed, Packer(tensor).pack(*input.contents));
      if (limits.packed(tensor)) {
        const auto kept = std::make_shared<const std::string>(std::move(packed));
        tensor.memory = kept;
        TRY_VOID(view_binary(*kept, tensor));
      } else {
        TRY_VOID(read_binary(packed, rule, tensor));
      }
    }
    request.inputs.push_back(std::move(tensor));
  }
  TRY(request.binary_outputs, binary_outputs(written.parameters, out.raw));
  out.raw = request.binary_outputs;
  for (const auto& output : written.outputs) {
    TRY(auto wanted, wanted_output(output, request.binary_outputs));
    request.outputs.push_back(std::move(wanted));
  }
  return out;
}

Result<bool> parse_index_request(std::string_view message) {
  bool ready = false;
  TRY_VOID(each_field(message, [&](const ProtoField& field) -> Result<void> {
    if (field.is_varint(2)) ready = field.value != 0;
    if (field.is_bytes(1)) TRY_VOID(proto_text(field));  // of a repository; there is one
    return {};
  }));
  return ready;
}

Result<SettingsRequest> parse_settings(std::string_view message) {
  SettingsRequest out;
  TRY_VOID(each_field(message, [&](const ProtoField& field) -> Result<void> {
    if (field.is_bytes(2)) {
      TRY(out.model, proto_text(field));
    } else if (field.is_bytes(1)) {
      if (out.asked.size() >= kParametersMax) return bad("v2.bad_request", "more than 100 settings");
      auto& [name, value] = out.asked.emplace_back();
      return each_field(field.bytes, [&](const ProtoField& entry) -> Result<void> {
        if (entry.is_bytes(1)) {
          TRY(name, proto_text(entry));
        } else if (entry.is_bytes(2)) {
          TRY(value, read_setting(entry.bytes));
        }
        return {};
      });
    }
    return {};
  }));
  return out;
}

}  // namespace millrace::api::v2
