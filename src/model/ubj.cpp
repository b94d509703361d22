#include "model/ubj_internal.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/ubj_reader_internal.hpp"

namespace millrace::model {
namespace {

constexpr int kDepthMax = 64;
constexpr std::int32_t kNoChild = -1;
constexpr std::int32_t kNoParent = 2'147'483'647;  // of the root

using Numbers = std::optional<std::vector<std::int32_t>>;

struct Tree {
  Numbers left, right, parents, features;
  Numbers* find(std::string_view key) {
    if (key == "left_children") return &left;
    if (key == "right_children") return &right;
    if (key == "parents") return &parents;
    if (key == "split_indices") return &features;
    return nullptr;
  }
};

// Children name their parents and parents their children, so a walk from the root comes to each node once and ends.
bool is_tree(const Tree& tree, std::size_t features) {
  if (!tree.left) return true;  // some other object
  if (!tree.right || !tree.parents || !tree.features) return false;
  const std::size_t nodes = tree.left->size();
  if (nodes == 0 || tree.right->size() != nodes || tree.parents->size() != nodes || tree.features->size() != nodes)
    return false;
  if ((*tree.parents)[0] != kNoParent) return false;
  const auto is_child = [&](std::int32_t child, std::size_t of) {
    return child > 0 && static_cast<std::size_t>(child) < nodes &&
           (*tree.parents)[static_cast<std::size_t>(child)] == static_cast<std::int32_t>(of);
  };
  for (std::size_t i = 0; i < nodes; ++i) {
    const std::int32_t left = (*tree.left)[i], right = (*tree.right)[i], parent = (*tree.parents)[i],
                       feature = (*tree.features)[i];
    if (parent != kNoParent && (parent < 0 || static_cast<std::size_t>(parent) >= nodes)) return false;
    if (left == kNoChild && right == kNoChild) continue;
    if (left == right || !is_child(left, i) || !is_child(right, i)) return false;
    if (feature < 0 || static_cast<std::size_t>(feature) >= features) return false;
  }
  return true;
}

// The whole document, each object looked at as a tree.
class Walk {
 public:
  Walk(std::string_view file, std::size_t features) : reader_(file), features_(features) {}

  bool document() { return value(0) && reader_.at_end(); }
  std::size_t at() const { return reader_.at(); }

 private:
  bool value(int depth) {
    if (depth > kDepthMax) return false;
    if (reader_.peek() == '{') return object(depth);
    if (reader_.starts("[") && !reader_.starts("[$")) return reader_.array([&] { return value(depth + 1); });
    return reader_.skip_value();
  }

  bool object(int depth) {
    Tree tree;
    const bool whole = reader_.object([&](std::string_view key) {
      Numbers* nodes = tree.find(key);
      return nodes ? numbers(*nodes) : value(depth + 1);
    });
    return whole && is_tree(tree, features_);
  }

  // XGBoost reads these as 32-bit integers and as nothing else.
  bool numbers(Numbers& out) { return reader_.starts("[$l#") && reader_.numbers(out.emplace()); }

  UbjReader reader_;
  std::size_t features_;
};

}  // namespace

std::uint64_t UbjReader::width(char type) {
  switch (type) {
    case 'i':
    case 'U':
    case 'C':
      return 1;
    case 'I':
      return 2;
    case 'l':
    case 'd':
      return 4;
    case 'L':
    case 'D':
      return 8;
    default:
      return 0;
  }
}

std::optional<std::uint64_t> UbjReader::length() {
  const char type = marker();
  if (type != 'i' && type != 'U' && type != 'I' && type != 'l' && type != 'L') return std::nullopt;
  const std::uint64_t bytes = width(type);
  if (bytes > left()) return std::nullopt;
  const std::uint64_t out = big_endian(bytes);
  const bool negative = type != 'U' && (out >> (8 * bytes - 1) & 1) != 0;
  if (negative || out > left()) return std::nullopt;
  return out;
}

bool UbjReader::text(std::string_view* out) {
  const auto bytes = length();
  if (!bytes || !skip(*bytes)) return false;
  if (out) *out = file_.substr(at_ - *bytes, *bytes);
  return true;
}

bool UbjReader::skip_value(int depth) {
  if (depth > kDepthMax) return false;
  if (peek() == '{') return object([&](std::string_view) { return skip_value(depth + 1); });
  if (starts("[$")) {
    at_ += 2;
    const std::uint64_t bytes = width(marker());
    if (bytes == 0 || marker() != '#') return false;
    const auto count = length();
    return count && *count <= left() / bytes && skip(*count * bytes);
  }
  if (peek() == '[') return array([&] { return skip_value(depth + 1); });
  const char type = marker();
  if (type == 'Z' || type == 'T' || type == 'F') return true;
  if (type == 'S') return text();
  const std::uint64_t bytes = width(type);
  return bytes != 0 && skip(bytes);
}

Result<void> check_ubj(std::string_view file, std::size_t features) {
  Walk walk(file, features);
  if (walk.document()) return {};
  return fail(Code::data_loss, "model.bad_ubj",
              "it is no whole UBJSON file of trees (at byte " + std::to_string(walk.at()) + " of " +
                  std::to_string(file.size()) + ")");
}

}  // namespace millrace::model
