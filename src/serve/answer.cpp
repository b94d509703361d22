#include <cmath>

#include "base/text.hpp"
#include "serve/answer_internal.hpp"

namespace millrace::serve {

namespace {

// A bare model's own outputs: a number, or a list of them.
void put_floats(std::string& out, const model::Answer& answer) {
  if (answer.probabilities.empty()) return append_json_float(out, static_cast<float>(answer.score));
  out += '[';
  for (std::size_t i = 0; i < answer.probabilities.size(); ++i) {
    if (i) out += ',';
    append_json_float(out, static_cast<float>(answer.probabilities[i]));
  }
  out += ']';
}

void put_answer(std::string& out, const model::Manifest& manifest, const model::Answer& answer) {
  out += "\"prediction\":";
  if (manifest.bare_outputs > 0) return put_floats(out, answer);
  if (manifest.task == model::TaskType::regression) {
    append_json_number(out, answer.score);
    return;
  }
  append_json_text(out, answer.label);
  auto probability = [&](std::size_t i) {
    if (manifest.task == model::TaskType::multiclass) return answer.probabilities[i];
    return i == 1 ? answer.score : 1 - answer.score;
  };
  out += ",\"probability\":";
  append_json_number(out, probability(static_cast<std::size_t>(answer.decision)));
  out += ",\"probabilities\":{";
  for (std::size_t i = 0; i < manifest.classes.size(); ++i) {
    if (i) out += ',';
    append_json_text(out, manifest.classes[i]);
    out += ':';
    append_json_number(out, probability(i));
  }
  out += '}';
}

void put_tail(std::string& out, std::string_view name_and_version, double took_ms, bool fallback) {
  out += ",\"model\":";
  append_json_text(out, name_and_version);
  out += ",\"took_ms\":";
  append_json_number(out, std::round(took_ms * 1000) / 1000);
  if (fallback) out += ",\"fallback\":true";
}

}  // namespace

std::string render_answer(const model::Manifest& manifest, std::span<const model::Answer> answers,
                          std::span<const Id> ids, const std::vector<bool>& unlogged, bool single,
                          std::string_view name_and_version, double took_ms, bool fallback) {
  std::string out;
  const auto end = [&](std::size_t i) {
    out += ",\"id\":\"" + ids[i].text() + (unlogged.empty() || !unlogged[i] ? "\"}" : "\",\"logged\":false}");
  };
  out.reserve(128 + answers.size() * (64 + manifest.classes.size() * 32));
  if (single) {
    out += '{';
    put_answer(out, manifest, answers[0]);
    put_tail(out, name_and_version, took_ms, fallback);
    end(0);
    return out;
  }
  out += "{\"predictions\":[";
  for (std::size_t i = 0; i < answers.size(); ++i) {
    out += i ? ",{" : "{";
    put_answer(out, manifest, answers[i]);
    end(i);
  }
  out += ']';
  put_tail(out, name_and_version, took_ms, fallback);
  return out + '}';
}

}  // namespace millrace::serve
