#include "label/queue.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "base/digest.hpp"

namespace millrace::label {

namespace {

double margin_of(const Candidate& c) {
  if (c.classes == 0 || c.scores.empty()) return 1;
  if (c.scores.size() == 1) return std::abs(2 * c.scores[0] - 1);
  double first = -1, second = -1;
  for (const double score : c.scores) {
    if (score > first) {
      second = first;
      first = score;
    } else {
      second = std::max(second, score);
    }
  }
  return first - second;
}

struct Ranked {
  std::size_t candidate;
  double margin;
  std::uint64_t hash;
};

}  // namespace

std::vector<Picked> pick(std::span<const Candidate> candidates, const QueueRules& rules) {
  std::vector<Ranked> open;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].labelled) continue;
    open.push_back(
        {i, margin_of(candidates[i]), sha256(std::to_string(rules.seed) + " " + candidates[i].id.text()).head()});
  }
  const std::size_t wanted = std::min(rules.per_day > rules.already ? rules.per_day - rules.already : 0, open.size());
  const bool knows = std::ranges::any_of(open, [&](const Ranked& r) { return candidates[r.candidate].classes > 0; });
  const double share = rules.pick == Pick::random || !knows ? 1.0 : std::clamp(rules.random_share, 0.0, 1.0);
  const std::size_t random =
      std::min(wanted, static_cast<std::size_t>(std::llround(share * static_cast<double>(wanted))));

  const auto uncertain_end = open.begin() + static_cast<std::ptrdiff_t>(wanted - random);
  std::ranges::sort(open, [&](const Ranked& a, const Ranked& b) {
    return std::tie(a.margin, a.hash, candidates[a.candidate].id) <
           std::tie(b.margin, b.hash, candidates[b.candidate].id);
  });
  // What is left is drawn by the hash alone: each of them equally likely, whatever its margin.
  std::sort(uncertain_end, open.end(), [&](const Ranked& a, const Ranked& b) {
    return std::tie(a.hash, candidates[a.candidate].id) < std::tie(b.hash, candidates[b.candidate].id);
  });
  std::vector<Picked> picked;
  for (std::size_t i = 0; i < wanted; ++i) picked.push_back({open[i].candidate, open[i].margin, i >= wanted - random});
  return picked;
}

}  // namespace millrace::label
