#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <span>

#include "model/trees_internal.hpp"
#include "model/ubj_reader_internal.hpp"

namespace millrace::model {
namespace {

constexpr std::uint32_t kFeaturesMax = 1u << 24;
constexpr std::uint32_t kOutputsMax = 65'536;
// A set is as long as its largest category, which a few bytes may name: this bounds all sets of a file together.
constexpr std::size_t kSetWordsMax = 1u << 22;
constexpr std::int32_t kCategoryMax = 16'777'215;  // XGBoost's own bound: integers that a float holds

std::unexpected<Error> no_flat(std::string why) {
  return fail(Code::unimplemented, "model.no_flat_trees", std::move(why));
}

// The arrays of a tree, as the file has them.
struct StoredTree {
  std::vector<std::int32_t> left, right, parents, category_nodes, categories;
  std::vector<std::uint32_t> features;
  std::vector<std::int64_t> segments, sizes;
  std::vector<float> conditions;
  std::vector<std::uint8_t> default_left, kinds;
  std::string_view leaf_width = "1";
};

// What of the file is looked at; nothing of it means that it was not there.
struct StoredModel {
  std::vector<StoredTree> trees;
  std::vector<std::uint32_t> outputs;  // of each tree
  std::vector<float> weights;
  std::string_view booster, base_score, num_class, num_feature, num_target, objective;
};

class ForestReader {
 public:
  explicit ForestReader(std::string_view file) : reader_(file) {}

  // A walk down the file's own structure: {learner: {gradient_booster: {model: {trees: [...]}}}}. DART of earlier
  // versions has one more object, `gbtree`, around the model.
  std::optional<StoredModel> read() {
    const bool whole =
        reader_.object([&](std::string_view key) { return key == "learner" ? learner() : reader_.skip_value(); });
    if (!whole || !reader_.at_end()) return std::nullopt;
    return std::move(model_);
  }
  std::size_t at() const { return reader_.at(); }

 private:
  bool word(std::string_view& out) { return reader_.marker() == 'S' && reader_.text(&out); }

  bool learner() {
    return reader_.object([&](std::string_view key) {
      if (key == "gradient_booster") return booster();
      if (key == "learner_model_param") return parameters();
      if (key == "objective") {
        return reader_.object(
            [&](std::string_view name) { return name == "name" ? word(model_.objective) : reader_.skip_value(); });
      }
      return reader_.skip_value();
    });
  }

  bool parameters() {
    return reader_.object([&](std::string_view key) {
      if (key == "base_score") return word(model_.base_score);
      if (key == "num_class") return word(model_.num_class);
      if (key == "num_feature") return word(model_.num_feature);
      if (key == "num_target") return word(model_.num_target);
      return reader_.skip_value();
    });
  }

  bool booster() {
    return reader_.object([&](std::string_view key) {
      if (key == "name") return word(model_.booster);
      if (key == "model") return trees();
      if (key == "weight_drop") return reader_.numbers(model_.weights);
      if (key == "gbtree") {
        return reader_.object(
            [&](std::string_view inner) { return inner == "model" ? trees() : reader_.skip_value(); });
      }
      return reader_.skip_value();
    });
  }

  bool trees() {
    return reader_.object([&](std::string_view key) {
      if (key == "tree_info") return reader_.numbers(model_.outputs);
      if (key != "trees") return reader_.skip_value();
      model_.trees.clear();
      return reader_.array([&] {  // an empty one is no tree, and would take much more memory than its bytes
        StoredTree& next = model_.trees.emplace_back();
        return tree(next) && !next.left.empty();
      });
    });
  }

  bool tree(StoredTree& tree) {
    return reader_.object([&](std::string_view key) {
      if (key == "left_children") return reader_.numbers(tree.left);
      if (key == "right_children") return reader_.numbers(tree.right);
      if (key == "parents") return reader_.numbers(tree.parents);
      if (key == "split_indices") return reader_.numbers(tree.features);
      if (key == "split_conditions") return reader_.numbers(tree.conditions);
      if (key == "default_left") return reader_.numbers(tree.default_left);
      if (key == "split_type") return reader_.numbers(tree.kinds);
      if (key == "categories") return reader_.numbers(tree.categories);
      if (key == "categories_nodes") return reader_.numbers(tree.category_nodes);
      if (key == "categories_segments") return reader_.numbers(tree.segments);
      if (key == "categories_sizes") return reader_.numbers(tree.sizes);
      if (key == "tree_param") {
        return reader_.object([&](std::string_view name) {
          return name == "size_leaf_vector" ? word(tree.leaf_width) : reader_.skip_value();
        });
      }
      return reader_.skip_value();
    });
  }

  UbjReader reader_;
  StoredModel model_;
};

template <class T>
std::optional<T> whole_text(std::string_view text) {
  T out{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

// "5E-1", or one for each output: "[5E-1,2E-1]".
std::optional<std::vector<float>> floats_of(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  std::vector<float> out;
  for (;;) {
    const auto comma = text.find(',');
    const auto value = whole_text<float>(text.substr(0, comma));
    if (!value || !std::isfinite(*value)) return std::nullopt;
    out.push_back(*value);
    if (comma == text.npos) return out;
    text.remove_prefix(comma + 1);
  }
}

// Whose margin is what, and what becomes of it, as XGBoost's objectives have it.
struct Objective {
  std::string_view name;
  enum class Base { as_is, logit, log } base;
  Forest::Transform transform;
};
constexpr Objective kObjectives[] = {
    {"reg:squarederror", Objective::Base::as_is, Forest::Transform::none},
    {"reg:squaredlogerror", Objective::Base::as_is, Forest::Transform::none},
    {"reg:absoluteerror", Objective::Base::as_is, Forest::Transform::none},
    {"reg:pseudohubererror", Objective::Base::as_is, Forest::Transform::none},
    {"reg:gamma", Objective::Base::log, Forest::Transform::exp},
    {"reg:tweedie", Objective::Base::log, Forest::Transform::exp},
    {"count:poisson", Objective::Base::log, Forest::Transform::exp},
    {"reg:logistic", Objective::Base::logit, Forest::Transform::none},
    {"binary:logistic", Objective::Base::logit, Forest::Transform::none},
    {"binary:logitraw", Objective::Base::as_is, Forest::Transform::none},
    {"multi:softprob", Objective::Base::as_is, Forest::Transform::none},
    {"multi:softmax", Objective::Base::as_is, Forest::Transform::none},
};

float margin_of(float base, Objective::Base how) {
  if (how == Objective::Base::log) return std::log(base);
  if (how == Objective::Base::as_is) return base;
  const float bounded = std::min(std::max(base, 1e-6f), 1.0f - 1e-6f);
  return -std::log(1.0f / bounded - 1.0f);
}

Result<void> put_sets(const StoredTree& stored, ForestTree& tree, Forest& forest, std::size_t& words) {
  const std::size_t count = stored.category_nodes.size();
  if (stored.segments.size() != count || stored.sizes.size() != count) return no_flat("a tree's categories disagree");
  for (std::size_t i = 0; i < count; ++i) {
    const auto node = stored.category_nodes[i];
    const auto begin = stored.segments[i], size = stored.sizes[i];
    const auto all = static_cast<std::int64_t>(stored.categories.size());
    if (node < 0 || static_cast<std::size_t>(node) >= tree.nodes.size() || begin < 0 || begin > all || size <= 0 ||
        size > all - begin)
      return no_flat("a tree's categories are out of range");
    const auto mine =
        std::span(stored.categories).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(size));
    const auto [least, most] = std::ranges::minmax(mine);
    if (least < 0 || most > kCategoryMax) return no_flat("a category is out of range");
    CategorySet set(static_cast<std::size_t>(most) / 32 + 1);
    if ((words += set.size()) > kSetWordsMax) return no_flat("the sets of categories are too large");
    for (const auto category : mine) set[static_cast<std::size_t>(category) / 32] |= 1u << (category % 32);
    tree.nodes[static_cast<std::size_t>(node)].set = static_cast<std::int32_t>(forest.sets.size());
    forest.sets.push_back(std::move(set));
  }
  return {};
}

// Children name their parents and parents their children, so that a walk from the root comes to each node at most once.
Result<void> put_tree(const StoredTree& stored, ForestTree& tree, Forest& forest, std::size_t& words) {
  const std::size_t count = stored.left.size();
  if (stored.leaf_width != "1" && stored.leaf_width != "0") return no_flat("a leaf has several values");
  if (count == 0 || stored.right.size() != count || stored.parents.size() != count || stored.features.size() != count ||
      stored.conditions.size() != count || stored.default_left.size() != count)
    return no_flat("a tree's arrays disagree");
  if (!stored.kinds.empty() && stored.kinds.size() != count) return no_flat("a tree's arrays disagree");
  tree.nodes.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    ForestNode& node = tree.nodes[i];
    node.value = stored.conditions[i];
    node.missing_right = stored.default_left[i] == 0;
    const auto left = stored.left[i], right = stored.right[i];
    if (left == -1 && right == -1) {
      if (!std::isfinite(node.value)) return no_flat("a leaf is no number");
      continue;
    }
    if (std::isnan(node.value)) return no_flat("a threshold is no number");
    if (left < 1 || static_cast<std::size_t>(left) >= count - 1 || right != left + 1)
      return no_flat("a tree's children are not side by side");
    for (const auto child : {left, right}) {
      if (stored.parents[static_cast<std::size_t>(child)] != static_cast<std::int32_t>(i))
        return no_flat("a tree's children and parents disagree");
      tree.nodes[static_cast<std::size_t>(child)].parent = static_cast<std::int32_t>(i);
    }
    node.left = left;
    node.feature = stored.features[i];
    if (node.feature >= forest.features) return no_flat("a split asks for a feature that there is not");
  }
  TRY_VOID(put_sets(stored, tree, forest, words));
  for (std::size_t i = 0; i < count; ++i) {
    const auto kind = stored.kinds.empty() ? 0 : stored.kinds[i];
    const bool split = tree.nodes[i].left >= 0;
    if (kind > 1 || (split && (kind == 1) != (tree.nodes[i].set >= 0))) return no_flat("a split is of no known kind");
  }
  return {};
}

Result<void> put_base(const StoredModel& stored, Forest& forest) {
  const auto objective = std::ranges::find(kObjectives, stored.objective, &Objective::name);
  if (objective == std::end(kObjectives)) return no_flat("objective '" + std::string(stored.objective) + "'");
  forest.objective = stored.objective;
  forest.transform = objective->transform;
  const auto classes = stored.num_class.empty() ? 0 : whole_text<std::uint32_t>(stored.num_class);
  const auto features = whole_text<std::uint32_t>(stored.num_feature);
  if (!classes || !features || *features == 0 || *features > kFeaturesMax || *classes > kOutputsMax)
    return no_flat("its numbers of features and classes");
  if (!stored.num_target.empty() && stored.num_target != "1" && stored.num_target != "0")
    return no_flat("several targets");
  forest.features = *features;
  const auto base = floats_of(stored.base_score);
  if (!base) return no_flat("its base score");
  forest.base = *base;
  const std::size_t outputs = std::max<std::uint32_t>(1, *classes);
  if (forest.base.size() == 1) forest.base.resize(outputs, forest.base[0]);
  if (forest.base.size() != outputs) return no_flat("its base score is of another width");
  for (float& value : forest.base) {
    value = margin_of(value, objective->base);
    if (!std::isfinite(value)) return no_flat("its base score has no margin");
  }
  return {};
}

}  // namespace

std::optional<Forest::Transform> value_transform(std::string_view objective) {
  if (objective == "binary:logistic" || objective == "reg:logistic") return Forest::Transform::sigmoid;
  if (objective == "multi:softprob") return Forest::Transform::softmax;
  if (objective == "multi:softmax") return std::nullopt;  // the class alone: another width
  const auto known = std::ranges::find(kObjectives, objective, &Objective::name);
  if (known == std::end(kObjectives)) return std::nullopt;
  return known->transform;
}

Result<Forest> read_forest(std::string_view ubj) {
  ForestReader reader(ubj);
  const auto stored = reader.read();
  if (!stored) return no_flat("it is no file of trees (at byte " + std::to_string(reader.at()) + ")");
  if (stored->booster != "gbtree" && stored->booster != "dart")
    return no_flat("booster '" + std::string(stored->booster) + "'");
  Forest forest;
  TRY_VOID(put_base(*stored, forest));
  if (stored->outputs.size() != stored->trees.size()) return no_flat("its trees and their outputs disagree");
  if (!stored->weights.empty() && stored->weights.size() != stored->trees.size())
    return no_flat("its trees and their weights disagree");
  forest.trees.reserve(stored->trees.size());
  std::size_t words = 0;
  for (std::size_t i = 0; i < stored->trees.size(); ++i) {
    ForestTree& tree = forest.trees.emplace_back();
    tree.output = stored->outputs[i];
    if (tree.output >= forest.base.size()) return no_flat("a tree is for an output that there is not");
    if (!stored->weights.empty()) tree.weight = stored->weights[i];
    if (!std::isfinite(tree.weight)) return no_flat("a tree's weight is no number");
    TRY_VOID(put_tree(stored->trees[i], tree, forest, words));
  }
  return forest;
}

}  // namespace millrace::model
