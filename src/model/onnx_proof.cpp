#include "model/onnx_proof_internal.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <deque>
#include <format>
#include <limits>
#include <map>

namespace millrace::model {

namespace {

// Rooms for what views point to.
struct ProofMemory {
  std::deque<std::string> bytes;
  std::deque<std::vector<std::string_view>> texts;
  std::deque<std::vector<std::int64_t>> shapes;
};

constexpr std::size_t kMadeUpElementsMax = std::size_t{1} << 26;

void made_up_elements(Datatype type, std::size_t count, int pattern, std::string& bytes,
                      std::vector<std::string_view>& texts) {
  constexpr std::array<double, 8> kNumbers = {0.5, -0.25, 1, 0, -1, 0.125, 0.75, -0.5};
  constexpr std::array<std::string_view, 4> kTexts = {"a", "b", "", "made up"};
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = i * 5 + i / 7;
    if (type == Datatype::bytes)
      texts.push_back(pattern == 0 ? std::string_view() : kTexts[at % kTexts.size()]);
    else if (is_float(type))
      (void)pack_number(type, pattern == 0 ? 0 : kNumbers[at % kNumbers.size()], bytes);
    else
      (void)pack_whole(type, pattern == 0 ? 0 : static_cast<std::int64_t>(at % 2), bytes);
  }
}

std::unexpected<Error> bad_golden(std::string why) {
  return fail(Code::invalid_argument, "model.bad_golden",
              R"(the golden file is {"inputs":[{"name":..,"datatype":..,"shape":[..],"data":[..]}],"outputs":[..],)"
              R"("tolerance":0}: )" +
                  std::move(why));
}

using simdjson::dom::element;
using simdjson::dom::element_type;

// Elements in any nesting.
class GoldenReader {
 public:
  GoldenReader(Datatype type, std::string& bytes, std::vector<std::string_view>& texts, std::deque<std::string>& room)
      : type_(type), bytes_(bytes), texts_(texts), room_(room) {}

  bool read(const element& value, int depth = 0) {
    constexpr int kDepthMax = 16;
    switch (value.type()) {
      case element_type::ARRAY: {
        if (depth >= kDepthMax) return false;
        for (const auto each : value.get_array().value_unsafe()) {
          if (!read(each, depth + 1)) return false;
        }
        return true;
      }
      case element_type::INT64:
        return pack_whole(type_, value.get_int64().value_unsafe(), bytes_);
      case element_type::UINT64:
        return pack_natural(type_, value.get_uint64().value_unsafe(), bytes_);
      case element_type::DOUBLE:
        return pack_number(type_, value.get_double().value_unsafe(), bytes_);
      case element_type::BOOL:
        return type_ == Datatype::boolean && pack_whole(type_, value.get_bool().value_unsafe() ? 1 : 0, bytes_);
      case element_type::NULL_VALUE:
        return is_float(type_) && pack_number(type_, std::numeric_limits<double>::quiet_NaN(), bytes_);
      case element_type::STRING:
        if (type_ != Datatype::bytes) return false;
        texts_.push_back(room_.emplace_back(value.get_string().value_unsafe()));
        return true;
      default:
        return false;
    }
  }

 private:
  Datatype type_;
  std::string& bytes_;
  std::vector<std::string_view>& texts_;
  std::deque<std::string>& room_;
};

Result<TensorView> golden_tensor(const element& value, ProofMemory& memory) {
  std::string_view name, datatype;
  simdjson::dom::array sizes;
  element data;
  if (value["name"].get(name) || value["datatype"].get(datatype) || value["shape"].get(sizes) ||
      value["data"].get(data))
    return bad_golden("a tensor has a name, a datatype, a shape and data");
  const auto bad = [&](std::string_view why) { return bad_golden(std::format("'{}': {}", name, why)); };
  const auto type = datatype_of(datatype);
  if (!type) return bad("there is no such datatype");
  auto& shape = memory.shapes.emplace_back();
  std::size_t count = 1;
  for (const auto each : sizes) {
    constexpr std::int64_t kSizeMax = 1 << 26;
    std::int64_t size = 0;
    if (each.get(size) || size < 0 || size > kSizeMax || shape.size() >= 16)
      return bad("a shape is a few whole numbers");
    shape.push_back(size);
    count *= static_cast<std::size_t>(size);
    if (count > kMadeUpElementsMax) return bad("it is too large");
  }
  auto& bytes = memory.bytes.emplace_back();
  auto& texts = memory.texts.emplace_back();
  if (!GoldenReader(*type, bytes, texts, memory.bytes).read(data)) return bad("its data is not of its datatype");
  const auto sent = *type == Datatype::bytes ? texts.size() : bytes.size() / element_bytes(*type);
  if (sent != count) return bad(std::format("{} elements, and its shape wants {}", sent, count));
  return TensorView{
      .name = memory.bytes.emplace_back(name), .datatype = *type, .shape = shape, .bytes = bytes, .texts = texts};
}

Result<OwnedTensors> golden_tensors(const element& of, std::string_view member) {
  simdjson::dom::array list;
  if (of[member].get(list)) return bad_golden(std::format("'{}' is a list of tensors", member));
  auto memory = std::make_shared<ProofMemory>();
  OwnedTensors out;
  for (const auto each : list) {
    TRY(const auto view, golden_tensor(each, *memory));
    out.views.push_back(view);
  }
  if (out.views.empty()) return bad_golden(std::format("'{}' is empty", member));
  out.memory = std::move(memory);
  return out;
}

Result<GoldenTensors> golden_case(const element& value, double tolerance) {
  GoldenTensors out{.tolerance = tolerance};
  double own = 0;
  if (!value["tolerance"].get(own)) out.tolerance = own;
  if (!(out.tolerance >= 0)) return bad_golden("tolerance is not negative");
  TRY(out.inputs, golden_tensors(value, "inputs"));
  TRY(out.outputs, golden_tensors(value, "outputs"));
  return out;
}

double number_at(Datatype type, std::string_view bytes, std::size_t i) {
  const auto load = [&]<class T>(T value) {
    std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
    return value;
  };
  switch (type) {
    case Datatype::fp16:
      return from_half(load(std::uint16_t{}));
    case Datatype::bf16:
      return from_bfloat(load(std::uint16_t{}));
    case Datatype::fp32:
      return static_cast<double>(load(float{}));
    default:
      return load(double{});
  }
}

Result<void> compare_golden(const TensorInfo& info, const TensorView& wanted, const TensorAnswer::Output& got,
                            double tolerance) {
  const auto mismatch = [&](std::string what) {
    return fail(Code::failed_precondition, "model.golden_mismatch",
                std::format("its output '{}' {}: it is not served", info.name, what));
  };
  if (wanted.datatype != info.datatype) {
    return mismatch(
        std::format("is {}, and the golden file has {}", datatype_name(info.datatype), datatype_name(wanted.datatype)));
  }
  if (!std::ranges::equal(wanted.shape, got.shape)) {
    return mismatch(
        std::format("is of shape {}, and the golden file has {}", shape_text(got.shape), shape_text(wanted.shape)));
  }
  if (info.datatype == Datatype::bytes) {
    for (std::size_t i = 0; i < got.texts.size(); ++i) {
      if (got.texts[i] != wanted.texts[i]) return mismatch(std::format("has another text at place {}", i));
    }
    return {};
  }
  if (!is_float(info.datatype))
    return got.bytes == wanted.bytes ? Result<void>() : mismatch("has other numbers than the golden file");
  for (std::size_t i = 0; i < elements_of(got.shape); ++i) {
    const double a = number_at(info.datatype, wanted.bytes, i), b = number_at(info.datatype, got.bytes, i);
    if (a == b || (std::isnan(a) && std::isnan(b)) || std::fabs(a - b) <= tolerance) continue;
    return mismatch(std::format("is {} at place {} instead of {}", b, i, a));
  }
  return {};
}

}  // namespace

OwnedTensors made_up_inputs(const TensorSignature& signature, const MadeUp& how) {
  auto memory = std::make_shared<ProofMemory>();
  OwnedTensors out;
  std::map<std::string_view, std::int64_t> named;
  const auto each_axis = [&](auto use) {
    for (const auto& input : signature.inputs) {
      for (std::size_t i = 0; i < input.shape.size(); ++i)
        use(input, i, i < input.axes.size() ? std::string_view(input.axes[i]) : std::string_view());
    }
  };
  each_axis([&](const TensorInfo& input, std::size_t i, std::string_view name) {
    if (i == 0 && input.shape[i] < 0 && !name.empty()) named[name] = how.rows;
  });
  for (const auto& input : signature.inputs) {
    auto& shape = memory->shapes.emplace_back(input.shape);
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] >= 0) continue;
      const auto known = i < input.axes.size() ? named.find(input.axes[i]) : named.end();
      shape[i] = known != named.end() ? known->second : i == 0 ? how.rows : how.size;
    }
    auto& bytes = memory->bytes.emplace_back();
    auto& texts = memory->texts.emplace_back();
    double count = 1;
    for (const auto size : shape) count *= static_cast<double>(size);
    if (count <= static_cast<double>(kMadeUpElementsMax))
      made_up_elements(input.datatype, elements_of(shape), how.pattern, bytes, texts);
    out.views.push_back(
        {.name = input.name, .datatype = input.datatype, .shape = shape, .bytes = bytes, .texts = texts});
  }
  out.memory = std::move(memory);
  return out;
}

Result<std::vector<GoldenTensors>> parse_golden_tensors(std::string_view text) {
  simdjson::dom::parser parser;
  element whole;
  if (const auto error = parser.parse(text.data(), text.size()).get(whole))
    return bad_golden(simdjson::error_message(error));
  if (!whole.is_object()) return bad_golden("it is no object");
  double tolerance = 0;
  if (whole["tolerance"].get(tolerance)) tolerance = 0;
  std::vector<GoldenTensors> out;
  if (simdjson::dom::array cases; !whole["cases"].get(cases)) {
    for (const auto each : cases) {
      TRY(auto one, golden_case(each, tolerance));
      out.push_back(std::move(one));
    }
    if (out.empty()) return bad_golden("'cases' is empty");
    return out;
  }
  TRY(auto one, golden_case(whole, tolerance));
  out.push_back(std::move(one));
  return out;
}

Result<void> prove_by_golden(const TensorModel& model, std::string_view text,
                             const std::function<Result<void>(std::span<const TensorView>)>& before) {
  TRY(const auto cases, parse_golden_tensors(text));
  for (const auto& golden : cases) {
    const auto bad = [](const Error& error) {
      return fail(Code::invalid_argument, "model.bad_golden",
                  "the golden file does not fit the model: " + error.message);
    };
    const auto inputs = check_tensors(model.signature(), golden.inputs.views);
    if (!inputs) return bad(inputs.error());
    if (before) {
      if (const auto ready = before(*inputs); !ready) return bad(ready.error());
    }
    std::vector<std::size_t> all(model.signature().outputs.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    const auto answer = model.run(*inputs, all);
    if (!answer) return bad(answer.error());
    for (const auto& wanted : golden.outputs.views) {
      const auto& outputs = model.signature().outputs;
      const auto at = std::ranges::find(outputs, wanted.name, &TensorInfo::name);
      if (at == outputs.end()) {
        return fail(Code::invalid_argument, "model.bad_golden",
                    std::format("the golden file has an output '{}', which the model has not", wanted.name));
      }
      TRY_VOID(compare_golden(*at, wanted, answer->outputs[static_cast<std::size_t>(at - outputs.begin())],
                              golden.tolerance));
    }
  }
  return {};
}

}  // namespace millrace::model
