#include <algorithm>
#include <cstring>
#include <span>
#include <type_traits>

#include "model/flat_internal.hpp"

namespace millrace::model {

namespace {

class FlatWriter {
 public:
  template <class T>
    requires std::is_trivially_copyable_v<T>
  void one(const T& value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  template <class T>
  void many(const T& values) {
    one(static_cast<std::uint64_t>(values.size()));
    out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof values[0]);
  }
  std::string out;
};

class FlatReader {
 public:
  explicit FlatReader(std::string_view text) : left_(text) {}

  template <class T>
    requires std::is_trivially_copyable_v<T>
  bool one(T& value) {
    if (left_.size() < sizeof value) return false;
    std::memcpy(&value, left_.data(), sizeof value);
    left_.remove_prefix(sizeof value);
    return true;
  }
  template <class T>
  bool many(T& values) {
    std::uint64_t count = 0;
    if (!one(count) || count > left_.size() / sizeof values[0]) return false;
    values.resize(count);
    if (count > 0) std::memcpy(values.data(), left_.data(), count * sizeof values[0]);
    left_.remove_prefix(count * sizeof values[0]);
    return true;
  }
  bool at_end() const { return left_.empty(); }

 private:
  std::string_view left_;
};

// What the kernels follow without asking.
bool leads_nowhere_else(const TreesForm& form) {
  constexpr std::size_t kGroup = 16;
  const auto plane_ok = [&](std::int64_t plane) { return plane < static_cast<std::int64_t>(form.planes); };
  for (const auto& column : form.columns) {
    const auto pivots = (column.groups + kGroup - 1) / kGroup * kGroup;
    if (column.feature >= form.features || column.thresholds + column.groups * kGroup > form.thresholds.size() ||
        column.pivots + pivots > form.pivots.size() || !plane_ok(column.plane[0]) || !plane_ok(column.plane[1]))
      return false;
  }
  for (const auto& membership : form.memberships) {
    if (membership.feature >= form.features || !plane_ok(membership.plane)) return false;
  }
  const auto planes_ok = [&](const auto& nodes) {
    return std::ranges::all_of(nodes, [&](const TreesNode& node) { return node.plane == 0 || plane_ok(node.plane); });
  };
  if (!planes_ok(form.heap_nodes) || !planes_ok(form.linked_nodes)) return false;
  if (form.linked_left.size() != form.linked_nodes.size() || form.linked_leaves.size() != form.linked_nodes.size())
    return false;
  for (std::size_t i = 0; i < form.linked_left.size(); ++i) {
    const std::size_t left = form.linked_left[i];
    if (left != i && left + 1 >= form.linked_left.size()) return false;
  }
  return std::ranges::all_of(form.trees, [&](const TreesTree& tree) {
    if (tree.output >= form.base.size()) return false;
    if (!tree.heap) return tree.nodes < form.linked_nodes.size();
    if (tree.depth > 8) return false;
    const std::size_t leaves = std::size_t{1} << tree.depth;
    return tree.nodes + leaves - 1 <= form.heap_nodes.size() && tree.leaves + leaves <= form.heap_leaves.size();
  });
}

}  // namespace

std::string write_flat(const FlatTrees& trees) {
  FlatWriter writer;
  const TreesForm& form = trees.form;
  writer.one(trees.kind);
  writer.many(trees.version);
  writer.many(trees.build);
  writer.one(static_cast<std::uint64_t>(form.features));
  writer.one(form.wide);
  writer.one(form.transform);
  writer.many(form.base);
  writer.one(static_cast<std::uint64_t>(form.planes));
  writer.many(form.columns);
  writer.one(static_cast<std::uint64_t>(form.memberships.size()));
  for (const auto& membership : form.memberships) {
    writer.one(membership.feature);
    writer.one(membership.plane);
    writer.one(membership.missing_right);
    writer.many(membership.set);
  }
  writer.many(form.thresholds);
  writer.many(form.pivots);
  writer.many(form.trees);
  writer.many(form.heap_nodes);
  writer.many(form.heap_leaves);
  writer.many(form.linked_nodes);
  writer.many(form.linked_left);
  writer.many(form.linked_leaves);
  return std::move(writer.out);
}

std::optional<FlatTrees> read_flat(std::string_view text) {
  FlatReader reader(text);
  FlatTrees trees;
  TreesForm& form = trees.form;
  std::uint64_t features = 0, planes = 0, memberships = 0;
  if (!reader.one(trees.kind) || !reader.many(trees.version) || !reader.many(trees.build) || !reader.one(features) ||
      !reader.one(form.wide) || !reader.one(form.transform) || !reader.many(form.base) || !reader.one(planes) ||
      !reader.many(form.columns) || !reader.one(memberships))
    return std::nullopt;
  form.features = features;
  form.planes = planes;
  for (std::uint64_t i = 0; i < memberships; ++i) {
    auto& membership = form.memberships.emplace_back();
    if (!reader.one(membership.feature) || !reader.one(membership.plane) || !reader.one(membership.missing_right) ||
        !reader.many(membership.set))
      return std::nullopt;
  }
  if (!reader.many(form.thresholds) || !reader.many(form.pivots) || !reader.many(form.trees) ||
      !reader.many(form.heap_nodes) || !reader.many(form.heap_leaves) || !reader.many(form.linked_nodes) ||
      !reader.many(form.linked_left) || !reader.many(form.linked_leaves) || !reader.at_end())
    return std::nullopt;
  if (form.base.empty() || !leads_nowhere_else(form)) return std::nullopt;
  return trees;
}

}  // namespace millrace::model
