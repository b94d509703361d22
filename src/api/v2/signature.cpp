#include "api/v2/signature.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <format>

#include "base/nearest.hpp"

namespace millrace::api::v2 {

namespace {

Datatype datatype_for(table::Type type) {
  switch (type) {
    case table::Type::boolean:
      return Datatype::boolean;
    case table::Type::int64:
      return Datatype::int64;
    case table::Type::float64:
      return Datatype::fp64;
    default:
      return Datatype::bytes;
  }
}

bool is_numeric(table::Type type) { return datatype_for(type) != Datatype::bytes; }

// Whether a tensor of this datatype may hold a column of that type at all; its values are looked at one by one.
bool may_hold(Datatype datatype, table::Type type) {
  if (datatype == Datatype::bytes) return !is_numeric(type);
  if (datatype == Datatype::boolean) return type == table::Type::boolean;
  return is_numeric(type);
}

// nullopt: not of that type.
std::optional<table::Value> value_for(table::Value value, table::Type type) {
  if (table::is_null(value)) return value;
  switch (type) {
    case table::Type::boolean: {
      if (const auto* whole = std::get_if<std::int64_t>(&value))
        return *whole == 0 || *whole == 1 ? std::optional<table::Value>(*whole == 1) : std::nullopt;
      if (const auto* x = std::get_if<double>(&value))
        return *x == 0 || *x == 1 ? std::optional<table::Value>(*x == 1) : std::nullopt;
      return value;
    }
    case table::Type::int64: {
      const auto* x = std::get_if<double>(&value);
      if (!x) return value;
      if (*x != std::trunc(*x) || !(std::fabs(*x) < 0x1p63)) return std::nullopt;
      return static_cast<std::int64_t>(*x);
    }
    case table::Type::float64: {
      if (const auto* whole = std::get_if<std::int64_t>(&value)) return static_cast<double>(*whole);
      return value;
    }
    case table::Type::text:
      return value;
    case table::Type::date:
    case table::Type::timestamp: {
      auto parsed = table::from_text(std::get<std::string>(value), type);
      if (!parsed || table::is_null(*parsed)) return std::nullopt;
      return *std::move(parsed);
    }
  }
  return std::nullopt;
}

std::unexpected<Error> misfit(std::string_view reason, std::string message) {
  return fail(Code::invalid_argument, reason, std::move(message));
}

// Fills rows column by column.
class RowsBuilder {
 public:
  explicit RowsBuilder(const model::Manifest& manifest) : manifest_(manifest), seen_(manifest.inputs.size()) {}

  Result<model::ParsedRows> build(std::vector<Tensor> inputs) {
    const auto rows = static_cast<std::size_t>(inputs.front().shape[0]);
    out_.rows.assign(rows, table::Row(manifest_.inputs.size()));
    if (!manifest_.key.empty()) out_.keys.resize(rows);
    for (auto& tensor : inputs) {
      if (tensor.elements.empty()) TRY_VOID(read_binary(tensor.bytes, {}, tensor));  // one that was left packed
      if (static_cast<std::size_t>(tensor.shape[0]) != rows) {
        return misfit("v2.bad_shape", std::format("input '{}' has {} rows, but '{}' has {}", tensor.name,
                                                  tensor.shape[0], inputs.front().name, rows));
      }
      TRY_VOID(take(std::move(tensor)));
    }
    if (std::ranges::find(seen_, true) == seen_.end()) {
      return misfit("v2.missing_input", "none of the model's own inputs is there; its metadata lists them");
    }
    for (std::size_t i = 0; i < seen_.size(); ++i) {
      if (manifest_.inputs[i].required && !seen_[i])
        return misfit("v2.missing_input", std::format("the input '{}' is required", manifest_.inputs[i].name));
    }
    return std::move(out_);
  }

 private:
  Result<void> take(Tensor tensor) {
    const auto at = std::ranges::find(manifest_.inputs, tensor.name, &model::Input::name);
    if (at == manifest_.inputs.end()) {
      if (tensor.name == kMatrixInput && takes_matrix(manifest_)) return take_matrix(std::move(tensor));
      const bool key = tensor.name == manifest_.key;
      if (!key && std::ranges::find(manifest_.ignored, tensor.name) == manifest_.ignored.end()) return unknown(tensor);
      TRY_VOID(check_column(tensor));
      for (std::size_t i = 0; key && i < tensor.elements.size(); ++i) out_.keys[i] = table::to_text(tensor.elements[i]);
      return {};
    }
    TRY_VOID(check_column(tensor));
    return take_column(static_cast<std::size_t>(at - manifest_.inputs.begin()), tensor, 0, 1);
  }

  Result<void> take_matrix(Tensor tensor) {
    const auto width = manifest_.inputs.size();
    if (tensor.shape.size() != 2 || static_cast<std::size_t>(tensor.shape[1]) != width) {
      return misfit(
          "v2.bad_shape",
          std::format("input '{}' is of shape [rows, {}], a column for each input of the metadata in that order",
                      tensor.name, width));
    }
    for (std::size_t i = 0; i < width; ++i) TRY_VOID(take_column(i, tensor, i, width));
    return {};
  }

  std::unexpected<Error> unknown(const Tensor& tensor) {
    std::vector<std::string> names;
    for (const auto& input : manifest_.inputs) names.push_back(input.name);
    const auto near = nearest(std::string_view(tensor.name).substr(0, 200), names);
    return misfit("v2.unknown_input",
                  std::format("the model has no input '{}'{}; its metadata lists them", table::excerpt(tensor.name, 60),
                              near.empty() ? "" : std::format(" (did you mean '{}'?)", near)));
  }

  Result<void> check_column(const Tensor& tensor) {
    if (tensor.shape.size() == 1 || tensor.shape[1] == 1) return {};
    return misfit("v2.bad_shape",
                  std::format("input '{}' is one column: its shape is [rows] or [rows, 1]", tensor.name));
  }

  Result<void> take_column(std::size_t column, Tensor& tensor, std::size_t from, std::size_t stride) {
    const auto& input = manifest_.inputs[column];
    if (!may_hold(tensor.datatype, input.type)) {
      return misfit(
          "v2.wrong_datatype",
          std::format("input '{}': {} can't be '{}', which is {}: send {}", tensor.name, datatype_name(tensor.datatype),
                      input.name, model::expected_text(input.type), datatype_name(datatype_for(input.type))));
    }
    if (seen_[column]) return misfit("v2.bad_shape", std::format("the input '{}' is there twice", input.name));
    seen_[column] = true;
    const bool key = input.name == manifest_.key;
    for (std::size_t row = 0; row < out_.rows.size(); ++row) {
      auto& element = tensor.elements[row * stride + from];
      if (key) out_.keys[row] = table::to_text(element);
      auto value = value_for(std::move(element), input.type);
      if (!value) {
        return misfit("v2.bad_data", std::format("input '{}', row {}: expected {} for '{}'", tensor.name, row,
                                                 model::expected_text(input.type), input.name));
      }
      out_.rows[row][column] = *std::move(value);
    }
    return {};
  }

  const model::Manifest& manifest_;
  std::vector<bool> seen_;
  model::ParsedRows out_;
};

}  // namespace

std::vector<TensorInfo> inputs_of(const model::Manifest& manifest) {
  if (manifest.takes_tensors()) return manifest.tensors.inputs;
  if (manifest.bare_outputs > 0)
    return {{std::string(kMatrixInput), Datatype::fp32, {-1, static_cast<std::int64_t>(manifest.inputs.size())}}};
  std::vector<TensorInfo> out;
  for (const auto& input : manifest.inputs)
    out.push_back({input.name, datatype_for(input.type), {-1}, !input.required});
  return out;
}

std::vector<TensorInfo> outputs_of(const model::Manifest& manifest) {
  if (manifest.takes_tensors()) return manifest.tensors.outputs;
  if (manifest.bare_outputs > 0) return {{std::string(kBareOutput), Datatype::fp32, {-1, manifest.bare_outputs}}};
  if (manifest.task == model::TaskType::regression) return {{"prediction", Datatype::fp64, {-1}}};
  return {{"prediction", Datatype::bytes, {-1}},
          {"probability", Datatype::fp64, {-1}},
          {"probabilities", Datatype::fp64, {-1, static_cast<std::int64_t>(manifest.classes.size())}}};
}

bool takes_matrix(const model::Manifest& manifest) {
  return !manifest.takes_tensors() && !manifest.inputs.empty() &&
         std::ranges::all_of(manifest.inputs, [](const auto& input) { return is_numeric(input.type); }) &&
         std::ranges::find(manifest.inputs, kMatrixInput, &model::Input::name) == manifest.inputs.end();
}

InferLimits limits_of(const model::Manifest& manifest) {
  constexpr std::size_t kAxesMax = 16;
  if (manifest.takes_tensors())
    return {.inputs_max = manifest.tensors.inputs.size() + 1, .raw = true, .axes_max = kAxesMax};
  return {.columns_max = takes_matrix(manifest) ? static_cast<std::int64_t>(manifest.inputs.size()) : 1,
          .inputs_max = manifest.inputs.size() + manifest.ignored.size() + 2,
          .matrix_columns = manifest.bare_outputs > 0 ? static_cast<std::int64_t>(manifest.inputs.size()) : 0};
}

Result<model::ParsedRows> rows_of(const model::Manifest& manifest, std::vector<Tensor> inputs) {
  return RowsBuilder(manifest).build(std::move(inputs));
}

std::optional<Matrix> matrix_of(const model::Manifest& manifest, const InferRequest& request) {
  if (manifest.bare_outputs == 0 || request.inputs.size() != 1 || request.inputs.front().bytes.empty() ||
      std::ranges::find(request.outputs, kIdOutput, &WantedOutput::name) != request.outputs.end())
    return std::nullopt;
  const auto& tensor = request.inputs.front();
  Matrix out{.rows = static_cast<std::size_t>(tensor.shape[0])};
  out.features.resize(tensor.bytes.size() / sizeof(float));
  std::memcpy(out.features.data(), tensor.bytes.data(), tensor.bytes.size());
  // As rows: an infinite number is told by its place.
  return std::ranges::any_of(out.features, [](float x) { return std::isinf(x); }) ? std::nullopt : std::optional(out);
}

Result<TensorsAsked> tensors_asked(const model::Manifest& manifest, const InferRequest& request) {
  std::vector<model::TensorView> views;
  for (const auto& input : request.inputs) {
    views.push_back({.name = input.name,
                     .datatype = input.datatype,
                     .shape = input.shape,
                     .bytes = input.bytes,
                     .texts = input.texts});
  }
  TensorsAsked out;
  TRY(out.inputs, model::check_tensors(manifest.tensors, views));
  const auto& outputs = manifest.tensors.outputs;
  if (request.outputs.empty()) out.outputs = manifest.tensors.plain_outputs();
  for (const auto& wanted : request.outputs) {
    const auto at = std::ranges::find(outputs, wanted.name, &TensorInfo::name);
    out.outputs.push_back(static_cast<std::size_t>(at - outputs.begin()));
  }
  return out;
}

Result<void> check_outputs(const model::Manifest& manifest, std::span<const WantedOutput> wanted) {
  const auto known = outputs_of(manifest);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto& name = wanted[i].name;
    if ((name != kIdOutput || manifest.takes_tensors()) &&
        std::ranges::find(known, name, &TensorInfo::name) == known.end()) {
      return misfit("v2.unknown_output",
                    std::format("the model has no output '{}'; its metadata lists them", table::excerpt(name, 60)));
    }
    if (std::ranges::find(wanted.first(i), name, &WantedOutput::name) != wanted.first(i).end())
      return misfit("v2.unknown_output", std::format("the output '{}' is asked for twice", name));
  }
  return {};
}

}  // namespace millrace::api::v2
