#include "model/onnx_tensors_internal.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <format>
#include <new>

#include "model/onnx_library_internal.hpp"

namespace millrace::model {
namespace {

constexpr std::size_t kReasonBytesMax = 400;

std::optional<Datatype> datatype_of_onnx(ONNXTensorElementDataType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:
      return Datatype::boolean;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
      return Datatype::uint8;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16:
      return Datatype::uint16;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32:
      return Datatype::uint32;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64:
      return Datatype::uint64;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
      return Datatype::int8;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16:
      return Datatype::int16;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
      return Datatype::int32;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
      return Datatype::int64;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
      return Datatype::fp16;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
      return Datatype::fp32;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:
      return Datatype::fp64;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16:
      return Datatype::bf16;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING:
      return Datatype::bytes;
    default:
      return std::nullopt;
  }
}

ONNXTensorElementDataType onnx_of_datatype(Datatype type) {
  switch (type) {
    case Datatype::boolean:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL;
    case Datatype::uint8:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    case Datatype::uint16:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16;
    case Datatype::uint32:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32;
    case Datatype::uint64:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64;
    case Datatype::int8:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8;
    case Datatype::int16:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16;
    case Datatype::int32:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
    case Datatype::int64:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
    case Datatype::fp16:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
    case Datatype::fp32:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    case Datatype::fp64:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE;
    case Datatype::bf16:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16;
    case Datatype::bytes:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING;
  }
  return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
}

// The library's message without the place in its sources, on one line.
std::string reason_of(std::string_view what) {
  constexpr std::string_view kStatus = "Status Message: ";
  if (const auto at = what.rfind(kStatus); at != what.npos) what.remove_prefix(at + kStatus.size());
  std::string out(what.substr(0, kReasonBytesMax));
  // Not within a character.
  if (out.size() < what.size()) {
    while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xC0) == 0x80) out.pop_back();
    if (!out.empty() && (static_cast<unsigned char>(out.back()) & 0x80)) out.pop_back();
    out += "...";
  }
  std::ranges::replace_if(out, [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return out;
}

Error engine_error(std::string_view what) {
  if (what.find("bad_alloc") != what.npos || what.find("Failed to allocate") != what.npos ||
      what.find("allocate memory") != what.npos) {
    return {Code::resource_exhausted, "model.engine_memory",
            "these inputs take the model more memory than there is: " + reason_of(what)};
  }
  return {Code::invalid_argument, "model.engine_refused", "the model can't compute these inputs: " + reason_of(what)};
}

// An answer's memory: what the engine made, and what was made of it.
struct KeptMemory {
  std::vector<Ort::Value> values;
  std::deque<std::string> bytes;
  std::deque<std::unique_ptr<std::byte[]>> inputs;  // an output may be an input that was passed on
};

void take_texts(const Ort::Value& value, std::size_t count, KeptMemory& kept, std::vector<std::string_view>& out) {
  if (count == 0) return;
  auto& text = kept.bytes.emplace_back(value.GetStringTensorDataLength(), '\0');
  std::vector<std::size_t> offsets(count);
  value.GetStringTensorContent(text.data(), text.size(), offsets.data(), count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto end = i + 1 < count ? offsets[i + 1] : text.size();
    out.push_back(std::string_view(text).substr(offsets[i], end - offsets[i]));
  }
}

// A tensor's elements where they are.
void take_tensor(const Ort::Value& value, Datatype type, KeptMemory& kept, TensorAnswer::Output& out) {
  const auto info = value.GetTensorTypeAndShapeInfo();
  out.shape = info.GetShape();
  const auto count = info.GetElementCount();
  if (type == Datatype::bytes) return take_texts(value, count, kept, out.texts);
  if (count > 0) out.bytes = {static_cast<const char*>(value.GetTensorRawData()), count * element_bytes(type)};
}

std::vector<std::string> keys_of(const Ort::Value& keys) {
  const auto info = keys.GetTensorTypeAndShapeInfo();
  const auto count = info.GetElementCount();
  std::vector<std::string> out;
  if (info.GetElementType() == ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING) {
    KeptMemory kept;
    std::vector<std::string_view> texts;
    take_texts(keys, count, kept, texts);
    out.assign(texts.begin(), texts.end());
  } else {
    const auto* data = keys.GetTensorData<std::int64_t>();
    for (std::size_t i = 0; i < count; ++i) out.push_back(std::to_string(data[i]));
  }
  return out;
}

enum class From { tensor, map, maps, tensors, shapes };
struct OutputPlan {
  std::size_t session_output = 0;
  From from = From::tensor;
};

class OnnxTensorsRuntime final : public OnnxTensors {
 public:
  OnnxTensorsRuntime(const OnnxLibrary& library, Ort::Session session, std::uint64_t file_bytes)
      : library_(library), session_(std::move(session)), file_bytes_(file_bytes) {
    // What goes wrong in a run is the caller's answer, not a line on our screen.
    options_.SetRunLogSeverityLevel(ORT_LOGGING_LEVEL_FATAL);
  }

  OutputKind kind() const override { return OutputKind::value; }
  const std::string& version() const override { return library_.version(); }
  const std::string& build() const override { return library_.build(); }
  Result<void> predict(std::span<const float>, std::size_t, std::vector<float>&) const override {
    return fail(Code::failed_precondition, "model.takes_tensors", "this model takes tensors by its own names, no rows");
  }
  Result<void> contributions(std::span<const float>, std::size_t, std::vector<float>&) const override {
    return fail(Code::unimplemented, "model.no_contributions",
                "an ONNX model does not say what each input contributed");
  }
  bool explains() const override { return false; }
  // Its weights, and what the library made of its graph; measured: 1.1 to 2 times the file.
  std::uint64_t memory_bytes() const override { return file_bytes_ * 2 + (64u << 10); }
  const TensorModel* tensors() const override { return this; }
  const TensorSignature& signature() const override { return signature_; }

  // Throws Ort::Exception.
  Result<void> read_signature() {
    Ort::AllocatorWithDefaultOptions allocator;
    for (std::size_t i = 0; i < session_.GetInputCount(); ++i) {
      const std::string name = session_.GetInputNameAllocated(i, allocator).get();
      const auto type = session_.GetInputTypeInfo(i);
      if (type.GetONNXType() != ONNX_TYPE_TENSOR) return odd("input", name, "is no tensor");
      TRY(auto info, tensor_info("input", name, type.GetTensorTypeAndShapeInfo()));
      signature_.inputs.push_back(std::move(info));
    }
    for (std::size_t i = 0; i < session_.GetOutputCount(); ++i) TRY_VOID(add_output(i, allocator));
    if (signature_.inputs.empty() || signature_.outputs.empty())
      return fail(Code::unimplemented, "model.odd_tensors", "it has no inputs, or no outputs");
    for (const auto& input : signature_.inputs) input_names_.push_back(input.name.c_str());
    for (const auto& name : session_names_) output_names_.push_back(name.c_str());
    return {};
  }

  Result<void> learn(std::span<const TensorView> inputs) override {
    KeptMemory kept;
    std::vector<std::size_t> all(output_names_.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    TRY_VOID(run_session(inputs, all, kept));
    try {
      Ort::AllocatorWithDefaultOptions allocator;
      for (std::size_t i = 0; i < plans_.size(); ++i) {
        auto& info = signature_.outputs[i];
        const auto& value = kept.values[plans_[i].session_output];
        const bool maps = plans_[i].from == From::maps;
        if ((!maps && plans_[i].from != From::map) || !info.labels.empty()) continue;
        if (maps && value.GetCount() == 0) continue;
        info.labels =
            maps ? keys_of(value.GetValue(0, allocator).GetValue(0, allocator)) : keys_of(value.GetValue(0, allocator));
        if (info.labels.empty())
          return fail(Code::failed_precondition, "model.odd_output", "its output '" + info.name + "' is an empty map");
        info.shape.back() = static_cast<std::int64_t>(info.labels.size());
      }
    } catch (const std::exception& error) {
      return fail(engine_error(error.what()));
    }
    return {};
  }

  Result<TensorAnswer> run(std::span<const TensorView> inputs, std::span<const std::size_t> outputs) const override {
    auto kept = std::make_shared<KeptMemory>();
    std::vector<std::size_t> wanted;  // outputs of the session, each once
    for (const auto output : outputs) {
      const auto at = plans_[output].session_output;
      if (std::ranges::find(wanted, at) == wanted.end()) wanted.push_back(at);
    }
    TRY_VOID(run_session(inputs, wanted, *kept));
    TensorAnswer answer;
    try {
      for (const auto output : outputs) {
        const auto at = std::ranges::find(wanted, plans_[output].session_output) - wanted.begin();
        TRY_VOID(take_output(output, kept->values[static_cast<std::size_t>(at)], *kept, answer.outputs.emplace_back()));
      }
    } catch (const std::exception& error) {
      return fail(engine_error(error.what()));
    }
    answer.memory = std::move(kept);
    return answer;
  }

 private:
  static std::unexpected<Error> odd(std::string_view what, std::string_view name, std::string_view why) {
    return fail(Code::unimplemented, "model.odd_tensors", std::format("its {} '{}' {}", what, name, why));
  }

  template <class Info>  // owned or not
  static Result<TensorInfo> tensor_info(std::string_view what, const std::string& name, const Info& info) {
    const auto datatype = datatype_of_onnx(info.GetElementType());
    if (!datatype) {
      return odd(what, name,
                 std::format("has elements of a type (number {} of ONNX) that the protocol does not have",
                             static_cast<int>(info.GetElementType())));
    }
    TensorInfo out{.name = name, .datatype = *datatype, .shape = info.GetShape()};
    for (auto& size : out.shape) size = std::max<std::int64_t>(size, -1);
    for (const char* axis : info.GetSymbolicDimensions()) out.axes.emplace_back(axis ? axis : "");
    return out;
  }

  Result<void> add_output(std::size_t at, OrtAllocator* allocator) {
    session_names_.emplace_back(session_.GetOutputNameAllocated(at, allocator).get());
    const auto& name = session_names_.back();
    const auto type = session_.GetOutputTypeInfo(at);
    const auto add = [&](TensorInfo info, From from) {
      signature_.outputs.push_back(std::move(info));
      plans_.push_back({at, from});
    };
    switch (type.GetONNXType()) {
      case ONNX_TYPE_TENSOR: {
        TRY(auto info, tensor_info("output", name, type.GetTensorTypeAndShapeInfo()));
        add(std::move(info), From::tensor);
        return {};
      }
      case ONNX_TYPE_MAP: {
        TRY(auto info, map_info(name, type.GetMapTypeInfo()));
        info.shape = {-1};
        add(std::move(info), From::map);
        return {};
      }
      case ONNX_TYPE_SEQUENCE: {
        const auto element = type.GetSequenceTypeInfo().GetSequenceElementType();
        if (element.GetONNXType() == ONNX_TYPE_MAP) {
          TRY(auto info, map_info(name, element.GetMapTypeInfo()));
          info.shape = {-1, -1};
          add(std::move(info), From::maps);
          return {};
        }
        if (element.GetONNXType() != ONNX_TYPE_TENSOR) break;
        TRY(auto info, tensor_info("output", name, element.GetTensorTypeAndShapeInfo()));
        info.shape = {-1};
        info.axes.clear();
        add(std::move(info), From::tensors);
        add({.name = name + ".shapes", .datatype = Datatype::int64, .shape = {-1, -1}}, From::shapes);
        return {};
      }
      default:
        break;
    }
    return odd("output", name, "is neither a tensor, nor a map, nor a sequence of such");
  }

  template <class Info>
  static Result<TensorInfo> map_info(const std::string& name, const Info& map) {
    const auto values = map.GetMapValueType();
    if (values.GetONNXType() != ONNX_TYPE_TENSOR) return odd("output", name, "is a map of something else than values");
    const auto key = map.GetMapKeyType();
    if (key != ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING && key != ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64)
      return odd("output", name, "is a map whose keys are neither texts nor INT64");
    TRY(auto info, tensor_info("output", name, values.GetTensorTypeAndShapeInfo()));
    info.axes.clear();
    return info;
  }

  // Into kept.values, by `outputs`.
  Result<void> run_session(std::span<const TensorView> inputs, std::span<const std::size_t> outputs,
                           KeptMemory& kept) const {
    try {
      std::vector<Ort::Value> values;
      values.reserve(inputs.size());
      for (std::size_t i = 0; i < inputs.size(); ++i) values.push_back(value_of(inputs[i], kept));
      std::vector<const char*> names;
      for (const auto output : outputs) names.push_back(output_names_[output]);
      // Run is thread-safe, though not const.
      kept.values = const_cast<Ort::Session&>(session_).Run(options_, input_names_.data(), values.data(), values.size(),
                                                            names.data(), names.size());
    } catch (const std::exception& error) {
      return fail(engine_error(error.what()));
    }
    return {};
  }

  // A view of the caller's memory where its elements lie as the engine wants them, else a copy.
  Ort::Value value_of(const TensorView& input, KeptMemory& kept) const {
    const auto type = onnx_of_datatype(input.datatype);
    if (input.datatype == Datatype::bytes) {
      Ort::AllocatorWithDefaultOptions allocator;
      auto value = Ort::Value::CreateTensor(allocator, input.shape.data(), input.shape.size(), type);
      for (std::size_t i = 0; i < input.texts.size(); ++i) {
        char* to = value.GetResizedStringTensorElementBuffer(i, input.texts[i].size());
        std::copy_n(input.texts[i].data(), input.texts[i].size(), to);
      }
      return value;
    }
    // ONNX Runtime takes inputs as mutable and does not change them.
    char* data = const_cast<char*>(input.bytes.data());
    if (data == nullptr || reinterpret_cast<std::uintptr_t>(data) % element_bytes(input.datatype) != 0) {
      auto& copy =
          kept.inputs.emplace_back(std::make_unique<std::byte[]>(std::max<std::size_t>(input.bytes.size(), 1)));
      if (data) std::memcpy(copy.get(), data, input.bytes.size());
      data = reinterpret_cast<char*>(copy.get());
    }
    return Ort::Value::CreateTensor(memory_, data, input.bytes.size(), input.shape.data(), input.shape.size(), type);
  }

  Result<void> take_output(std::size_t output, const Ort::Value& value, KeptMemory& kept,
                           TensorAnswer::Output& out) const {
    const auto& info = signature_.outputs[output];
    Ort::AllocatorWithDefaultOptions allocator;
    switch (plans_[output].from) {
      case From::tensor:
        take_tensor(value, info.datatype, kept, out);
        return {};
      case From::map:
        out.shape = {static_cast<std::int64_t>(info.labels.size())};
        return take_maps(info, std::span(&value, 1), kept, out);
      case From::maps: {
        std::vector<Ort::Value> maps;
        for (std::size_t i = 0; i < value.GetCount(); ++i)
          maps.push_back(value.GetValue(static_cast<int>(i), allocator));
        out.shape = {static_cast<std::int64_t>(maps.size()), static_cast<std::int64_t>(info.labels.size())};
        return take_maps(info, maps, kept, out);
      }
      case From::tensors:
        take_tensors(info.datatype, value, kept, out);
        return {};
      case From::shapes:
        take_shapes(value, kept, out);
        return {};
    }
    return {};
  }

  // The values of maps that all have the keys that the labels say, one after the other.
  Result<void> take_maps(const TensorInfo& info, std::span<const Ort::Value> maps, KeptMemory& kept,
                         TensorAnswer::Output& out) const {
    Ort::AllocatorWithDefaultOptions allocator;
    std::string* bytes = info.datatype == Datatype::bytes ? nullptr : &kept.bytes.emplace_back();
    for (const auto& map : maps) {
      if (keys_of(map.GetValue(0, allocator)) != info.labels) {
        return fail(Code::internal, "model.odd_output",
                    "its output '" + info.name + "' has other keys than when it was loaded");
      }
      TensorAnswer::Output one;
      const auto values = map.GetValue(1, allocator);
      take_tensor(values, info.datatype, kept, one);
      if (bytes) bytes->append(one.bytes);
      out.texts.insert(out.texts.end(), one.texts.begin(), one.texts.end());
    }
    if (bytes) out.bytes = *bytes;
    return {};
  }

  void take_tensors(Datatype type, const Ort::Value& sequence, KeptMemory& kept, TensorAnswer::Output& out) const {
    Ort::AllocatorWithDefaultOptions allocator;
    std::string* bytes = type == Datatype::bytes ? nullptr : &kept.bytes.emplace_back();
    const auto count = sequence.GetCount();
    std::int64_t elements = 0;
    bool same = count > 0;
    std::vector<std::int64_t> shape;
    for (std::size_t i = 0; i < count; ++i) {
      const auto value = sequence.GetValue(static_cast<int>(i), allocator);
      TensorAnswer::Output one;
      take_tensor(value, type, kept, one);
      if (i == 0) shape = one.shape;
      same = same && one.shape == shape;
      elements += static_cast<std::int64_t>(elements_of(one.shape));
      if (bytes) bytes->append(one.bytes);
      out.texts.insert(out.texts.end(), one.texts.begin(), one.texts.end());
    }
    if (bytes) out.bytes = *bytes;
    out.shape = {same ? static_cast<std::int64_t>(count) : elements};
    if (same) out.shape.insert(out.shape.end(), shape.begin(), shape.end());
  }

  void take_shapes(const Ort::Value& sequence, KeptMemory& kept, TensorAnswer::Output& out) const {
    Ort::AllocatorWithDefaultOptions allocator;
    std::vector<std::vector<std::int64_t>> shapes;
    std::size_t axes = 0;
    for (std::size_t i = 0; i < sequence.GetCount(); ++i) {
      shapes.push_back(sequence.GetValue(static_cast<int>(i), allocator).GetTensorTypeAndShapeInfo().GetShape());
      axes = std::max(axes, shapes.back().size());
    }
    auto& bytes = kept.bytes.emplace_back();
    for (auto& shape : shapes) {
      shape.resize(axes, -1);
      bytes.append(reinterpret_cast<const char*>(shape.data()), shape.size() * sizeof shape[0]);
    }
    out.shape = {static_cast<std::int64_t>(shapes.size()), static_cast<std::int64_t>(axes)};
    out.bytes = bytes;
  }

  const OnnxLibrary& library_;
  Ort::Session session_;
  std::uint64_t file_bytes_;
  Ort::RunOptions options_;
  Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  TensorSignature signature_;
  std::vector<OutputPlan> plans_;          // by output of the signature
  std::deque<std::string> session_names_;  // of the session's outputs; pointed at
  std::vector<const char*> input_names_, output_names_;
};

}  // namespace

Result<void> check_onnx_library(const std::string& path) {
  TRY_VOID(OnnxLibrary::open(path));
  return {};
}

Result<std::unique_ptr<OnnxTensors>> open_onnx_tensors(std::string_view file, const RuntimeOptions& options) {
  TRY(const OnnxLibrary* library, OnnxLibrary::open(options.libraries.onnxruntime));
  try {
    Ort::SessionOptions settings;
    settings.SetIntraOpNumThreads(options.threads);
    settings.SetInterOpNumThreads(1);
    settings.SetLogSeverityLevel(ORT_LOGGING_LEVEL_FATAL);
    auto runtime = std::make_unique<OnnxTensorsRuntime>(*library, library->open_session(file, settings), file.size());
    TRY_VOID(runtime->read_signature());
    return runtime;
  } catch (const std::exception& error) {
    return fail(Code::data_loss, "model.bad_engine_file",
                "ONNX Runtime " + library->version() + " can't use it: " + reason_of(error.what()));
  }
}

}  // namespace millrace::model
