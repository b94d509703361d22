// Ensembles of decision trees without their engine: what XGBoost's file says, in a form of our own. XGBoost stays the
// judge of what is right; trees_proof_internal.hpp compares.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "model/runtime.hpp"

namespace millrace::model {

// A node of a tree. A row goes to `left` when its value is below `value` (or is no member of the set), else to
// `left + 1`; a missing value goes where `missing_right` says.
struct ForestNode {
  std::int32_t left = -1;  // -1: a leaf
  std::int32_t parent = -1;
  std::uint32_t feature = 0;
  std::int32_t set = -1;  // into Forest::sets: the split asks for a category
  float value = 0;        // the threshold; of a leaf, what it adds
  bool missing_right = false;
};

struct ForestTree {
  std::vector<ForestNode> nodes;  // the root first; some may be reached from nowhere (XGBoost prunes so)
  std::uint32_t output = 0;
  float weight = 1;  // what DART makes of it
};

// Categories of a split that go right, as bits; what lies beyond goes left.
using CategorySet = std::vector<std::uint32_t>;

struct Forest {
  enum class Transform { none, exp, sigmoid, softmax };

  std::uint32_t features = 0;
  std::string objective;
  std::vector<float> base;                // one per output: the margin that the trees are added to, in their order
  Transform transform = Transform::none;  // of the margin, for OutputKind::value
  std::vector<ForestTree> trees;
  std::vector<CategorySet> sets;
};

// Reads a model that XGBoost saved as UBJSON. The trees are trees: children and parents agree, features are below
// `features`, thresholds are numbers, every leaf and weight too. unimplemented `model.no_flat_trees` with the reason
// for anything that this form does not know, damaged files included. Memory: at most a small multiple of the file.
Result<Forest> read_forest(std::string_view ubj);

// What XGBoost's prediction (not its margin) is for this objective. nullopt: nothing that this form knows.
std::optional<Forest::Transform> value_transform(std::string_view objective);

}  // namespace millrace::model
