// Our own evaluation of trees against XGBoost's, bit by bit, for models of every shape that XGBoost trains; and what is
// refused instead.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <thread>

#include "base/log.hpp"
#include "base/rng.hpp"
#include "model/artifact.hpp"
#include "model/testing/models.hpp"
#include "model/testing/shapes.hpp"
#include "model/trees_proof_internal.hpp"
#include "model/xgboost_library.hpp"

namespace millrace::model {
namespace {

using testing::manifest_of;
using testing::Shape;
using testing::shapes;
using testing::train;

std::unique_ptr<Runtime> open(const Shape& shape, std::string_view ubj, const RuntimeOptions& options = {}) {
  auto runtime = open_runtime(manifest_of(shape), ubj, options);
  EXPECT_TRUE(runtime) << runtime.error().message;
  return runtime ? std::move(*runtime) : nullptr;
}

// How many outputs differ in a bit.
std::size_t differences(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return std::max(a.size(), b.size());
  std::size_t out = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    out += std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i]) ? 1 : 0;
  return out;
}

class RememberingLog final : public Log {
 public:
  void write(Level level, std::string_view event, std::initializer_list<LogField> fields) override {
    std::string line = std::to_string(static_cast<int>(level)) + " " + std::string(event);
    for (const auto& field : fields)
      if (const auto* text = std::get_if<std::string>(&field.value))
        line += " " + std::string(field.name) + "=" + *text;
    lines.push_back(line);
  }
  std::vector<std::string> lines;
};

TEST(Trees, EveryShapeIsServedByOurOwnAndBitEqualToXgboost) {
  std::size_t rows_compared = 0;
  for (const Shape& shape : shapes()) {
    SCOPED_TRACE(shape.name);
    auto ubj = train(shape);
    ASSERT_TRUE(ubj) << ubj.error().message;
    RememberingLog log;
    const auto ours = open(shape, *ubj, {.log = &log}), xgboost = open(shape, *ubj, {.own_trees = false});
    ASSERT_TRUE(ours && xgboost);
    ASSERT_TRUE(ours->own_trees()) << (log.lines.empty() ? "" : log.lines[0]);
    ASSERT_FALSE(xgboost->own_trees());
    EXPECT_EQ(xgboost->kind(), ours->kind());
    auto forest = read_forest(*ubj);
    ASSERT_TRUE(forest) << forest.error().message;
    const auto trees = TreesEngine::build(*forest);
    ASSERT_TRUE(trees);
    const std::size_t count = shape.features > 100 ? 1'000 : 3'200;
    std::vector<float> expected, got;
    const auto features = proof_rows(*forest, count, 7);
    ASSERT_TRUE(xgboost->predict(features, count, expected));
    ASSERT_TRUE(ours->predict(features, count, got));
    EXPECT_EQ(0u, differences(expected, got)) << "as a runtime";
    for (const auto& kernels : trees_kernels_here()) {
      SCOPED_TRACE(kernels.name);
      trees->predict(features.data(), count, got.data(), kernels);
      EXPECT_EQ(0u, differences(expected, got)) << "in blocks";
      for (std::size_t i = 0; i < count; i += &kernels == &trees_kernels() ? 1 : 5)
        trees->predict(features.data() + i * shape.features, 1, got.data() + i * trees->outputs(), kernels);
      EXPECT_EQ(0u, differences(expected, got)) << "row by row";
    }
    rows_compared += count;
  }
  EXPECT_GE(rows_compared, 100'000u);
}

TEST(Trees, HowRowsAreGroupedChangesNothing) {
  for (const char* name : {"multiclass", "leaf-wise", "more than 255 thresholds", "categories"}) {
    const auto& shape =
        *std::ranges::find(shapes(), std::string_view(name), [](const Shape& s) { return std::string_view(s.name); });
    SCOPED_TRACE(name);
    auto ubj = train(shape, 5);
    ASSERT_TRUE(ubj);
    auto forest = read_forest(*ubj);
    ASSERT_TRUE(forest);
    const auto trees = TreesEngine::build(*forest);
    ASSERT_TRUE(trees);
    const std::size_t count = 200, outputs = trees->outputs();
    const auto features = proof_rows(*forest, count, 3);
    std::vector<float> all(count * outputs);
    trees->predict(features.data(), count, all.data());
    for (std::size_t size = 1; size < 140; ++size) {
      std::vector<float> part((size + 1) * outputs, 12345.0f);
      trees->predict(features.data() + (count - size) * shape.features, size, part.data());
      EXPECT_TRUE(std::equal(part.begin(), part.end() - static_cast<std::ptrdiff_t>(outputs),
                             all.end() - static_cast<std::ptrdiff_t>(size * outputs)))
          << size;
      EXPECT_EQ(12345.0f, part.back()) << "written past the end";
    }
  }
}

TEST(Trees, ManyThreadsShareOneRuntime) {
  const Shape& shape = shapes()[8];
  auto ubj = train(shape);
  ASSERT_TRUE(ubj);
  const auto runtime = open(shape, *ubj, {.explains = false});
  const auto features = proof_rows(*read_forest(*ubj), 500, 11);
  std::vector<float> expected;
  ASSERT_TRUE(runtime->predict(features, 500, expected));
  std::vector<std::thread> threads;
  std::atomic<std::size_t> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      std::vector<float> out;
      for (int i = 0; i < 50; ++i) {
        wrong += !runtime->predict(features, 500, out) || differences(expected, out) > 0;
        wrong += !runtime->predict(std::span(features).first(shape.features), 1, out) || out[0] != expected[0];
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(0u, wrong.load());
}

TEST(Trees, APlantedWrongSplitIsFoundAndXgboostServes) {
  for (const char* name : {"regression", "multiclass", "depth 8", "leaf-wise, many leaves", "categories", "dart"}) {
    Shape shape =
        *std::ranges::find(shapes(), std::string_view(name), [](const Shape& s) { return std::string_view(s.name); });
    shape.rounds = std::string_view(name) == "leaf-wise, many leaves" ? 2 : 8;  // the proof comes to every split
    auto ubj = train(shape);
    ASSERT_TRUE(ubj);
    const auto forest = read_forest(*ubj);
    ASSERT_TRUE(forest);
    // The largest tree, and of it: a split at the bottom, and a leaf.
    const auto tree = static_cast<std::size_t>(
        std::ranges::max_element(forest->trees, {}, [](const ForestTree& t) { return t.nodes.size(); }) -
        forest->trees.begin());
    const auto& nodes = forest->trees[tree].nodes;
    std::size_t split = 0, missing = 0, leaf = 0;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      bool first = nodes[i].left >= 0;  // nothing above asks for the same feature, so that a missing value comes to it
      for (std::int32_t up = nodes[i].parent; up >= 0; up = nodes[static_cast<std::size_t>(up)].parent)
        first = first && nodes[static_cast<std::size_t>(up)].feature != nodes[i].feature;
      if (first) missing = i;
      if (nodes[i].left >= 0 && nodes[i].set < 0) split = i;
      if (nodes[i].left < 0) leaf = i;
    }
    const auto planted = [&](const char* what, auto&& change) {
      SCOPED_TRACE(std::string(name) + ": " + what);
      Forest wrong = *forest;
      change(wrong);
      RememberingLog log;
      const auto served =
          with_own_trees(open(shape, *ubj, {.own_trees = false}), wrong, {.log = &log, .name = "planted"});
      ASSERT_TRUE(served);
      EXPECT_FALSE(served->own_trees());
      ASSERT_EQ(1u, log.lines.size());
      EXPECT_TRUE(log.lines[0].starts_with("2 model_trees_refused model=planted reason=model.trees_differ"))
          << log.lines[0];
      std::vector<float> expected, got;
      const auto features = proof_rows(*forest, 100, 1);
      ASSERT_TRUE(open(shape, *ubj, {.own_trees = false})->predict(features, 100, expected));
      ASSERT_TRUE(served->predict(features, 100, got));
      EXPECT_EQ(0u, differences(expected, got));
    };
    planted("a threshold by one bit", [&](Forest& f) {
      auto& value = f.trees[tree].nodes[split].value;
      value = std::nextafter(value, std::numeric_limits<float>::infinity());
    });
    planted("the side of missing values", [&](Forest& f) {
      auto& node = f.trees[tree].nodes[missing];
      node.missing_right = !node.missing_right;
    });
    planted("a leaf", [&](Forest& f) { f.trees[tree].nodes[leaf].value += 0.25f; });
    planted("the base score", [&](Forest& f) { f.base.back() = std::nextafter(f.base.back(), 100.0f); });
    planted("an output too many", [&](Forest& f) { f.base.push_back(0); });
    if (!forest->sets.empty()) {
      planted("a set of categories", [&](Forest& f) {
        for (auto& word : f.sets[0]) word = ~word;
      });
    }
  }
}

TEST(Trees, ExplanationsAreXgboostsOrNotKept) {
  const Shape& shape = shapes()[5];
  auto ubj = train(shape);
  ASSERT_TRUE(ubj);
  const auto whole = open(shape, *ubj), bare = open(shape, *ubj, {.explains = false});
  std::vector<float> features;
  for (std::size_t i = 0; i < 5 * shape.features; ++i) features.push_back(static_cast<float>(i % 7) - 3);
  std::vector<float> a;
  EXPECT_TRUE(whole->explains());
  EXPECT_TRUE(whole->contributions(features, 5, a));
  EXPECT_FALSE(bare->explains());
  const auto refused = bare->contributions(features, 5, a);
  ASSERT_FALSE(refused);
  EXPECT_EQ("model.no_contributions", refused.error().reason);
}

TEST(Trees, ModelsAsJsonAreServedToo) {
  const Shape& shape = shapes()[8];
  auto ubj = train(shape);
  ASSERT_TRUE(ubj);
  auto library = XgboostLibrary::open("");
  ASSERT_TRUE(library);
  auto booster = Booster::create(*library, {});
  ASSERT_TRUE(booster);
  ASSERT_EQ(0, (*library)->XGBoosterLoadModelFromBuffer(booster->get(), ubj->data(), ubj->size()));
  auto json = booster->save("json");
  ASSERT_TRUE(json);
  const auto a = open(shape, *ubj), b = open(shape, *json);
  EXPECT_TRUE(b->own_trees());
  const auto features = proof_rows(*read_forest(*ubj), 300, 9);
  std::vector<float> x, y;
  ASSERT_TRUE(a->predict(features, 300, x));
  ASSERT_TRUE(b->predict(features, 300, y));
  EXPECT_EQ(0u, differences(x, y));
}

// What somebody may have made of a file: refused, or read as a forest whose every index is in range.
TEST(Trees, DamagedFilesDoNoHarm) {
  for (const char* name : {"multiclass", "categories", "dart", "leaf-wise"}) {
    Shape shape =
        *std::ranges::find(shapes(), std::string_view(name), [](const Shape& s) { return std::string_view(s.name); });
    shape.rounds = 3;
    shape.rows = 300;
    auto ubj = train(shape);
    ASSERT_TRUE(ubj);
    for (std::size_t cut = 0; cut < ubj->size(); cut += 29)
      EXPECT_FALSE(read_forest(std::string_view(*ubj).substr(0, cut)));
    SeededRng rng(17);
    std::size_t read = 0;
    for (int i = 0; i < 4'000; ++i) {
      std::string changed = *ubj;
      for (std::uint64_t k = 0; k <= rng.below(3); ++k) {
        static constexpr char kBytes[] = {'\0', '\1', '\x7f', '\x80', '\xff', '[', '{',
                                          '}',  '$',  '#',    'L',    'l',    'd', 'S'};
        const auto at = rng.below(changed.size());
        changed[at] = rng.below(2) == 0 ? kBytes[rng.below(sizeof kBytes)] : static_cast<char>(rng.next());
      }
      const auto forest = read_forest(changed);
      if (!forest) continue;
      const auto trees = TreesEngine::build(*forest);
      if (!trees || trees->features() > 100 || trees->outputs() > 100) continue;
      ++read;
      const auto features = proof_rows(*forest, 12, 1);
      std::vector<float> out(12 * trees->outputs());
      trees->predict(features.data(), 12, out.data());
    }
    EXPECT_GT(read, 200u) << "mostly leaves and thresholds were changed";
  }
}

// Three nodes, a root and two leaves; then one thing wrong at a time.
TEST(Trees, HostileDocumentsAreRefused) {
  struct Document {
    std::vector<std::int32_t> left = {1, -1, -1}, right = {2, -1, -1}, parents = {2'147'483'647, 0, 0},
                              features = {0, 0, 0};
    std::vector<float> conditions = {0.5f, 1, 2};
    std::string kinds = std::string(3, '\0'), default_left = std::string(3, '\1');
    std::vector<std::int32_t> categories, category_nodes;
    std::vector<std::int64_t> segments, sizes;
    std::string base = "[5E-1]", objective = "reg:squarederror", num_class = "0", num_feature = "2", booster = "gbtree";
    std::vector<std::int32_t> info = {0};
    std::vector<float> weights;
    std::string extra;
  };
  const auto big = [](std::uint64_t value, int bytes) {
    std::string out;
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xFF);
    return out;
  };
  const auto key = [](const std::string& name) { return "i" + std::string(1, static_cast<char>(name.size())) + name; };
  const auto word = [&](const std::string& name, const std::string& value) {
    return key(name) + "Si" + std::string(1, static_cast<char>(value.size())) + value;
  };
  const auto array = [&](const std::string& name, char type, const auto& values, int bytes) {
    std::string out = key(name) + "[$" + type + "#L" + big(values.size(), 8);
    for (const auto value : values) {
      if constexpr (std::is_same_v<std::decay_t<decltype(value)>, float>) {
        out += big(std::bit_cast<std::uint32_t>(value), 4);
      } else {
        out += big(static_cast<std::uint64_t>(value), bytes);
      }
    }
    return out;
  };
  const auto render = [&](const Document& d) {
    const std::string tree = "{" + array("left_children", 'l', d.left, 4) + array("right_children", 'l', d.right, 4) +
                             array("parents", 'l', d.parents, 4) + array("split_indices", 'l', d.features, 4) +
                             array("split_conditions", 'd', d.conditions, 4) + array("split_type", 'U', d.kinds, 1) +
                             array("default_left", 'U', d.default_left, 1) + array("categories", 'l', d.categories, 4) +
                             array("categories_nodes", 'l', d.category_nodes, 4) +
                             array("categories_segments", 'L', d.segments, 8) +
                             array("categories_sizes", 'L', d.sizes, 8) + "}";
    const std::string model =
        "{" + key("trees") + "[" + tree + "]" + array("tree_info", 'l', d.info, 4) + d.extra + "}";
    return "{" + key("learner") + "{" + key("gradient_booster") + "{" + key("model") + model + word("name", d.booster) +
           (d.weights.empty() ? "" : array("weight_drop", 'd', d.weights, 4)) + "}" + key("learner_model_param") + "{" +
           word("base_score", d.base) + word("num_class", d.num_class) + word("num_feature", d.num_feature) + "}" +
           key("objective") + "{" + word("name", d.objective) + "}}}";
  };
  ASSERT_TRUE(read_forest(render({}))) << read_forest(render({})).error().message;
  const auto refused = [&](const char* what, auto&& change) {
    Document document;
    change(document);
    const auto forest = read_forest(render(document));
    ASSERT_FALSE(forest) << what;
    EXPECT_EQ("model.no_flat_trees", forest.error().reason) << what;
  };
  using D = Document;
  refused("a child beyond the end", [](D& d) { d.left[0] = 2, d.right[0] = 3; });
  refused("a child far beyond", [](D& d) { d.left[0] = 2'147'483'646, d.right[0] = 2'147'483'647; });
  refused("a negative child", [](D& d) { d.left[0] = -7, d.right[0] = -6; });
  refused("one child", [](D& d) { d.right[0] = -1; });
  refused("children far apart", [](D& d) { d.left[0] = 2, d.right[0] = 1; });
  refused("the root below itself", [](D& d) { d.left[0] = 0, d.right[0] = 1, d.parents[0] = 0; });
  refused("a cycle", [](D& d) { d.left[1] = 1, d.right[1] = 2; });
  refused("a child of two", [](D& d) { d.left[1] = 1, d.right[1] = 2, d.parents[1] = 1; });
  refused("a feature beyond", [](D& d) { d.features[0] = 2; });
  refused("a negative feature", [](D& d) { d.features[0] = -1; });
  refused("arrays of other lengths", [](D& d) { d.conditions.pop_back(); });
  refused("no nodes", [](D& d) {
    d = {.left = {}, .right = {}, .parents = {}, .features = {}, .conditions = {}, .kinds = {}, .default_left = {}};
  });
  refused("a threshold that is no number", [](D& d) { d.conditions[0] = std::numeric_limits<float>::quiet_NaN(); });
  refused("a leaf that is no number", [](D& d) { d.conditions[1] = std::numeric_limits<float>::infinity(); });
  refused("an unknown kind of split", [](D& d) { d.kinds[0] = 2; });
  refused("a set that is missing", [](D& d) { d.kinds[0] = 1; });
  refused("a set for a number",
          [](D& d) { d.category_nodes = {0}, d.segments = {0}, d.sizes = {1}, d.categories = {0}; });
  refused("a set of a node beyond",
          [](D& d) { d.category_nodes = {9}, d.segments = {0}, d.sizes = {1}, d.categories = {0}; });
  refused("a set beyond the end",
          [](D& d) { d.kinds[0] = 1, d.category_nodes = {0}, d.segments = {0}, d.sizes = {9}, d.categories = {0}; });
  refused("a set that wraps around", [](D& d) {
    d.kinds[0] = 1, d.category_nodes = {0}, d.segments = {std::numeric_limits<std::int64_t>::max()},
    d.sizes = {std::numeric_limits<std::int64_t>::max()}, d.categories = {0};
  });
  refused("a negative category",
          [](D& d) { d.kinds[0] = 1, d.category_nodes = {0}, d.segments = {0}, d.sizes = {1}, d.categories = {-1}; });
  refused("a huge category", [](D& d) {
    d.kinds[0] = 1, d.category_nodes = {0}, d.segments = {0}, d.sizes = {1}, d.categories = {2'147'483'647};
  });
  refused("an output beyond", [](D& d) { d.info = {1}; });
  refused("a negative output", [](D& d) { d.info = {-1}; });
  refused("outputs for other trees", [](D& d) { d.info = {0, 0}; });
  refused("weights for other trees", [](D& d) { d.weights = {1, 1}; });
  refused("a weight that is no number", [](D& d) { d.weights = {std::numeric_limits<float>::quiet_NaN()}; });
  refused("an unknown objective", [](D& d) { d.objective = "rank:ndcg"; });
  refused("an unknown booster", [](D& d) { d.booster = "gblinear"; });
  refused("a base score that is none", [](D& d) { d.base = "[x]"; });
  refused("base scores of another width", [](D& d) { d.base = "[1,2]"; });
  refused("too many classes", [](D& d) { d.num_class = "4000000000"; });
  refused("no features", [](D& d) { d.num_feature = "0"; });
  refused("too many features", [](D& d) { d.num_feature = "99999999999"; });
  refused("empty trees", [&](D& d) { d.extra = key("trees") + "[{}{}{}{}]"; });
  refused("a count beyond all memory",
          [&](D& d) { d.extra = key("tree_info") + "[$l#L" + big(0x7fff'ffff'ffff'ffff, 8); });
}

}  // namespace
}  // namespace millrace::model
