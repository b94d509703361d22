#include "api/mlflow/tensors.hpp"

#include <simdjson.h>

#include <algorithm>
#include <format>

#include "api/json_reader_internal.hpp"
#include "base/nearest.hpp"
#include "base/text.hpp"
#include "serve/tensor_answer.hpp"

namespace millrace::api::mlflow {

namespace {

std::unexpected<Error> bad_tensors(std::string message) {
  return fail(Code::invalid_argument, "mlflow.bad_form", std::move(message));
}

// As the first items are nested; the elements are held against it when they are read.
Result<void> add_axes(std::string_view text, std::vector<std::int64_t>& shape) {
  constexpr std::size_t kAxesMax = 16;
  JsonReader json(text);
  if (json.peek() != JsonReader::Kind::array) return {};
  if (shape.size() == kAxesMax) return bad_tensors("lists are nested in at most 16 levels");
  std::string_view first;
  std::int64_t count = 0;
  TRY_VOID(json.array([&]() -> Result<void> {
    TRY(const auto item, json.raw());
    if (count++ == 0) first = item;
    return {};
  }));
  shape.push_back(count);
  return count > 0 ? add_axes(first, shape) : Result<void>();
}

Result<const model::TensorInfo*> input_named(const model::TensorSignature& signature, const std::string& name) {
  const auto at = std::ranges::find(signature.inputs, name, &model::TensorInfo::name);
  if (at != signature.inputs.end()) return &*at;
  std::vector<std::string> names;
  for (const auto& input : signature.inputs) names.push_back(input.name);
  const auto near = nearest(std::string_view(name).substr(0, 200), names);
  return fail(Code::invalid_argument, "model.unknown_input",
              std::format("the model has no input '{}'{}", table::excerpt(name, 60),
                          near.empty() ? "" : std::format(" (did you mean '{}'?)", near)));
}

Result<v2::Tensor> tensor_of(const model::TensorInfo& info, std::string_view text) {
  v2::Tensor out{.name = info.name, .datatype = info.datatype};
  TRY_VOID(add_axes(text, out.shape));
  if (out.shape.size() + 1 == info.shape.size() && info.shape.back() == 1) out.shape.push_back(1);
  std::string list;
  if (JsonReader(text).peek() != JsonReader::Kind::array) {
    list = "[" + std::string(text) + "]";  // one value
    text = list;
  }
  v2::MissingRule missing{.null = true};
  // Flat where an axis was added: one list of elements.
  TRY_VOID(v2::pack_json(text, missing, out));
  return out;
}

Result<std::vector<v2::Tensor>> by_name(std::string_view text, const model::TensorSignature& signature) {
  std::vector<v2::Tensor> out;
  JsonReader json(text);
  TRY_VOID(json.object([&](const std::string& name) -> Result<void> {
    TRY(const auto* info, input_named(signature, name));
    TRY(const auto value, json.raw());
    TRY(auto tensor, tensor_of(*info, value));
    out.push_back(std::move(tensor));
    return {};
  }));
  return out;
}

// [{name: value,..},..]
Result<std::vector<v2::Tensor>> stacked(std::string_view text, const model::TensorSignature& signature) {
  std::vector<std::pair<const model::TensorInfo*, std::string>> lists;
  std::vector<std::size_t> counts;
  std::size_t items = 0;
  JsonReader json(text);
  TRY_VOID(json.array([&]() -> Result<void> {
    ++items;
    return json.object([&](const std::string& name) -> Result<void> {
      TRY(const auto* info, input_named(signature, name));
      TRY(const auto value, json.raw());
      auto at = std::ranges::find(lists, info, [](const auto& each) { return each.first; });
      if (at == lists.end()) {
        lists.emplace_back(info, "[");
        counts.push_back(0);
        at = lists.end() - 1;
      }
      if (at->second.size() > 1) at->second += ',';
      at->second += value;
      ++counts[static_cast<std::size_t>(at - lists.begin())];
      return {};
    });
  }));
  std::vector<v2::Tensor> out;
  for (std::size_t i = 0; i < lists.size(); ++i) {
    if (counts[i] != items)
      return bad_tensors(std::format("'{}' is in {} of {} instances", lists[i].first->name, counts[i], items));
    TRY(auto tensor, tensor_of(*lists[i].first, lists[i].second + "]"));
    out.push_back(std::move(tensor));
  }
  return out;
}

Result<std::vector<v2::Tensor>> only_input(std::string_view text, const model::TensorSignature& signature) {
  if (signature.inputs.size() != 1)
    return bad_tensors("the model has several inputs: name them, as in {\"inputs\":{\"a\":[..],\"b\":[..]}}");
  std::vector<v2::Tensor> out;
  TRY(auto tensor, tensor_of(signature.inputs.front(), text));
  out.push_back(std::move(tensor));
  return out;
}

}  // namespace

Result<std::optional<std::vector<v2::Tensor>>> tensors_of(std::string_view body,
                                                          const model::TensorSignature& signature) {
  if (!simdjson::validate_utf8(body.data(), body.size()))
    return fail(Code::invalid_argument, "api.bad_json", "the body is not UTF-8");
  std::optional<std::string_view> inputs, instances;
  JsonReader json(body);
  bool other = false;
  TRY_VOID(json.object([&](const std::string& name) -> Result<void> {
    TRY(const auto value, json.raw());
    if (name == "inputs")
      inputs = value;
    else if (name == "instances")
      instances = value;
    else if (name != "params")
      other = true;
    return {};
  }));
  TRY_VOID(json.end());
  if (other || (!inputs && !instances)) return std::optional<std::vector<v2::Tensor>>();
  if (inputs && instances) return bad_tensors("the body has 'inputs' and 'instances'; it takes one of them");
  if (inputs) {
    TRY(auto tensors, JsonReader(*inputs).peek() == JsonReader::Kind::object ? by_name(*inputs, signature)
                                                                             : only_input(*inputs, signature));
    return std::optional(std::move(tensors));
  }
  JsonReader list(*instances);
  bool objects = false;
  std::size_t count = 0;
  TRY_VOID(list.array([&]() -> Result<void> {
    if (count++ == 0) objects = list.peek() == JsonReader::Kind::object;
    return list.skip();
  }));
  TRY(auto tensors, objects ? stacked(*instances, signature) : only_input(*instances, signature));
  return std::optional(std::move(tensors));
}

Result<std::string> render_tensors(const model::TensorSignature& signature, const serve::AnsweredTensors& answered,
                                   std::string_view name_and_version) {
  std::string out = "{\"predictions\":";
  const bool several = answered.answer.outputs.size() > 1;
  for (std::size_t i = 0; i < answered.answer.outputs.size(); ++i) {
    const auto& info = signature.outputs[i];
    if (several) {
      out += i ? ',' : '{';
      append_json_text(out, info.name);
      out += ':';
    }
    if (!model::append_json_nested(out, info.datatype, answered.answer.outputs[i], 0, 0)) {
      return fail(Code::invalid_argument, "v2.not_text",
                  std::format("the output '{}' has bytes that are no UTF-8 text", info.name));
    }
  }
  if (several) out += '}';
  out += ",\"id\":\"" + answered.id.text() + "\",\"model\":";
  append_json_text(out, name_and_version);
  return out + '}';
}

Result<std::string> render_tensor_rows(const model::TensorSignature& signature,
                                       std::span<const serve::AnsweredTensors> answers, std::size_t rows,
                                       std::string_view name_and_version) {
  std::string out = "{\"predictions\":[";
  for (std::size_t i = 0; i < rows; ++i) {
    if (i) out += ',';
    TRY_VOID(serve::append_tensor_row(out, signature, answers, i, rows));
  }
  out += "],\"ids\":[";
  for (std::size_t i = 0; i < answers.size(); ++i) out += std::format("{}\"{}\"", i ? "," : "", answers[i].id.text());
  out += "],\"model\":";
  append_json_text(out, name_and_version);
  return out + '}';
}

}  // namespace millrace::api::mlflow
