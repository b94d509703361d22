#include "model/trees_engine_internal.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <span>
#include <tuple>

namespace millrace::model {
namespace {

constexpr std::size_t kPlanesMax = 65'536;
constexpr std::size_t kGroup = 16;
constexpr int kHeapDepthMax = 8;  // leaves of a heap are numbered in a byte
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Makes a TreesForm out of a Forest.
class FormBuilder {
 public:
  explicit FormBuilder(const Forest& forest) : forest_(forest) {}

  Result<TreesForm> build() {
    form_.features = forest_.features;
    form_.transform = forest_.transform;
    form_.base = forest_.base;
    collect_thresholds();
    std::size_t most = 0;
    for (const auto& [feature, values] : thresholds_) most = std::max(most, values.size());
    if (most > 65'535) return too_large("a feature has " + std::to_string(most) + " thresholds");
    form_.wide = most > 255;
    put_columns();
    for (const auto& tree : forest_.trees) TRY_VOID(put_tree(tree));
    if (form_.planes > kPlanesMax) return too_large(std::to_string(form_.planes) + " distinct questions");
    const auto trim = [](auto&... values) { (values.shrink_to_fit(), ...); };
    trim(form_.thresholds, form_.pivots, form_.columns, form_.memberships, form_.trees, form_.heap_nodes,
         form_.heap_leaves, form_.linked_nodes, form_.linked_left, form_.linked_leaves);
    return std::move(form_);
  }

 private:
  static std::unexpected<Error> too_large(std::string what) {
    return fail(Code::unimplemented, "model.no_flat_trees", std::move(what));
  }

  template <class Visit>
  static void each_reachable(const ForestTree& tree, Visit&& visit) {
    std::vector<std::pair<std::int32_t, int>> open = {{0, 0}};
    while (!open.empty()) {
      const auto [at, depth] = open.back();
      open.pop_back();
      const ForestNode& node = tree.nodes[static_cast<std::size_t>(at)];
      visit(node, depth);
      if (node.left < 0) continue;
      open.emplace_back(node.left + 1, depth + 1);
      open.emplace_back(node.left, depth + 1);
    }
  }

  void collect_thresholds() {
    for (const auto& tree : forest_.trees) {
      each_reachable(tree, [&](const ForestNode& node, int) {
        if (node.left >= 0 && node.set < 0) thresholds_[node.feature].push_back(node.value);
      });
    }
    for (auto& [feature, values] : thresholds_) {
      std::ranges::sort(values);
      const auto same = std::ranges::unique(values);
      values.erase(same.begin(), same.end());
    }
  }

  void put_columns() {
    for (const auto& [feature, values] : thresholds_) {
      column_of_[feature] = form_.columns.size();
      TreesColumn column{.feature = feature,
                         .thresholds = static_cast<std::uint32_t>(form_.thresholds.size()),
                         .groups = static_cast<std::uint32_t>((values.size() + kGroup - 1) / kGroup),
                         .pivots = static_cast<std::uint32_t>(form_.pivots.size())};
      form_.thresholds.insert(form_.thresholds.end(), values.begin(), values.end());
      form_.thresholds.resize(column.thresholds + column.groups * kGroup, kNan);
      for (std::size_t group = 0; group < column.groups; ++group)
        form_.pivots.push_back(form_.thresholds[column.thresholds + group * kGroup + kGroup - 1]);
      form_.pivots.resize(column.pivots + (column.groups + kGroup - 1) / kGroup * kGroup, kNan);
      form_.columns.push_back(column);
    }
  }

  // Right is what is above the node's rank.
  TreesNode question(const ForestNode& node) {
    if (node.set >= 0) {
      const CategorySet& set = forest_.sets[static_cast<std::size_t>(node.set)];
      const auto [found, fresh] = memberships_.try_emplace({node.feature, node.missing_right, set}, form_.planes);
      if (fresh) {
        form_.memberships.push_back({.feature = node.feature,
                                     .plane = static_cast<std::uint32_t>(form_.planes++),
                                     .missing_right = node.missing_right,
                                     .set = set});
      }
      return {.plane = static_cast<std::uint16_t>(found->second), .rank = lowest()};
    }
    auto& plane = form_.columns[column_of_[node.feature]].plane[node.missing_right ? 1 : 0];
    if (plane < 0) plane = static_cast<std::int32_t>(form_.planes++);
    const auto& values = thresholds_[node.feature];
    const auto rank = std::ranges::lower_bound(values, node.value) - values.begin();
    return {.plane = static_cast<std::uint16_t>(plane), .rank = static_cast<std::int16_t>(rank + lowest())};
  }
  std::int16_t lowest() const { return form_.wide ? std::int16_t{-32'768} : std::int16_t{-128}; }

  Result<void> put_tree(const ForestTree& tree) {
    int depth = 0;
    std::size_t leaves = 0;
    each_reachable(tree, [&](const ForestNode& node, int at) {
      depth = std::max(depth, at);
      leaves += node.left < 0 ? 1 : 0;
    });
    if (depth > 65'535) return too_large("a tree of depth " + std::to_string(depth));
    // A heap has every node down to its depth, whether the tree has it or not: not worth it for a sparse one.
    const bool heap = depth <= 4 || (depth <= kHeapDepthMax && leaves * 4 >= std::size_t{1} << depth);
    TreesTree out{.output = tree.output, .depth = static_cast<std::uint16_t>(depth), .heap = heap};
    if (heap) {
      out.nodes = static_cast<std::uint32_t>(form_.heap_nodes.size());
      out.leaves = static_cast<std::uint32_t>(form_.heap_leaves.size());
      form_.heap_nodes.resize(out.nodes + (std::size_t{1} << depth) - 1, {.plane = 0, .rank = lowest()});
      form_.heap_leaves.resize(out.leaves + (std::size_t{1} << depth));
      put_heap(tree, 0, out, 0, depth);
    } else {
      out.nodes = static_cast<std::uint32_t>(form_.linked_nodes.size());
      put_linked(tree, out.nodes);
    }
    form_.trees.push_back(out);
    if (std::max(form_.heap_nodes.size(), form_.linked_nodes.size()) > 1u << 30)
      return too_large("more than 2^30 nodes");
    return {};
  }

  // A leaf above the bottom is below both sides of the nodes that fill its place.
  void put_heap(const ForestTree& tree, std::int32_t at, const TreesTree& out, std::size_t index, int left) {
    const ForestNode& node = tree.nodes[static_cast<std::size_t>(at)];
    if (left == 0) {
      const std::size_t bottom = (std::size_t{1} << out.depth) - 1;
      form_.heap_leaves[out.leaves + index - bottom] = node.value * tree.weight;
      return;
    }
    const bool leaf = node.left < 0;
    if (!leaf) form_.heap_nodes[out.nodes + index] = question(node);
    put_heap(tree, leaf ? at : node.left, out, 2 * index + 1, left - 1);
    put_heap(tree, leaf ? at : node.left + 1, out, 2 * index + 2, left - 1);
  }

  void put_linked(const ForestTree& tree, std::uint32_t root) {
    std::vector<std::pair<std::int32_t, std::uint32_t>> open = {{0, root}};
    grow(root + 1);
    while (!open.empty()) {
      const auto [at, index] = open.back();
      open.pop_back();
      const ForestNode& node = tree.nodes[static_cast<std::size_t>(at)];
      if (node.left < 0) {
        form_.linked_nodes[index] = {.plane = 0, .rank = std::numeric_limits<std::int16_t>::max()};
        form_.linked_left[index] = index;
        form_.linked_leaves[index] = node.value * tree.weight;
        continue;
      }
      const auto left = static_cast<std::uint32_t>(form_.linked_nodes.size());
      grow(left + 2);
      form_.linked_nodes[index] = question(node);
      form_.linked_left[index] = left;
      open.emplace_back(node.left + 1, left + 1);
      open.emplace_back(node.left, left);
    }
  }
  void grow(std::size_t nodes) {
    form_.linked_nodes.resize(nodes);
    form_.linked_left.resize(nodes);
    form_.linked_leaves.resize(nodes);
  }

  const Forest& forest_;
  TreesForm form_;
  std::map<std::uint32_t, std::vector<float>> thresholds_;  // of each feature that is asked for
  std::map<std::uint32_t, std::size_t> column_of_;
  std::map<std::tuple<std::uint32_t, bool, CategorySet>, std::size_t> memberships_;
};

// Memory for a call: on the stack, but for very wide models.
template <class T, std::size_t kOnStack>
class Workspace {
 public:
  explicit Workspace(std::size_t count) {
    if (count > kOnStack) {
      large_.resize(count + 64 / sizeof(T));
      const auto address = reinterpret_cast<std::uintptr_t>(large_.data());
      data_ = large_.data() + (64 - address % 64) % 64 / sizeof(T);
    }
  }
  T* data() { return data_; }

 private:
  alignas(64) T small_[kOnStack];
  std::vector<T> large_;
  T* data_ = small_;
};

// So few rows are done one by one sooner than as a block.
constexpr std::size_t kFew = 10;

}  // namespace

Result<TreesEngine> TreesEngine::build(const Forest& forest) {
  TRY(auto form, FormBuilder(forest).build());
  return TreesEngine(std::move(form));
}

std::uint64_t TreesEngine::memory_bytes() const {
  const auto of = [](const auto& values) { return values.capacity() * sizeof values[0]; };
  std::uint64_t sets = 0;
  for (const auto& membership : form_.memberships) sets += of(membership.set);
  return sets + of(form_.base) + of(form_.columns) + of(form_.memberships) + of(form_.thresholds) + of(form_.pivots) +
         of(form_.trees) + of(form_.heap_nodes) + of(form_.heap_leaves) + of(form_.linked_nodes) +
         of(form_.linked_left) + of(form_.linked_leaves);
}

void TreesEngine::predict(const float* features, std::size_t rows, float* out, const TreesKernels& kernels) const {
  const std::size_t outputs = form_.base.size();
  std::size_t row = 0;
  if (rows > kFew) {
    Workspace<std::int8_t, 32'768> planes(form_.planes * kTreesBlock * (form_.wide ? 2 : 1));
    Workspace<float, 16 * kTreesBlock> sums(outputs * kTreesBlock);
    for (; rows - row > kFew; row += std::min(kTreesBlock, rows - row)) {
      kernels.block(form_, features + row * form_.features, std::min(kTreesBlock, rows - row), planes.data(),
                    sums.data(), out + row * outputs);
    }
  }
  if (row < rows) {
    Workspace<std::int16_t, 4'096> ranks(form_.planes);
    for (; row < rows; ++row) kernels.row(form_, features + row * form_.features, ranks.data(), out + row * outputs);
  }
  finish(out, rows * outputs);
}

// As XGBoost does it, operation by operation, in float: the proof compares bits.
void TreesEngine::finish(float* out, std::size_t count) const {
  switch (form_.transform) {
    case Forest::Transform::none:
      return;
    case Forest::Transform::exp:
      for (std::size_t i = 0; i < count; ++i) out[i] = std::exp(out[i]);
      return;
    case Forest::Transform::sigmoid:
      for (std::size_t i = 0; i < count; ++i) {
        const float denominator = std::exp(std::min(-out[i], 88.7f)) + 1.0f + 1e-16f;
        out[i] = 1.0f / denominator;
      }
      return;
    case Forest::Transform::softmax: {
      const std::size_t width = form_.base.size();
      for (std::size_t row = 0; row + width <= count; row += width) {
        const auto mine = std::span(out + row, width);
        float top = mine[0];
        for (const float margin : mine) top = std::fmax(margin, top);
        double sum = 0;
        for (float& value : mine) {
          value = std::exp(value - top);
          sum += static_cast<double>(value);
        }
        for (float& value : mine) value /= static_cast<float>(sum);
      }
    }
  }
}

}  // namespace millrace::model
