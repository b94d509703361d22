#include "serve/batch_tensors.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <format>
#include <numeric>

namespace millrace::serve {

namespace {

using model::Datatype;

bool may_be_batched(const model::TensorInfo& info) {
  return !info.shape.empty() && info.shape.front() < 0 && info.datatype != Datatype::bytes &&
         info.datatype != Datatype::fp16 && info.datatype != Datatype::bf16;
}

template <class T>
bool about_equal_all(std::string_view a, std::string_view b) {
  for (std::size_t at = 0; at < a.size(); at += sizeof(T)) {
    T x, y;
    std::memcpy(&x, a.data() + at, sizeof x);
    std::memcpy(&y, b.data() + at, sizeof y);
    if (!about_equal(static_cast<double>(x), static_cast<double>(y))) return false;
  }
  return true;
}

}  // namespace

std::optional<std::string> batch_kind(const model::TensorSignature& signature,
                                      std::span<const model::TensorView> inputs, std::span<const std::size_t> outputs) {
  if (inputs.empty() || inputs.size() != signature.inputs.size()) return std::nullopt;
  std::string kind;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const auto& shape = inputs[i].shape;
    if (!may_be_batched(signature.inputs[i]) || shape.empty() || shape[0] < 1 || shape[0] != inputs[0].shape[0])
      return std::nullopt;
    kind += std::format("{} ", model::shape_text(shape.subspan(1)));
  }
  for (const auto at : outputs) {
    if (!may_be_batched(signature.outputs[at])) return std::nullopt;
    kind += std::format(",{}", at);
  }
  return kind;
}

BatchedTensors put_together(std::span<const std::span<const model::TensorView>> requests) {
  BatchedTensors out;
  const auto count = requests.front().size();
  out.bytes.resize(count);
  out.shapes.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    auto& shape = out.shapes[i];
    shape.assign(requests.front()[i].shape.begin(), requests.front()[i].shape.end());
    shape[0] = 0;
    std::size_t bytes = 0;
    for (const auto& request : requests) bytes += request[i].bytes.size();
    out.bytes[i].reserve(bytes);
    for (const auto& request : requests) {
      out.bytes[i] += request[i].bytes;
      shape[0] += request[i].shape[0];
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    auto view = requests.front()[i];
    view.shape = out.shapes[i];
    view.bytes = out.bytes[i];
    out.views.push_back(view);
  }
  return out;
}

std::optional<std::vector<model::TensorAnswer>> take_apart(const model::TensorAnswer& answer,
                                                           std::span<const std::size_t> rows) {
  const auto all = std::accumulate(rows.begin(), rows.end(), std::size_t{0});
  std::vector<model::TensorAnswer> out(rows.size());
  for (auto& one : out) one.memory = answer.memory;
  for (const auto& output : answer.outputs) {
    if (output.shape.empty() || static_cast<std::size_t>(output.shape.front()) != all || !output.texts.empty() ||
        output.bytes.size() % all != 0)
      return std::nullopt;
    const auto each = output.bytes.size() / all;
    std::size_t first = 0;
    for (std::size_t i = 0; i < rows.size(); first += rows[i], ++i) {
      auto& part = out[i].outputs.emplace_back();
      part.shape = output.shape;
      part.shape.front() = static_cast<std::int64_t>(rows[i]);
      part.bytes = output.bytes.substr(first * each, rows[i] * each);
    }
  }
  return out;
}

bool about_equal(double together, double alone) {
  constexpr double kTolerance = 1e-4;
  if (std::isnan(alone) || std::isnan(together)) return std::isnan(alone) && std::isnan(together);
  return together == alone || std::abs(together - alone) <= kTolerance * std::max(1.0, std::abs(alone));
}

bool about_equal(const model::TensorSignature& signature, std::span<const std::size_t> outputs,
                 const model::TensorAnswer& together, const model::TensorAnswer& alone) {
  if (together.outputs.size() != alone.outputs.size()) return false;
  for (std::size_t i = 0; i < alone.outputs.size(); ++i) {
    const auto &a = together.outputs[i], &b = alone.outputs[i];
    if (a.shape != b.shape || a.bytes.size() != b.bytes.size()) return false;
    const auto type = signature.outputs[outputs[i]].datatype;
    const bool same = type == Datatype::fp32   ? about_equal_all<float>(a.bytes, b.bytes)
                      : type == Datatype::fp64 ? about_equal_all<double>(a.bytes, b.bytes)
                                               : a.bytes == b.bytes;
    if (!same) return false;
  }
  return true;
}

}  // namespace millrace::serve
