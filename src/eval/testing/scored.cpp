#include "eval/testing/scored.hpp"

#include <cmath>
#include <numbers>
#include <numeric>

#include "base/rng.hpp"

namespace millrace::eval::testing {

namespace {

double normal(Rng& rng) {  // Box, Muller
  return std::sqrt(-2 * std::log(1 - rng.unit())) * std::cos(2 * std::numbers::pi * rng.unit());
}

void name_rows(Scored& scored) {
  const char* const countries[] = {"PT", "PL", "DE"};
  SliceColumn country{.name = "country"}, age{.name = "age"};
  for (std::size_t r = 0; r < scored.size(); ++r) {
    scored.rows.push_back(sha256("row " + std::to_string(r)));
    country.texts.emplace_back(countries[r % 3]);
    age.numbers.push_back(18 + static_cast<double>(r * 7 % 60));
  }
  scored.slices = {country, age};
}

}  // namespace

Scored binary_rows(std::size_t rows, double strength, std::uint64_t seed) {
  SeededRng rng(seed);
  Scored scored{.task = TaskType::binary, .classes = {"No", "Yes"}};
  for (std::size_t r = 0; r < rows; ++r) {
    const double p = 1 / (1 + std::exp(-strength * normal(rng)));
    scored.scores.push_back(p);
    scored.y.push_back(rng.unit() < p ? 1 : 0);
  }
  name_rows(scored);
  return scored;
}

Scored constant_answer(const Scored& like) {
  Scored scored = like;
  const double mean = std::accumulate(like.y.begin(), like.y.end(), 0.0) / static_cast<double>(like.size());
  if (like.task != TaskType::multiclass) {
    scored.scores.assign(like.size(), mean);
    return scored;
  }
  std::vector<double> shares(like.columns());
  for (const double y : like.y) shares[static_cast<std::size_t>(y)] += 1 / static_cast<double>(like.size());
  for (std::size_t i = 0; i < scored.scores.size(); ++i) scored.scores[i] = shares[i % like.columns()];
  return scored;
}

Scored shuffled_truth(const Scored& like, std::uint64_t seed) {
  SeededRng rng(seed);
  Scored scored = like;
  for (std::size_t i = scored.size(); i > 1; --i) std::swap(scored.y[i - 1], scored.y[rng.below(i)]);
  return scored;
}

Scored multiclass_rows(std::size_t rows, double right, std::uint64_t seed) {
  SeededRng rng(seed);
  Scored scored{.task = TaskType::multiclass, .classes = {"a", "b", "c"}};
  for (std::size_t r = 0; r < rows; ++r) {
    const std::uint64_t truth = rng.below(3);
    const std::uint64_t said = rng.unit() < right ? truth : (truth + 1 + rng.below(2)) % 3;
    scored.y.push_back(static_cast<double>(truth));
    for (std::uint64_t k = 0; k < 3; ++k) scored.scores.push_back(k == said ? right : (1 - right) / 2);
  }
  name_rows(scored);
  return scored;
}

Scored regression_rows(std::size_t rows, double noise, std::uint64_t seed) {
  SeededRng rng(seed);
  Scored scored{.task = TaskType::regression};
  for (std::size_t r = 0; r < rows; ++r) {
    const double signal = normal(rng);
    scored.scores.push_back(signal);
    scored.y.push_back(signal + noise * normal(rng));
  }
  name_rows(scored);
  return scored;
}

}  // namespace millrace::eval::testing
