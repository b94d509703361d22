#include "serve/fallback.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <format>

namespace millrace::serve {

Result<model::Answer> constant_answer(const model::Manifest& manifest, std::string_view value) {
  const auto bad = [&](std::string expected) {
    return fail(Code::invalid_argument, "serve.bad_fallback",
                std::format("[serve] fallback: '{}' is no answer of '{}'; write {}", value, manifest.name, expected));
  };
  if (manifest.takes_tensors() || manifest.bare_outputs > 0) return bad("\"previous\": this model takes tensors");
  model::Answer out;
  if (manifest.task == model::TaskType::regression) {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), out.score);
    if (error != std::errc() || end != value.data() + value.size() || !std::isfinite(out.score))
      return bad("a number, as in { value = 0.0 }");
    out.margin = static_cast<float>(out.score);
    return out;
  }
  const auto at = std::ranges::find(manifest.classes, value);
  if (at == manifest.classes.end()) {
    std::string names;
    for (const auto& one : manifest.classes) names += std::format("{}\"{}\"", names.empty() ? "" : ", ", one);
    return bad("one of its classes: " + names);
  }
  out.decision = static_cast<int>(at - manifest.classes.begin());
  out.label = *at;
  if (manifest.task == model::TaskType::binary) {
    out.score = out.decision;
    return out;
  }
  out.score = 1;
  out.probabilities.assign(manifest.classes.size(), 0.0);
  out.probabilities[static_cast<std::size_t>(out.decision)] = 1;
  return out;
}

std::optional<std::vector<std::size_t>> stands_in(const model::Manifest& other, const model::Manifest& asked) {
  if (other.task != asked.task || other.classes != asked.classes || other.bare_outputs != asked.bare_outputs ||
      other.takes_tensors() || asked.takes_tensors())
    return std::nullopt;
  std::vector<std::size_t> out;
  for (const auto& input : other.inputs) {
    const auto at = std::ranges::find_if(
        asked.inputs, [&](const auto& one) { return one.name == input.name && one.type == input.type; });
    if (at == asked.inputs.end()) return std::nullopt;
    out.push_back(static_cast<std::size_t>(at - asked.inputs.begin()));
  }
  return out;
}

}  // namespace millrace::serve
