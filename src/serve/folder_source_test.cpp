#include "serve/folder_source.hpp"

#include <gtest/gtest.h>

#include "base/testing/env.hpp"
#include "model/export.hpp"
#include "model/testing/models.hpp"

namespace millrace::serve {
namespace {

struct FolderSourceTest : ::testing::Test {
  void put(const std::string& path, const std::string& content) {
    const auto full = t.path("m/" + path);
    ASSERT_TRUE(t.env.fs.make_dirs(parent_path(full)));
    ASSERT_TRUE(write_file(t.env.fs, full, content));
  }
  static std::string trees(std::uint64_t seed = 1) {
    return *model::export_model(*model::testing::sample_artifact(model::TaskType::binary, seed), "ubj", {});
  }
  std::vector<WantedModel> settled() {
    EXPECT_TRUE(source.look(true));
    return *source.wanted();
  }

  TestEnv t;
  bool made = static_cast<bool>(t.env.fs.make_dirs(t.path("m")));
  FolderSource source{{.dir = t.path("m"), .versions_max = 3}, t.env};
};

TEST_F(FolderSourceTest, TheHighestNumberIsWantedAndSomeOlderOnes) {
  for (const auto* number : {"8", "9", "10", "11"}) put(std::string("m/") + number + "/model.ubj", trees());
  const auto wanted = settled();
  ASSERT_EQ(1u, wanted.size());
  EXPECT_EQ(11, wanted[0].current->number);
  EXPECT_EQ(10, wanted[0].previous->number);
  ASSERT_EQ(1u, wanted[0].others.size());
  EXPECT_EQ(9, wanted[0].others[0].number);
  EXPECT_TRUE(wanted[0].fall_back);
  EXPECT_FALSE(source.look(true)->changed) << "a look that finds the same changes nothing";
  const auto model = source.load("m", *wanted[0].current, {});
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(1, model::output_count((*model)->manifest()));
}

TEST_F(FolderSourceTest, AFileThatChangedSinceTheLookIsNotLoaded) {
  put("m.ubj", trees(1));
  const auto wanted = settled();
  put("m.ubj", trees(2) + "x");
  const auto refused = source.load("m", *wanted[0].current, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ("serve.file_changed", refused.error().reason);
}

TEST_F(FolderSourceTest, GoldenRowsBelongToTheContent) {
  put("m.ubj", trees());
  const auto before = settled()[0].current->artifact;
  put("m.golden.json", "{\"inputs\":[[1]],\"outputs\":[1]}");
  const auto wanted = settled();
  EXPECT_NE(before, wanted[0].current->artifact);
  EXPECT_EQ("model.bad_golden", source.load("m", *wanted[0].current, {}).error().reason);
}

TEST_F(FolderSourceTest, AFolderThatCannotBeReadChangesNothing) {
  put("m.ubj", trees());
  ASSERT_EQ(1u, settled().size());
  ASSERT_TRUE(t.env.fs.rename(t.path("m"), t.path("away")));
  EXPECT_FALSE(source.look(true));
  EXPECT_EQ(1u, source.wanted()->size());
  ASSERT_TRUE(t.env.fs.rename(t.path("away"), t.path("m")));
  EXPECT_TRUE(source.look(true));
}

TEST_F(FolderSourceTest, ClientsTakeOutAndIn) {
  put("m.ubj", trees());
  ASSERT_EQ(1u, settled().size());
  ASSERT_TRUE(source.take_out("m"));
  EXPECT_TRUE(source.wanted()->empty());
  EXPECT_TRUE(settled().empty()) << "no look takes it in again";
  ASSERT_TRUE(source.take_in("m"));
  EXPECT_EQ(1u, settled().size());
  EXPECT_EQ("serve.no_model", source.take_out("n").error().reason);
  EXPECT_EQ("serve.no_model", source.take_in("n").error().reason);
}

TEST_F(FolderSourceTest, ArchivesAndModelsOfOtherEnginesAreServed) {
  put("a.zip", *model::testing::sample_artifact(model::TaskType::multiclass));
  put("l.txt", "tree\nversion=v4\n");
  put("o.onnx", model::testing::linear_onnx(2, {2, -1}, {10}, false, "y"));
  put("p.onnx", "onnx");
  put("readme.txt", "trees");
  const auto wanted = settled();
  ASSERT_EQ(4u, wanted.size()) << "a text that is no model is passed over";
  const auto archive = source.load("a", *wanted[0].current, {});
  ASSERT_TRUE(archive) << archive.error().message;
  EXPECT_EQ(3u, (*archive)->manifest().classes.size());
  EXPECT_EQ("model.bad_engine_file", source.load("l", *wanted[1].current, {}).error().reason);
  const auto onnx = source.load("o", *wanted[2].current, {});
  ASSERT_TRUE(onnx) << onnx.error().message;
  EXPECT_TRUE((*onnx)->manifest().takes_tensors());
  EXPECT_EQ("model.bad_engine_file", source.load("p", *wanted[3].current, {}).error().reason);
}

}  // namespace
}  // namespace millrace::serve
