#include <charconv>
#include <cmath>
#include <cstdio>

#include "serve/answer_internal.hpp"

namespace millrace::serve {

namespace {

void put_text(std::string& out, std::string_view text) {
  out += '"';
  for (char c : text) {
    auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (u < 0x20) {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\u%04x", u);
      out += buffer;
    } else {
      out += c;
    }
  }
  out += '"';
}

// The shortest text that reads back as the same double; JSON has no NaN.
void put_number(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  char buffer[32];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  out.append(buffer, end);
}

void put_answer(std::string& out, const model::Manifest& manifest, const model::Answer& answer) {
  out += "\"prediction\":";
  if (manifest.task == model::TaskType::regression) {
    put_number(out, answer.score);
    return;
  }
  put_text(out, answer.label);
  auto probability = [&](std::size_t i) {
    if (manifest.task == model::TaskType::multiclass) return answer.probabilities[i];
    return i == 1 ? answer.score : 1 - answer.score;
  };
  out += ",\"probability\":";
  put_number(out, probability(static_cast<std::size_t>(answer.decision)));
  out += ",\"probabilities\":{";
  for (std::size_t i = 0; i < manifest.classes.size(); ++i) {
    if (i) out += ',';
    put_text(out, manifest.classes[i]);
    out += ':';
    put_number(out, probability(i));
  }
  out += '}';
}

void put_tail(std::string& out, std::string_view name_and_version, double took_ms) {
  out += ",\"model\":";
  put_text(out, name_and_version);
  out += ",\"took_ms\":";
  put_number(out, std::round(took_ms * 1000) / 1000);
}

}  // namespace

std::string render_answer(const model::Manifest& manifest, std::span<const model::Answer> answers,
                          std::span<const Id> ids, const std::vector<bool>& unlogged, bool single,
                          std::string_view name_and_version, double took_ms) {
  std::string out;
  const auto end = [&](std::size_t i) {
    out += ",\"id\":\"" + ids[i].text() + (unlogged.empty() || !unlogged[i] ? "\"}" : "\",\"logged\":false}");
  };
  out.reserve(128 + answers.size() * (64 + manifest.classes.size() * 32));
  if (single) {
    out += '{';
    put_answer(out, manifest, answers[0]);
    put_tail(out, name_and_version, took_ms);
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
  put_tail(out, name_and_version, took_ms);
  return out + '}';
}

}  // namespace millrace::serve
