#include "model/ubj_internal.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

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

class Walk {
 public:
  Walk(std::string_view file, std::size_t features) : file_(file), features_(features) {}

  bool document() { return value(marker(), 0) && at_ == file_.size(); }
  std::size_t at() const { return at_; }

 private:
  char marker() { return at_ < file_.size() ? file_[at_++] : '\0'; }
  char peek() const { return at_ < file_.size() ? file_[at_] : '\0'; }

  bool skip(std::uint64_t bytes) {
    if (bytes > file_.size() - at_) return false;
    at_ += bytes;
    return true;
  }

  // Bytes of a number of this type; 0 for anything else.
  static std::uint64_t width(char type) {
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

  // A count or length: an integer with its type before it, big endian, not negative.
  std::optional<std::uint64_t> length() {
    const char type = marker();
    if (type != 'i' && type != 'U' && type != 'I' && type != 'l' && type != 'L') return std::nullopt;
    const std::uint64_t bytes = width(type);
    if (bytes > file_.size() - at_) return std::nullopt;
    std::uint64_t out = 0;
    for (std::uint64_t i = 0; i < bytes; ++i) out = out << 8 | static_cast<unsigned char>(file_[at_++]);
    const bool negative = type != 'U' && (out >> (8 * bytes - 1) & 1) != 0;
    // No length can be longer than what is left, and one byte at least stands for each item.
    if (negative || out > file_.size() - at_) return std::nullopt;
    return out;
  }

  bool text(std::string_view* out = nullptr) {
    const auto bytes = length();
    if (!bytes || !skip(*bytes)) return false;
    if (out) *out = file_.substr(at_ - *bytes, *bytes);
    return true;
  }

  // "[$l#" count, 32-bit integers, big endian.
  bool numbers(Numbers& out) {
    if (marker() != '[' || marker() != '$' || marker() != 'l' || marker() != '#') return false;
    const auto count = length();
    if (!count || *count > (file_.size() - at_) / 4) return false;
    out.emplace();
    for (std::uint64_t i = 0; i < *count; ++i) {
      std::uint32_t bits = 0;
      for (int k = 0; k < 4; ++k) bits = bits << 8 | static_cast<unsigned char>(file_[at_++]);
      out->push_back(static_cast<std::int32_t>(bits));
    }
    return true;
  }

  bool value(char type, int depth) {
    if (depth > kDepthMax) return false;
    switch (type) {
      case 'Z':
      case 'T':
      case 'F':
        return true;
      case 'S':
        return text();
      case '{':
        return object(depth);
      case '[':
        return array(depth);
      default: {
        const std::uint64_t bytes = width(type);
        return bytes != 0 && skip(bytes);
      }
    }
  }

  bool object(int depth) {
    if (peek() == '$') return false;  // XGBoost writes no objects of one type
    std::optional<std::uint64_t> count;
    if (peek() == '#') {
      ++at_;
      if (!(count = length())) return false;
    }
    Tree tree;
    for (std::uint64_t i = 0; !count || i < *count; ++i) {
      if (!count && peek() == '}') {
        ++at_;
        break;
      }
      std::string_view key;
      if (!text(&key)) return false;
      Numbers* nodes = tree.find(key);
      if (nodes ? !numbers(*nodes) : !value(marker(), depth + 1)) return false;
    }
    return is_tree(tree, features_);
  }

  bool array(int depth) {
    if (peek() == '$') {
      ++at_;
      const std::uint64_t bytes = width(marker());
      if (bytes == 0 || marker() != '#') return false;
      const auto count = length();
      return count && *count <= (file_.size() - at_) / bytes && skip(*count * bytes);
    }
    std::optional<std::uint64_t> count;
    if (peek() == '#') {
      ++at_;
      if (!(count = length())) return false;
    }
    for (std::uint64_t i = 0; !count || i < *count; ++i) {
      if (!count && peek() == ']') {
        ++at_;
        return true;
      }
      if (!value(marker(), depth + 1)) return false;
    }
    return true;
  }

  std::string_view file_;
  std::size_t features_;
  std::size_t at_ = 0;
};

}  // namespace

Result<void> check_ubj(std::string_view file, std::size_t features) {
  Walk walk(file, features);
  if (walk.document()) return {};
  return fail(Code::data_loss, "model.bad_ubj",
              "it is no whole UBJSON file of trees (at byte " + std::to_string(walk.at()) + " of " +
                  std::to_string(file.size()) + ")");
}

}  // namespace millrace::model
