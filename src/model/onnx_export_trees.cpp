#include <algorithm>
#include <limits>
#include <map>

#include "model/onnx_export_internal.hpp"

namespace millrace::model {
namespace {

// Of the tables of categorical splits, all together: 64 MB.
constexpr std::size_t kMemberValuesMax = std::size_t{1} << 24;

// Splits that ask for a category. Each set becomes one more feature: 1 for a member, 0 for others, NaN for missing.
class OnnxMemberships {
 public:
  explicit OnnxMemberships(const Forest& forest) : forest_(forest), next_(forest.features) {
    for (const auto& tree : forest.trees) {
      for (const auto& node : tree.nodes) {
        if (node.left >= 0 && node.set >= 0) sets_[node.feature].try_emplace(set_of(node), 0);
      }
    }
    for (auto& [feature, sets] : sets_) {
      for (auto& [set, column] : sets) column = next_++;
    }
  }

  std::int64_t column(const ForestNode& node) const { return sets_.at(node.feature).at(set_of(node)); }

  // The features, and after them one column for each set.
  Result<std::string> widen(const std::string& features, OnnxGraph& graph) const {
    std::vector<std::string> parts = {features};
    std::size_t used = 0;
    for (const auto& [feature, sets] : sets_) {
      std::size_t words = 0;
      for (const auto& [set, column] : sets) words = std::max(words, set.size());
      const std::size_t codes = words * 32, rows = codes + 2;
      used += rows * sets.size();
      if (used > kMemberValuesMax) return no_onnx_form("its splits by category take tables of more than 64 MB");
      const auto value =
          graph.node("Gather", {features, graph.whole(feature)}, {onnx_attribute("axis", std::int64_t{1})});
      const auto at_least = graph.node("Not", {graph.node("Less", {value, graph.single(0)})});
      const auto below = graph.node("Less", {value, graph.single(static_cast<float>(codes))});
      const auto held =
          graph.node("Where", {graph.node("And", {at_least, below}), value, graph.single(static_cast<float>(codes))});
      const auto missing = graph.single(static_cast<float>(codes + 1));
      const auto place = graph.node("Where", {graph.node("IsNaN", {value}), missing, held});
      const auto rows_of = graph.constant<float>(
          {static_cast<std::int64_t>(rows), static_cast<std::int64_t>(sets.size())}, table(sets, codes));
      parts.push_back(graph.node("Gather", {rows_of, graph.cast(place, OnnxType::int64)},
                                 {onnx_attribute("axis", std::int64_t{0})}));
    }
    return graph.columns(parts);
  }

 private:
  using Sets = std::map<CategorySet, std::int64_t>;

  const CategorySet& set_of(const ForestNode& node) const { return forest_.sets[static_cast<std::size_t>(node.set)]; }

  // A row per category, one for those beyond, one for missing.
  static std::vector<float> table(const Sets& sets, std::size_t codes) {
    std::vector<float> out((codes + 2) * sets.size());
    std::size_t column = 0;
    for (const auto& [set, unused] : sets) {
      for (std::size_t code = 0; code < set.size() * 32; ++code)
        out[code * sets.size() + column] = (set[code / 32] >> (code % 32) & 1) != 0 ? 1.0f : 0.0f;
      out[(codes + 1) * sets.size() + column++] = std::numeric_limits<float>::quiet_NaN();
    }
    return out;
  }

  const Forest& forest_;
  std::int64_t next_;
  std::map<std::uint32_t, Sets> sets_;
};

// The attributes of TreeEnsembleRegressor, node after node.
class OnnxEnsemble {
 public:
  void leaf(std::int64_t tree, std::int64_t id) { put(tree, id, "LEAF", 0, 0, 0, 0, false); }
  void split(std::int64_t tree, std::int64_t id, std::int64_t feature, float value, std::int64_t yes, std::int64_t no,
             bool missing_yes) {
    put(tree, id, "BRANCH_LT", feature, value, yes, no, missing_yes);
  }
  void weight(std::int64_t tree, std::int64_t id, std::int64_t target, float value) {
    target_trees_.push_back(tree);
    target_nodes_.push_back(id);
    targets_.push_back(target);
    weights_.push_back(value);
  }

  OnnxGraph::Attributes attributes(std::int64_t outputs) const {
    return {onnx_attribute("n_targets", outputs),
            onnx_attribute("aggregate_function", std::string_view("SUM")),
            onnx_attribute("post_transform", std::string_view("NONE")),
            onnx_attribute("nodes_treeids", trees_),
            onnx_attribute("nodes_nodeids", ids_),
            onnx_attribute("nodes_featureids", features_),
            onnx_attribute("nodes_modes", modes_),
            onnx_attribute("nodes_values", values_),
            onnx_attribute("nodes_truenodeids", yes_),
            onnx_attribute("nodes_falsenodeids", no_),
            onnx_attribute("nodes_missing_value_tracks_true", missing_yes_),
            onnx_attribute("target_treeids", target_trees_),
            onnx_attribute("target_nodeids", target_nodes_),
            onnx_attribute("target_ids", targets_),
            onnx_attribute("target_weights", weights_)};
  }

 private:
  void put(std::int64_t tree, std::int64_t id, const char* mode, std::int64_t feature, float value, std::int64_t yes,
           std::int64_t no, bool missing_yes) {
    trees_.push_back(tree);
    ids_.push_back(id);
    modes_.emplace_back(mode);
    features_.push_back(feature);
    values_.push_back(value);
    yes_.push_back(yes);
    no_.push_back(no);
    missing_yes_.push_back(missing_yes ? 1 : 0);
  }

  std::vector<std::int64_t> trees_, ids_, features_, yes_, no_, missing_yes_, target_trees_, target_nodes_, targets_;
  std::vector<float> values_, weights_;
  std::vector<std::string> modes_;
};

// Nodes that the root leads to, which get numbers of their own: a node that nothing leads to would be a root.
void put_onnx_tree(const ForestTree& tree, const OnnxMemberships& memberships, std::int64_t number, OnnxEnsemble& out) {
  std::vector<std::int32_t> order = {0};
  for (std::size_t id = 0; id < order.size(); ++id) {
    const auto& node = tree.nodes[static_cast<std::size_t>(order[id])];
    const auto here = static_cast<std::int64_t>(id);
    if (node.left < 0) {
      out.leaf(number, here);
      out.weight(number, here, tree.output, node.value * tree.weight);
      continue;
    }
    const auto left = static_cast<std::int64_t>(order.size());
    order.push_back(node.left);
    order.push_back(node.left + 1);
    const bool set = node.set >= 0;
    out.split(number, here, set ? memberships.column(node) : node.feature, set ? 0.5f : node.value, left, left + 1,
              !node.missing_right);
  }
}

}  // namespace

Result<std::string> onnx_margins(const Forest& forest, const std::string& features, OnnxGraph& graph) {
  const OnnxMemberships memberships(forest);
  TRY(const auto wide, memberships.widen(features, graph));
  // The base is a tree of one leaf, the first: so a library that adds in order adds as XGBoost does.
  OnnxEnsemble ensemble;
  ensemble.leaf(0, 0);
  for (std::size_t k = 0; k < forest.base.size(); ++k)
    ensemble.weight(0, 0, static_cast<std::int64_t>(k), forest.base[k]);
  std::int64_t number = 1;
  for (const auto& tree : forest.trees) put_onnx_tree(tree, memberships, number++, ensemble);
  return graph.node("TreeEnsembleRegressor", {wide}, ensemble.attributes(static_cast<std::int64_t>(forest.base.size())),
                    "ai.onnx.ml");
}

}  // namespace millrace::model
