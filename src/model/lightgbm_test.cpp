#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "model/bare_lightgbm.hpp"
#include "model/lightgbm_internal.hpp"

namespace millrace::model {
namespace {

// Column 0 above 0.5, missing left; below, column 1 in {1, 33} goes left.
const std::string kModel =
    "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=1\nobjective=binary "
    "sigmoid:1\nfeature_names=a b\nfeature_infos=[0:1] 0:1:33\ntree_sizes=1 1\n\n"
    "Tree=0\nnum_leaves=3\nnum_cat=1\nsplit_feature=0 1\nsplit_gain=1 1\nthreshold=0.5 0\ndecision_type=10 1\n"
    "left_child=1 -1\nright_child=-2 -3\nleaf_value=1 10 100\ncat_boundaries=0 2\ncat_threshold=2 2\nis_linear=0\n"
    "shrinkage=1\n\n\nTree=1\nnum_leaves=1\nnum_cat=0\nleaf_value=0.25\nshrinkage=1\n\n\nend of "
    "trees\n\nparameters:\nend of "
    "parameters\n";

double margin(const LightgbmModel& model, double a, double b) {
  const double row[] = {a, b};
  double out = 0;
  lightgbm_margins(model, row, &out);
  return out;
}

TEST(Lightgbm, WalksAsTheFileSays) {
  const auto model = read_lightgbm(kModel);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(2u, model->features);
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(1.25, margin(*model, 0.5, 1)) << "not above the threshold";
  EXPECT_EQ(10.25, margin(*model, std::nextafter(0.5, 1), 1));
  EXPECT_EQ(1.25, margin(*model, kNan, 33)) << "missing goes left";
  for (const double other : {0.0, 2.0, 34.0, 65.0, -1.0, kNan, 1e300, -1e300})
    EXPECT_EQ(100.25, margin(*model, 0, other)) << other;
  EXPECT_EQ(1.25, margin(*model, 0, 1.9)) << "as a whole number";
  double value[] = {0};
  lightgbm_transform(*model, value);
  EXPECT_EQ(0.5, value[0]);
}

TEST(Lightgbm, DamagedFilesAreRefused) {
  const auto with = [](std::string_view from, std::string_view to) {
    auto text = kModel;
    const auto at = text.find(from);
    EXPECT_NE(text.npos, at) << from;
    return text.replace(at, from.size(), to);
  };
  EXPECT_TRUE(read_lightgbm(kModel));
  for (const auto& text :
       {with("left_child=1", "left_child=0"), with("left_child=1", "left_child=2"),
        with("left_child=1 -1", "left_child=1 -4"), with("split_feature=0 1", "split_feature=0 2"),
        with("split_feature=0 1", "split_feature=0"), with("leaf_value=1 10", "leaf_value=1 nan"),
        with("cat_boundaries=0 2", "cat_boundaries=0 3"), with("cat_boundaries=0 2", "cat_boundaries=1 2"),
        with("threshold=0.5 0\n", "threshold=0.5 1\n"), with("decision_type=10 1", "decision_type=14 1"),
        with("num_leaves=3", "num_leaves=4"), with("num_cat=1", "num_cat=9"), with("Tree=1", "Tree=2"),
        with("end of trees", "end of tree"), with("max_feature_idx=1", "max_feature_idx=x"),
        with("num_tree_per_iteration=1", "num_tree_per_iteration=3"), with("feature_names=a b", "feature_names=a")}) {
    const auto model = read_lightgbm(text);
    ASSERT_FALSE(model) << text;
    EXPECT_EQ("model.bad_engine_file", model.error().reason);
  }
  for (const auto& text : {with("objective=binary", "objective=mine"), with("is_linear=0", "is_linear=1"),
                           with("version=v4", "version=v1"), with("label_index=0", "average_output")})
    EXPECT_EQ("model.no_flat_trees", read_lightgbm(text).error().reason);
  for (std::size_t size = 0; size < kModel.find("end of trees"); ++size)
    ASSERT_FALSE(read_lightgbm(std::string_view(kModel).substr(0, size))) << size;
}

TEST(Lightgbm, IsABareModel) {
  const auto loaded = load_bare_lightgbm(
      {"m", kModel, R"({"inputs":[[0,1],[null,2]],"outputs":[0.7772998611746911,1],"tolerance":1e-9})"}, {});
  ASSERT_TRUE(loaded) << loaded.error().message;
  const auto& manifest = (*loaded)->manifest();
  EXPECT_EQ("a", manifest.inputs[0].name);
  EXPECT_EQ(std::vector<std::size_t>{0}, manifest.tensors.plain_outputs());
  EXPECT_EQ("model.golden_mismatch",
            load_bare_lightgbm({"m", kModel, R"({"inputs":[[0,1]],"outputs":[0.5]})"}, {}).error().reason);
  EXPECT_EQ("model.bad_golden",
            load_bare_lightgbm({"m", kModel, R"({"inputs":[[0]],"outputs":[0.5]})"}, {}).error().reason);
}

}  // namespace
}  // namespace millrace::model
