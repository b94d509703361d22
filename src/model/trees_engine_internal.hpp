// Evaluates a Forest. Two ideas make it fast and bit-equal to XGBoost:
// - Only comparisons with thresholds ask for a value, so a value may be replaced by its rank among the thresholds that
//   the forest has for its feature: a small integer. A missing value becomes the lowest or the highest rank, by the
//   side that the split sends it to; membership in a set of categories is a rank of 0 or 1. Then each split is one
//   comparison of integers: rank > node's rank goes right.
// - Leaves are added in the order of the trees, in float, to the base score, as XGBoost does it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "model/trees_internal.hpp"

namespace millrace::model {

// A distinct question of the splits: a feature's rank with missing values on one side, or membership in a set. A row's
// answers are its ranks, signed and shifted so that they fill the type: bytes while every feature has at most 255
// thresholds, else 16 bits.
struct TreesColumn {
  std::uint32_t feature = 0;
  std::uint32_t thresholds = 0, groups = 0;  // first of TreesEngine::thresholds_, how many groups of 16
  std::uint32_t pivots = 0;                  // first of TreesEngine::pivots_: the last threshold of each group
  std::int32_t plane[2] = {-1, -1};          // where its rank goes: missing values lowest, highest
};
struct TreesMembership {
  std::uint32_t feature = 0;
  std::uint32_t plane = 0;
  bool missing_right = false;
  CategorySet set;
};

// Children of node i are 2i+1 and 2i+2 in a full tree (a heap); in a linked one they are side by side elsewhere.
struct TreesNode {
  std::uint16_t plane = 0;
  std::int16_t rank = 0;
};

struct TreesTree {
  std::uint32_t nodes = 0;   // its first, of heap_nodes or of linked_nodes
  std::uint32_t leaves = 0;  // its first leaf of a heap, left to right
  std::uint32_t output = 0;
  std::uint16_t depth = 0;  // steps to the deepest leaf
  bool heap = false;
};

// What TreesEngine::build makes and the kernels read.
struct TreesForm {
  std::size_t features = 0;
  bool wide = false;  // 16-bit ranks
  Forest::Transform transform = Forest::Transform::none;
  std::vector<float> base;
  std::size_t planes = 0;
  std::vector<TreesColumn> columns;
  std::vector<TreesMembership> memberships;
  std::vector<float> thresholds, pivots;  // ascending within a column, padded with NaN to groups of 16
  std::vector<TreesTree> trees;
  std::vector<TreesNode> heap_nodes;
  std::vector<float> heap_leaves;
  std::vector<TreesNode> linked_nodes;     // of a leaf: never right
  std::vector<std::uint32_t> linked_left;  // of a leaf: itself
  std::vector<float> linked_leaves;
};

// One machine's way to do it, chosen once. `planes` is scratch for planes x kTreesBlock ranks of the form's width,
// `sums` for outputs x kTreesBlock floats, both aligned to 64 bytes.
inline constexpr std::size_t kTreesBlock = 64;
struct TreesKernels {
  const char* name;
  void (*row)(const TreesForm& form, const float* features, std::int16_t* ranks, float* out);
  // Up to kTreesBlock rows.
  void (*block)(const TreesForm& form, const float* features, std::size_t rows, void* planes, float* sums, float* out);
};
// What this processor has, the best first, what every processor has last.
std::span<const TreesKernels> trees_kernels_here();
const TreesKernels& trees_kernels();  // the best

class TreesEngine {
 public:
  // unimplemented `model.no_flat_trees` for more than 65,535 thresholds of one feature, or 65,536 questions.
  static Result<TreesEngine> build(const Forest& forest);

  // rows x features floats, NaN missing, to rows x outputs; `out` has room. Any number of threads may call. Allocates
  // for very wide models only.
  void predict(const float* features, std::size_t rows, float* out,
               const TreesKernels& kernels = trees_kernels()) const;

  // What build() made, written and read by flat.cpp.
  const TreesForm& form() const { return form_; }
  static TreesEngine of_form(TreesForm form) { return TreesEngine(std::move(form)); }

  std::uint64_t memory_bytes() const;
  std::size_t features() const { return form_.features; }
  std::size_t outputs() const { return form_.base.size(); }

 private:
  explicit TreesEngine(TreesForm form) : form_(std::move(form)) {}
  void finish(float* out, std::size_t count) const;

  TreesForm form_;
};

}  // namespace millrace::model
