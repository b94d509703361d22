#include "model/flat_cache.hpp"

#include <gtest/gtest.h>

#include "base/testing/env.hpp"
#include "model/bare.hpp"
#include "model/export.hpp"
#include "model/flat_internal.hpp"
#include "model/loaded.hpp"
#include "model/testing/models.hpp"

namespace millrace::model {
namespace {

struct FlatCacheTest : ::testing::Test {
  std::unique_ptr<FlatCache> open(const std::string& build = "one") {
    return *FlatCache::open(t.path("c"), build, t.env);
  }
  std::vector<FileInfo> files() { return *t.env.fs.list(t.path("c")); }

  TestEnv t;
  Digest key = sha256("key");
};

TEST_F(FlatCacheTest, KeepsAndFinds) {
  auto cache = open();
  EXPECT_FALSE(cache->find(key));
  cache->keep(key, "content");
  EXPECT_EQ("content", cache->find(key));
  EXPECT_EQ("content", open()->find(key));
  EXPECT_FALSE(cache->find(sha256("other")));
  cache->keep(key, "other");
  EXPECT_EQ("other", cache->find(key));
  EXPECT_FALSE(open("two")->find(key)) << "another build";
  EXPECT_TRUE(files().empty()) << "and what it can't use is gone";
}

TEST_F(FlatCacheTest, AnyFlippedBitAndAnyOtherEndIsNoticed) {
  auto cache = open();
  cache->keep(key, "some content");
  const auto path = t.path("c/" + files().front().name);
  const auto whole = *read_file(t.env.fs, path);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    auto damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    ASSERT_TRUE(write_file(t.env.fs, path, damaged));
    ASSERT_FALSE(cache->find(key)) << i;
    EXPECT_TRUE(files().empty());
  }
  for (const auto& damaged : {whole.substr(0, whole.size() - 1), whole + "x", std::string(), whole.substr(0, 20)}) {
    ASSERT_TRUE(write_file(t.env.fs, path, damaged));
    ASSERT_FALSE(cache->find(key));
  }
  // Another key's entry under this one's name.
  cache->keep(sha256("other"), "other content");
  ASSERT_TRUE(t.env.fs.rename(t.path("c/" + files().front().name), path));
  EXPECT_FALSE(cache->find(key));
}

TEST_F(FlatCacheTest, ADiskThatTakesNothingFailsNobody) {
  auto cache = open();
  ASSERT_TRUE(t.faults.arm("model.cache.before_write=error"));
  cache->keep(key, "content");
  EXPECT_FALSE(cache->find(key));
  ASSERT_TRUE(t.faults.arm(""));
  cache->keep(key, "content");
  EXPECT_EQ("content", cache->find(key));
}

TEST_F(FlatCacheTest, AModelOutOfTheCacheAnswersTheSame) {
  auto cache = open();
  // A library that is not there: whoever needs the engine fails.
  const RuntimeOptions proves{.explains = false, .cache = cache.get()};
  const RuntimeOptions needs_none{
      .libraries = {.xgboost = "/nowhere/libxgboost.so"}, .explains = false, .cache = cache.get()};
  for (const auto task : {TaskType::binary, TaskType::multiclass, TaskType::regression}) {
    const auto artifact = *testing::sample_artifact(task, 1, 20);
    const auto file = *export_model(artifact, "ubj", {});
    std::shared_ptr<const LoadedModel> first[2], second[2];
    first[0] = *LoadedModel::load(artifact, proves);
    first[1] = *load_bare({"m", file, ""}, proves);
    auto again = LoadedModel::load(artifact, needs_none);
    ASSERT_TRUE(again) << again.error().message;
    second[0] = *again;
    again = load_bare({"m", file, ""}, needs_none);
    ASSERT_TRUE(again) << again.error().message;
    second[1] = *again;
    for (int i = 0; i < 2; ++i) {
      EXPECT_TRUE(second[i]->runtime().own_trees());
      EXPECT_EQ(first[i]->manifest(), second[i]->manifest());
      const auto width = static_cast<std::size_t>(first[i]->encoder().features());
      std::vector<float> features, a, b;
      for (std::size_t at = 0; at < 100 * width; ++at) features.push_back(static_cast<float>((at * 7919) % 97) - 20);
      ASSERT_TRUE(first[i]->runtime().predict(features, 100, a));
      ASSERT_TRUE(second[i]->runtime().predict(features, 100, b));
      EXPECT_EQ(a, b);
    }
    EXPECT_FALSE(load_bare({"m", *export_model(*testing::sample_artifact(task, 2, 20), "ubj", {}), ""}, needs_none))
        << "another file has nothing in the cache";
  }
}

// Bytes that a checksum vouches for are still not believed where they lead outside.
TEST(Flat, NoNumberLeadsOutside) {
  TreesForm form;
  form.features = 1;
  form.planes = 1;
  form.base = {0};
  form.thresholds.resize(16);
  form.pivots.resize(16);
  form.columns = {{.feature = 0, .thresholds = 0, .groups = 1, .pivots = 0, .plane = {0, -1}}};
  form.trees = {{.nodes = 0, .leaves = 0, .output = 0, .depth = 1, .heap = true}};
  form.heap_nodes = {{0, 0}};
  form.heap_leaves = {1, 2};
  const auto reads = [](const TreesForm& f) { return read_flat(write_flat({OutputKind::value, "v", "b", f})); };
  ASSERT_TRUE(reads(form));
  const auto breaks = [&](auto change) {
    auto other = form;
    change(other);
    return !reads(other);
  };
  EXPECT_TRUE(breaks([](TreesForm& f) { f.heap_nodes[0].plane = 1; }));
  EXPECT_TRUE(breaks([](TreesForm& f) { f.heap_leaves.pop_back(); }));
  EXPECT_TRUE(breaks([](TreesForm& f) { f.heap_nodes.clear(); }));
  EXPECT_TRUE(breaks([](TreesForm& f) { f.trees[0].output = 1; }));
  EXPECT_TRUE(breaks([](TreesForm& f) { f.trees[0].depth = 9; }));
  EXPECT_TRUE(breaks([](TreesForm& f) { f.columns[0].feature = 1; }));
  EXPECT_TRUE(breaks([](TreesForm& f) { f.columns[0].groups = 2; }));
  EXPECT_TRUE(breaks([](TreesForm& f) { f.columns[0].plane[1] = 1; }));
  EXPECT_TRUE(breaks([](TreesForm& f) { f.pivots.clear(); }));
  EXPECT_TRUE(breaks([](TreesForm& f) { f.base.clear(); }));
  EXPECT_TRUE(breaks([](TreesForm& f) { f.trees[0].heap = false; }));
  const auto text = write_flat({OutputKind::value, "v", "b", form});
  for (std::size_t bytes = 0; bytes < text.size(); ++bytes) EXPECT_FALSE(read_flat(text.substr(0, bytes))) << bytes;
  EXPECT_FALSE(read_flat(text + "x"));
}

}  // namespace
}  // namespace millrace::model
