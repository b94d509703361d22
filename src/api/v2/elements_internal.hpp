// What answers are made of, for all ways to write them.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "api/v2/signature.hpp"
#include "serve/predictor.hpp"

namespace millrace::api::v2 {

// The members of InferStatistics by name and number.
struct StatisticDuration {
  const char* name;
  std::uint32_t number;
  std::uint64_t count;
  Duration spent;
};
std::array<StatisticDuration, 8> durations_of(const serve::VersionCounts& counts);
std::uint64_t last_ms(const serve::VersionCounts& counts);  // since 1970; 0: no request yet

// An output that is answered, with the shape that it has in this answer.
struct AnswerTensor {
  TensorInfo info;
  bool binary = false;
};
// The outputs are known to be right: check_outputs().
std::vector<AnswerTensor> tensors_of(const model::Manifest& manifest, const InferRequest& request, std::size_t rows);
std::string ids_text(const serve::Answered& answered);  // "id,id,..."

// The protocol's binary form.
template <std::floating_point T>
void put_binary(std::string& out, T value) {
  static_assert(std::endian::native == std::endian::little);
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof bytes);
}

inline void put_binary(std::string& out, std::string_view value) {
  const auto length = static_cast<std::uint32_t>(value.size());
  char bytes[sizeof length];
  std::memcpy(bytes, &length, sizeof length);
  out.append(bytes, sizeof bytes);
  out += value;
}

// Elements as they lie, those of BYTES each behind its length.
void put_binary_tensor(std::string& out, Datatype type, const model::TensorAnswer::Output& tensor);

// One output's elements, wherever they go.
template <class Put>
void each_element(const TensorInfo& output, const model::Manifest& manifest, const serve::Answered& answered, Put put) {
  for (std::size_t i = 0; i < answered.answers.size(); ++i) {
    const auto& answer = answered.answers[i];
    const auto probability = [&](std::size_t k) {
      if (manifest.task == model::TaskType::multiclass) return answer.probabilities[k];
      return k == 1 ? answer.score : 1 - answer.score;
    };
    if (output.name == kBareOutput) {
      if (answer.probabilities.empty()) put(static_cast<float>(answer.score));
      for (const double value : answer.probabilities) put(static_cast<float>(value));
    } else if (output.name == "prediction") {
      if (manifest.task == model::TaskType::regression)
        put(answer.score);
      else
        put(answer.label);
    } else if (output.name == "probability") {
      put(probability(static_cast<std::size_t>(answer.decision)));
    } else if (output.name == "probabilities") {
      for (std::size_t k = 0; k < manifest.classes.size(); ++k) put(probability(k));
    } else {
      put(answered.ids[i].text());
    }
  }
}

}  // namespace millrace::api::v2
