#include "model/trees_proof_internal.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <span>
#include <string>

namespace millrace::model {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

// Numbers by the million without SeededRng's lock: splitmix64 (Steele, Lea, Flood 2014).
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e37'79b9'7f4a'7c15;
    z = (z ^ z >> 30) * 0xbf58'476d'1ce4'e5b9;
    z = (z ^ z >> 27) * 0x94d0'49bb'1331'11eb;
    return z ^ z >> 31;
  }
  std::uint64_t below(std::uint64_t bound) { return (next() >> 32) * bound >> 32; }  // bound below 2^32
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  std::uint64_t state_;
};

// What a feature is compared with anywhere in the forest.
struct Asked {
  std::vector<float> thresholds;
  std::vector<float> categories;  // in sets, and one beyond each set
};

class RowMaker {
 public:
  RowMaker(const Forest& forest, std::uint64_t seed) : forest_(forest), rng_(seed) {
    for (const auto& tree : forest.trees) {
      std::vector<std::int32_t> reached = {0};
      for (std::size_t i = 0; i < reached.size(); ++i) {
        const ForestNode& node = tree.nodes[static_cast<std::size_t>(reached[i])];
        if (node.left < 0) continue;
        reached.push_back(node.left);
        reached.push_back(node.left + 1);
        splits_.push_back({&tree, reached[i], node.feature});
        Asked& asked = asked_[node.feature];
        if (node.set < 0) {
          asked.thresholds.push_back(node.value);
          continue;
        }
        const CategorySet& set = forest.sets[static_cast<std::size_t>(node.set)];
        for (int k = 0; k < 4; ++k) asked.categories.push_back(member(set));
        asked.categories.push_back(static_cast<float>(set.size() * 32));
      }
    }
    stride_ = splits_.size() * 5 / 8;
    while (std::gcd(++stride_, std::max<std::size_t>(1, splits_.size())) != 1) {
    }
  }

  // Three of four lead to a split and go right there by the least that does, left by the least, or miss its value: each
  // split in turn, so that few are left out. The others are any values, or values close to thresholds.
  void row(float* out) {
    const auto kind = made_++ % 4;
    const auto missing = rng_.below(4) == 0 ? rng_.below(8) : 0;  // of 8
    for (std::uint32_t f = 0; f < forest_.features; ++f) out[f] = kind == 0 ? any() : 0.0f;
    for (const auto& [feature, asked] : asked_) out[feature] = rng_.below(8) == 0 ? any() : near(asked);
    for (std::uint32_t f = 0; f < forest_.features; ++f) {
      if (missing > 0 && rng_.below(8) < missing) out[f] = kMissing;
    }
    if (kind == 0 || splits_.empty()) return;
    lead(splits_[next_], kind == 1, out);
    if (kind == 3) out[splits_[next_].feature] = kMissing;
    if (kind == 3) next_ = (next_ + stride_) % splits_.size();
  }

 private:
  struct Split {
    const ForestTree* tree;
    std::int32_t node;
    std::uint32_t feature;
  };

  float any() {
    switch (rng_.below(12)) {
      case 0:
        return kMissing;
      case 1:
        return rng_.below(2) == 0 ? kInfinity : -kInfinity;
      case 2:
        return rng_.below(2) == 0 ? 0.0f : -0.0f;
      case 3:
        return std::bit_cast<float>(static_cast<std::uint32_t>(rng_.below(0x80'0000)) |
                                    static_cast<std::uint32_t>(rng_.below(2)) << 31);  // denormal
      case 4: {
        const float value = std::bit_cast<float>(static_cast<std::uint32_t>(rng_.next()));
        return value == value ? value : kMissing;
      }
      case 5:
        return static_cast<float>(rng_.below(64)) - 2;
      default:
        return static_cast<float>(rng_.unit() * 4 - 2);
    }
  }

  float beside(float threshold) {
    switch (rng_.below(4)) {
      case 0:
        return threshold;
      case 1:
        return std::nextafter(threshold, -kInfinity);
      case 2:
        return std::nextafter(threshold, kInfinity);
      default:
        return threshold + static_cast<float>(rng_.unit() - 0.5);
    }
  }

  float near(const Asked& asked) {
    const bool category = !asked.categories.empty() && (asked.thresholds.empty() || rng_.below(2) == 0);
    if (!category) return beside(asked.thresholds[rng_.below(asked.thresholds.size())]);
    const float value = asked.categories[rng_.below(asked.categories.size())];
    switch (rng_.below(6)) {
      case 0:
        return value + 1;
      case 1:
        return value + 0.5f;
      case 2:
        return -value;
      default:
        return value;
    }
  }

  float member(const CategorySet& set) {
    for (int tries = 0; tries < 8; ++tries) {
      const auto at = rng_.below(set.size() * 32);
      if (set[at / 32] >> (at % 32) & 1) return static_cast<float>(at);
    }
    for (std::size_t at = set.size(); at-- > 0;) {
      if (set[at] != 0) return static_cast<float>(at * 32 + 31 - static_cast<std::size_t>(std::countl_zero(set[at])));
    }
    return 0;
  }

  // What a path asks of a feature.
  struct Wish {
    float from = -kInfinity, below = kInfinity;
    std::vector<const CategorySet*> in, out;
  };

  // Changes the row so that it comes to this split, and goes right there, or just left.
  void lead(const Split& split, bool right, float* out) {
    const auto& nodes = split.tree->nodes;
    std::map<std::uint32_t, Wish> wishes;
    const auto wish = [&](const ForestNode& node, bool to_right) {
      Wish& mine = wishes[node.feature];
      if (node.set >= 0) {
        (to_right ? mine.in : mine.out).push_back(&forest_.sets[static_cast<std::size_t>(node.set)]);
      } else if (to_right) {
        mine.from = std::max(mine.from, node.value);
      } else {
        mine.below = std::min(mine.below, node.value);
      }
    };
    for (std::int32_t at = split.node; nodes[static_cast<std::size_t>(at)].parent >= 0;) {
      const std::int32_t up = nodes[static_cast<std::size_t>(at)].parent;
      const ForestNode& node = nodes[static_cast<std::size_t>(up)];
      wish(node, at != node.left);
      at = up;
    }
    const ForestNode& node = nodes[static_cast<std::size_t>(split.node)];
    if (node.set >= 0) wish(node, right);
    for (const auto& [feature, mine] : wishes) out[feature] = grant(mine);
    if (node.set < 0) out[node.feature] = right ? node.value : std::nextafter(node.value, -kInfinity);
  }

  float grant(const Wish& wish) {
    if (!wish.in.empty() || !wish.out.empty()) return category(wish);
    const float middle = wish.from / 2 + wish.below / 2;
    if (rng_.below(3) == 0) return wish.from;
    if (rng_.below(2) == 0 && middle >= wish.from) return middle;
    return std::nextafter(wish.below, -kInfinity);
  }

  static bool has(const CategorySet& set, std::size_t at) {
    return at / 32 < set.size() && (set[at / 32] >> (at % 32) & 1) != 0;
  }
  float category(const Wish& wish) {
    if (wish.in.empty()) return -1;
    const std::size_t size = wish.in[0]->size() * 32, start = rng_.below(size);
    for (std::size_t i = 0; i < size; ++i) {
      const std::size_t at = (start + i) % size;
      const auto mine = [&](const CategorySet* set) { return has(*set, at); };
      if (std::ranges::all_of(wish.in, mine) && std::ranges::none_of(wish.out, mine)) return static_cast<float>(at);
    }
    return -1;
  }

  const Forest& forest_;
  Dice rng_;
  std::map<std::uint32_t, Asked> asked_;
  std::vector<Split> splits_;
  std::size_t made_ = 0, next_ = 0, stride_ = 1;  // the stride has no divisor in common with the number of splits
};

constexpr std::size_t kProofRowsMax = 8'192, kProofRowsMin = 64;
constexpr std::size_t kProofWork = 128 * 1024;     // rows x trees
constexpr std::size_t kProofFloats = 1024 * 1024;  // rows x features
constexpr std::size_t kProofAlone = 4;             // rows that the engine is asked one by one: slow
constexpr std::size_t kProofAloneOurs = 512;

Result<void> same_answers(std::span<const float> features, std::size_t width, std::span<const float> expected,
                          std::span<const float> got, std::size_t outputs) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto want = std::bit_cast<std::uint32_t>(expected[i]), have = std::bit_cast<std::uint32_t>(got[i]);
    // Which of the many NaN it is (of an overflow to infinity, subtracted) says nothing.
    if (want == have || (std::isnan(expected[i]) && std::isnan(got[i]))) continue;
    const std::size_t row = i / outputs;
    std::string begin;
    for (std::size_t f = 0; f < std::min<std::size_t>(4, width); ++f)
      begin += (f ? ", " : "") + std::to_string(features[row * width + f]);
    return fail(Code::failed_precondition, "model.trees_differ",
                "output " + std::to_string(i % outputs) + " of row " + std::to_string(row) + " of the proof (" + begin +
                    (width > 4 ? ", ...)" : ")") + ": " + std::to_string(got[i]) + " instead of " +
                    std::to_string(expected[i]));
  }
  return {};
}

}  // namespace

std::vector<float> proof_rows(const Forest& forest, std::size_t rows, std::uint64_t seed) {
  std::vector<float> out(rows * forest.features);
  RowMaker maker(forest, seed);
  for (std::size_t i = 0; i < rows; ++i) maker.row(out.data() + i * forest.features);
  return out;
}

Result<void> prove_trees(const Forest& forest, const TreesEngine& trees, const Runtime& engine) {
  const std::size_t outputs = trees.outputs(), width = trees.features();
  const std::size_t by_work =
      std::min(kProofWork / std::max<std::size_t>(1, forest.trees.size()), kProofFloats / width);
  const std::size_t rows = std::clamp(by_work, kProofRowsMin, kProofRowsMax);
  const auto features = proof_rows(forest, rows, 20'261'122);
  std::vector<float> expected, got(rows * outputs);
  TRY_VOID(engine.predict(features, rows, expected));
  if (expected.size() != got.size()) {
    return fail(Code::failed_precondition, "model.trees_differ",
                std::to_string(got.size() / rows) + " outputs instead of " + std::to_string(expected.size() / rows));
  }
  trees.predict(features.data(), rows, got.data());
  TRY_VOID(same_answers(features, width, expected, got, outputs));
  const std::size_t step = std::max<std::size_t>(1, rows / kProofAloneOurs);
  for (std::size_t i = 0; i < rows; i += step) trees.predict(features.data() + i * width, 1, got.data() + i * outputs);
  TRY_VOID(same_answers(features, width, expected, got, outputs));
  for (std::size_t i = 0; i < kProofAlone; ++i) {
    const std::size_t row = i * (rows - 1) / (kProofAlone - 1) / step * step;
    const auto mine = std::span(features).subspan(row * width, width);
    TRY_VOID(engine.predict(mine, 1, expected));
    TRY_VOID(same_answers(mine, width, expected, std::span(got).subspan(row * outputs, outputs), outputs));
  }
  return {};
}

}  // namespace millrace::model
