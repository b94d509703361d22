#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <format>
#include <map>
#include <optional>

#include "model/lightgbm_internal.hpp"

namespace millrace::model {

namespace {

constexpr std::size_t kFeatureCountMax = 100'000;
constexpr std::size_t kOutputsMax = 10'000;

std::unexpected<Error> bad_lightgbm(std::string why) {
  return fail(Code::data_loss, "model.bad_engine_file", "it is no whole LightGBM model: " + std::move(why));
}
std::unexpected<Error> unknown_lightgbm(std::string what) {
  return fail(Code::unimplemented, "model.no_flat_trees",
              "a LightGBM model with " + std::move(what) + " is not known here");
}

// Lines "key=value" up to an empty line. Keys without a value are kept too.
using Section = std::map<std::string_view, std::string_view>;

class LineReader {
 public:
  explicit LineReader(std::string_view text) : left_(text) {}
  std::optional<std::string_view> next() {
    if (left_.empty()) return std::nullopt;
    const auto end = left_.find('\n');
    auto line = left_.substr(0, end);
    left_.remove_prefix(end == left_.npos ? left_.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    return line;
  }

 private:
  std::string_view left_;
};

template <class T>
bool parse_whole(std::string_view text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

// Numbers with spaces between.
template <class T>
bool parse_list(std::string_view text, std::size_t count, std::vector<T>& out) {
  out.clear();
  while (!text.empty()) {
    const auto end = text.find(' ');
    if (end != 0) {
      T value{};
      if (out.size() == count || !parse_whole(text.substr(0, end), value)) return false;
      out.push_back(value);
    }
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return out.size() == count;
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const auto end = text.find(' ');
    if (end != 0) out.push_back(text.substr(0, end));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return out;
}

class LightgbmReader {
 public:
  explicit LightgbmReader(std::string_view text) : lines_(text) {}

  Result<LightgbmModel> read() {
    if (lines_.next() != "tree") return bad_lightgbm("it does not begin with 'tree'");
    TRY_VOID(header());
    for (std::size_t number = 0; !ended_; ++number) TRY_VOID(tree(number));
    if (model_.trees.size() % model_.outputs != 0) return bad_lightgbm("its trees are not as many for each output");
    return std::move(model_);
  }

 private:
  // Up to the next empty line; `heading_` is the line "Tree=N" that follows, or the end.
  Result<Section> section() {
    Section out;
    for (;;) {
      const auto line = lines_.next();
      if (!line) return bad_lightgbm("it ends before 'end of trees'");
      if (line->empty()) {
        if (out.empty()) continue;  // more than one
        return out;
      }
      if (*line == "end of trees") {
        ended_ = true;
        return out;
      }
      const auto equal = line->find('=');
      out[line->substr(0, equal)] = equal == line->npos ? std::string_view() : line->substr(equal + 1);
    }
  }

  Result<void> header() {
    TRY(const auto values, section());
    const auto text = [&](std::string_view key) {
      const auto at = values.find(key);
      return at == values.end() ? std::string_view() : at->second;
    };
    if (text("version") != "v3" && text("version") != "v4")
      return unknown_lightgbm(std::format("the version '{}'", text("version").substr(0, 20)));
    std::size_t last = 0, per_iteration = 0;
    if (!parse_whole(text("max_feature_idx"), last) || last >= kFeatureCountMax)
      return bad_lightgbm("max_feature_idx is not a number of features");
    model_.features = last + 1;
    if (!parse_whole(text("num_tree_per_iteration"), per_iteration) || per_iteration < 1 || per_iteration > kOutputsMax)
      return bad_lightgbm("num_tree_per_iteration is not a number of outputs");
    model_.outputs = per_iteration;
    if (values.contains("average_output")) return unknown_lightgbm("averaged trees (a random forest)");
    for (const auto name : words_of(text("feature_names"))) model_.names.emplace_back(name);
    if (model_.names.size() != model_.features) return bad_lightgbm("it has not a name for each feature");
    return objective(words_of(text("objective")));
  }

  Result<void> objective(const std::vector<std::string_view>& words) {
    using Transform = LightgbmModel::Transform;
    struct Known {
      std::string_view name;
      Transform transform;
    };
    constexpr auto kKnown = std::to_array<Known>({{"regression", Transform::none},
                                                  {"regression_l1", Transform::none},
                                                  {"huber", Transform::none},
                                                  {"fair", Transform::none},
                                                  {"quantile", Transform::none},
                                                  {"mape", Transform::none},
                                                  {"poisson", Transform::exp},
                                                  {"gamma", Transform::exp},
                                                  {"tweedie", Transform::exp},
                                                  {"binary", Transform::sigmoid},
                                                  {"cross_entropy", Transform::sigmoid},
                                                  {"cross_entropy_lambda", Transform::log1p_exp},
                                                  {"multiclass", Transform::softmax},
                                                  {"multiclassova", Transform::sigmoid},
                                                  {"lambdarank", Transform::none},
                                                  {"rank_xendcg", Transform::none}});
    if (words.empty()) return {};  // of a function of somebody's own: margins
    model_.objective = words[0];
    const auto known = std::ranges::find(kKnown, words[0], &Known::name);
    if (known == kKnown.end()) return unknown_lightgbm(std::format("the objective '{}'", words[0].substr(0, 40)));
    model_.transform = known->transform;
    for (const auto word : std::span(words).subspan(1)) {
      if (word == "sqrt") model_.transform = Transform::square;
      constexpr std::string_view kSigmoid = "sigmoid:";
      if (!word.starts_with(kSigmoid)) continue;
      if (!parse_whole(word.substr(kSigmoid.size()), model_.sigmoid) || !std::isfinite(model_.sigmoid))
        return bad_lightgbm("its sigmoid is no number");
    }
    return {};
  }

  Result<void> tree(std::size_t number) {
    TRY(const auto values, section());
    if (values.empty()) return {};
    const auto bad = [&](std::string_view what) {
      return bad_lightgbm(std::format("{} of tree {} can't be right", what, number));
    };
    const auto text = [&](std::string_view key) {
      const auto at = values.find(key);
      return at == values.end() ? std::string_view() : at->second;
    };
    if (text("Tree") != std::to_string(number)) return bad("the number");
    std::size_t leaves = 0, sets = 0;
    if (!parse_whole(text("num_leaves"), leaves) || leaves < 1) return bad("num_leaves");
    if (!parse_whole(text("num_cat"), sets) || sets >= leaves) return bad("num_cat");
    if (const auto linear = text("is_linear"); !linear.empty() && linear != "0")
      return unknown_lightgbm("linear models in its leaves");
    LightgbmModel::Tree out{.nodes = static_cast<std::uint32_t>(model_.nodes.size()),
                            .leaves = static_cast<std::uint32_t>(model_.leaves.size()),
                            .only_leaf = leaves == 1};
    std::vector<double> values_of_leaves;
    if (!parse_list(text("leaf_value"), leaves, values_of_leaves) ||
        !std::ranges::all_of(values_of_leaves, [](double x) { return std::isfinite(x); }))
      return bad("leaf_value");
    model_.leaves.insert(model_.leaves.end(), values_of_leaves.begin(), values_of_leaves.end());
    if (leaves > 1) TRY_VOID(nodes(text, leaves, sets, bad));
    model_.trees.push_back(out);
    return {};
  }

  template <class Text, class Bad>
  Result<void> nodes(const Text& text, std::size_t leaves, std::size_t sets, const Bad& bad) {
    const std::size_t count = leaves - 1;
    std::vector<std::int64_t> features, types, left, right, boundaries;
    std::vector<double> thresholds;
    std::vector<std::uint32_t> words;
    if (!parse_list(text("split_feature"), count, features)) return bad("split_feature");
    if (!parse_list(text("threshold"), count, thresholds)) return bad("threshold");
    if (!parse_list(text("decision_type"), count, types)) return bad("decision_type");
    if (!parse_list(text("left_child"), count, left)) return bad("left_child");
    if (!parse_list(text("right_child"), count, right)) return bad("right_child");
    const auto first_word = static_cast<std::uint32_t>(model_.sets.size());
    if (sets > 0) {
      if (!parse_list(text("cat_boundaries"), sets + 1, boundaries) || boundaries.front() != 0 ||
          !std::ranges::is_sorted(boundaries) || boundaries.back() > std::int64_t{1} << 31)
        return bad("cat_boundaries");
      if (!parse_list(text("cat_threshold"), static_cast<std::size_t>(boundaries.back()), words))
        return bad("cat_threshold");
      model_.sets.insert(model_.sets.end(), words.begin(), words.end());
    }
    for (std::size_t i = 0; i < count; ++i) {
      LightgbmModel::Node node;
      if (features[i] < 0 || static_cast<std::size_t>(features[i]) >= model_.features) return bad("split_feature");
      node.feature = static_cast<std::uint32_t>(features[i]);
      node.category = (types[i] & 1) != 0;
      node.default_left = (types[i] & 2) != 0;
      const auto missing = (types[i] >> 2) & 3;
      if (types[i] < 0 || types[i] > 15 || missing == 3) return bad("decision_type");
      node.missing = static_cast<LightgbmModel::Missing>(missing);
      node.threshold = thresholds[i];
      if (std::isnan(node.threshold)) return bad("threshold");
      if (node.category) {
        const double set = node.threshold;
        if (!(set >= 0 && set < static_cast<double>(sets)) || set != std::trunc(set)) return bad("threshold");
        const auto at = static_cast<std::size_t>(set);
        node.set = first_word + static_cast<std::uint32_t>(boundaries[at]);
        node.set_words = static_cast<std::uint32_t>(boundaries[at + 1] - boundaries[at]);
      }
      // LightGBM numbers nodes as they are split, so a child has a larger number than its parent.
      for (const auto child : {left[i], right[i]}) {
        const bool fits = child < 0 ? ~child < static_cast<std::int64_t>(leaves)
                                    : child > static_cast<std::int64_t>(i) && child < static_cast<std::int64_t>(count);
        if (!fits) return bad("left_child or right_child");
      }
      node.left = static_cast<std::int32_t>(left[i]);
      node.right = static_cast<std::int32_t>(right[i]);
      model_.nodes.push_back(node);
    }
    return {};
  }

  LineReader lines_;
  LightgbmModel model_;
  bool ended_ = false;
};

}  // namespace

Result<LightgbmModel> read_lightgbm(std::string_view text) { return LightgbmReader(text).read(); }

void lightgbm_margins(const LightgbmModel& model, const double* row, double* out) {
  // LightGBM takes what is as small as this for 0 before it looks at it.
  const auto small = static_cast<double>(1e-35f);
  std::fill_n(out, model.outputs, 0.0);
  std::size_t output = 0;
  for (const auto& tree : model.trees) {
    const auto* const nodes = model.nodes.data() + tree.nodes;
    std::int32_t at = tree.only_leaf ? ~0 : 0;
    while (at >= 0) {
      const auto& node = nodes[at];
      double x = row[node.feature];
      bool left = false;
      if (node.category) {
        // As an int; what is none is in no set.
        if (x > -1 && x < 2147483648.0) {
          const auto category = static_cast<std::uint32_t>(x);
          left = category / 32 < node.set_words && (model.sets[node.set + category / 32] >> (category % 32) & 1) != 0;
        }
      } else {
        const bool missing = std::isnan(x);
        if ((missing && node.missing != LightgbmModel::Missing::nan) || std::fabs(x) <= small) x = 0;
        if ((node.missing == LightgbmModel::Missing::zero && x == 0) ||
            (node.missing == LightgbmModel::Missing::nan && missing))
          left = node.default_left;
        else
          left = x <= node.threshold;
      }
      at = left ? node.left : node.right;
    }
    out[output] += model.leaves[tree.leaves + static_cast<std::size_t>(~at)];
    if (++output == model.outputs) output = 0;
  }
}

void lightgbm_transform(const LightgbmModel& model, std::span<double> margins) {
  using Transform = LightgbmModel::Transform;
  switch (model.transform) {
    case Transform::none:
      return;
    case Transform::exp:
      for (auto& x : margins) x = std::exp(x);
      return;
    case Transform::sigmoid:
      for (auto& x : margins) x = 1.0 / (1.0 + std::exp(-model.sigmoid * x));
      return;
    case Transform::square:
      for (auto& x : margins) x = std::copysign(x * x, x);
      return;
    case Transform::log1p_exp:
      for (auto& x : margins) x = std::log1p(std::exp(x));
      return;
    case Transform::softmax: {
      const double top = *std::ranges::max_element(margins);
      double sum = 0;
      for (auto& x : margins) {
        x = std::exp(x - top);
        sum += x;
      }
      for (auto& x : margins) x /= sum;
      return;
    }
  }
}

}  // namespace millrace::model
