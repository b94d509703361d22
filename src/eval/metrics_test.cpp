#include "eval/metrics.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace millrace::eval {
namespace {

using V = std::vector<double>;

TEST(BinaryMetrics, OneClassOnlyIsUndefinedNotZero) {
  const V y{1, 1, 1}, p{0.2, 0.6, 0.9};
  EXPECT_TRUE(std::isnan(binary::auc(y, p)));
  EXPECT_TRUE(std::isnan(binary::ks(y, p)));
  EXPECT_TRUE(std::isnan(binary::auc_up_to(y, p, 0.1)));
  const auto c = binary::confusion(y, p);
  EXPECT_TRUE(std::isnan(binary::specificity(c)));
  EXPECT_TRUE(std::isnan(binary::mcc(c)));
  EXPECT_DOUBLE_EQ(binary::recall(c), 2.0 / 3);
  const V none{0, 0, 0};
  EXPECT_TRUE(std::isnan(binary::average_precision(none, p)));
  EXPECT_TRUE(std::isnan(binary::recall(binary::confusion(none, p))));
}

TEST(BinaryMetrics, NoRowsIsUndefined) {
  EXPECT_TRUE(std::isnan(binary::auc(V{}, V{})));
  EXPECT_TRUE(std::isnan(binary::log_loss(V{}, V{})));
  EXPECT_TRUE(std::isnan(binary::ece(V{}, V{})));
  EXPECT_TRUE(std::isnan(binary::accuracy({})));
  EXPECT_TRUE(std::isnan(regression::rmse(V{}, V{})));
  EXPECT_TRUE(std::isnan(regression::kendall_tau_b(V{}, V{})));
}

TEST(BinaryMetrics, NeverSayingYesIsZeroPrecision) {
  const V y{1, 0, 1, 0}, p{0.1, 0.2, 0.3, 0.4};
  const auto c = binary::confusion(y, p);
  EXPECT_EQ(binary::precision(c), 0);
  EXPECT_EQ(binary::f_beta(c, 1), 0);
  EXPECT_EQ(binary::mcc(c), 0);
}

TEST(BinaryMetrics, ConstantScoreIsChance) {
  const V y{1, 0, 1, 0, 0}, p(5, 0.4);
  EXPECT_DOUBLE_EQ(binary::auc(y, p), 0.5);
  EXPECT_DOUBLE_EQ(binary::average_precision(y, p), 0.4);
  EXPECT_DOUBLE_EQ(binary::ks(y, p), 0);
  EXPECT_NEAR(binary::ece(y, p), 0, 1e-15);
}

// A row of weight 3 is that row three times; a row of weight 0 is not there.
TEST(BinaryMetrics, WeightsAreRepetitions) {
  const V y{1, 0, 1, 0, 1}, p{0.9, 0.4, 0.35, 0.4, 0.1}, w{1, 3, 2, 0, 1};
  V y_many, p_many;
  for (std::size_t i = 0; i < y.size(); ++i) {
    for (int k = 0; k < static_cast<int>(w[i]); ++k) {
      y_many.push_back(y[i]);
      p_many.push_back(p[i]);
    }
  }
  EXPECT_NEAR(binary::auc(y, p, w), binary::auc(y_many, p_many), 1e-12);
  EXPECT_NEAR(binary::average_precision(y, p, w), binary::average_precision(y_many, p_many), 1e-12);
  EXPECT_NEAR(binary::ks(y, p, w), binary::ks(y_many, p_many), 1e-12);
  EXPECT_NEAR(binary::ece(y, p, 10, w), binary::ece(y_many, p_many), 1e-12);
  EXPECT_NEAR(binary::mcc(binary::confusion(y, p, 0.5, w)), binary::mcc(binary::confusion(y_many, p_many)), 1e-12);
  EXPECT_NEAR(regression::r2(y, p, w), regression::r2(y_many, p_many), 1e-12);
}

TEST(BinaryMetrics, EdgesOfCalibrationBins) {
  const V p{0, 0.1, 0.3, 0.30000000000000004, 0.7, 1}, y(6, 1);
  const auto bins = binary::calibration(y, p);
  V rows;
  for (const auto& bin : bins) rows.push_back(bin.weight);
  EXPECT_EQ(rows, (V{2, 0, 2, 0, 0, 0, 1, 0, 0, 1}));
}

TEST(MulticlassMetrics, ClassesWithoutRows) {
  const V y{0, 0, 1}, scores{0.8, 0.1, 0.1, 0.2, 0.7, 0.1, 0.1, 0.8, 0.1};
  const multiclass::Scores s{scores, 3};
  const auto c = multiclass::confusion(y, s);
  EXPECT_DOUBLE_EQ(multiclass::balanced_accuracy(c), 0.75);
  EXPECT_TRUE(std::isnan(multiclass::recall_per_class(c)[2]));
  EXPECT_TRUE(std::isnan(multiclass::auc_ovr_macro(y, s)));
  EXPECT_DOUBLE_EQ(multiclass::recall_macro(c), 0.75);
}

TEST(RegressionMetrics, DomainsAndConstants) {
  const V y{1, 2, 3}, same(3, 2.0), negative{1, -1, 2};
  EXPECT_TRUE(std::isnan(regression::r2(same, y)));
  EXPECT_DOUBLE_EQ(regression::r2(y, same), 0);
  EXPECT_TRUE(std::isnan(regression::pearson(y, same)));
  EXPECT_TRUE(std::isnan(regression::gamma_deviance(y, negative)));
  EXPECT_TRUE(std::isnan(regression::tweedie_deviance(y, y, 0.5)));
  EXPECT_NEAR(regression::tweedie_deviance(y, y, 1.5), 0, 1e-12);
  EXPECT_DOUBLE_EQ(regression::smape(V{0, 1}, V{0, 1}), 0);
  EXPECT_DOUBLE_EQ(regression::medae(V{1, 2, 3, 4}, V{1, 3, 5, 7}), 1.5);
  EXPECT_DOUBLE_EQ(regression::kendall_tau_b(V{1, 2, 3}, V{3, 2, 1}), -1);
}

// Two sizes of step approach the same deviance: the compound case joins Poisson and gamma without a jump.
TEST(RegressionMetrics, TweedieJoinsItsEnds) {
  const V y{0.5, 2, 7}, p{0.7, 1.5, 6};
  EXPECT_NEAR(regression::tweedie_deviance(y, p, 1 + 1e-7), regression::poisson_deviance(y, p), 1e-5);
  EXPECT_NEAR(regression::tweedie_deviance(y, p, 2 - 1e-7), regression::gamma_deviance(y, p), 1e-5);
}

}  // namespace
}  // namespace millrace::eval
