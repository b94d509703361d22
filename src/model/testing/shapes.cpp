#include "model/testing/shapes.hpp"

#include <bit>
#include <cmath>
#include <limits>

#include "base/rng.hpp"
#include "model/testing/models.hpp"
#include "model/xgboost_library.hpp"

namespace millrace::model::testing {

const std::vector<Shape>& shapes() {
  using T = TaskType;
  static const std::vector<Shape> all = {
      {"regression", T::regression, {{"objective", "reg:squarederror"}}},
      {"absolute", T::regression, {{"objective", "reg:absoluteerror"}}},
      {"poisson", T::regression, {{"objective", "count:poisson"}}},
      {"tweedie", T::regression, {{"objective", "reg:tweedie"}}},
      {"gamma", T::regression, {{"objective", "reg:gamma"}}},
      {"binary", T::binary, {{"objective", "binary:logistic"}}},
      {"base score", T::binary, {{"objective", "binary:logistic"}, {"base_score", "0.2"}}},
      {"raw", T::binary, {{"objective", "binary:logitraw"}}},
      {"multiclass", T::multiclass, {{"objective", "multi:softprob"}, {"num_class", "3"}}},
      {"softmax", T::multiclass, {{"objective", "multi:softmax"}, {"num_class", "3"}, {"max_depth", "3"}}},
      {"stumps", T::binary, {{"objective", "binary:logistic"}, {"max_depth", "1"}}, 50},
      {"no splits", T::binary, {{"objective", "binary:logistic"}, {"gamma", "1e9"}}, 5},
      {"no trees", T::regression, {{"objective", "reg:squarederror"}}, 0},
      {"depth 2", T::binary, {{"objective", "binary:logistic"}, {"max_depth", "2"}}},
      {"depth 4", T::binary, {{"objective", "binary:logistic"}, {"max_depth", "4"}}},
      {"depth 5", T::binary, {{"objective", "binary:logistic"}, {"max_depth", "5"}}},
      {"depth 7", T::binary, {{"objective", "binary:logistic"}, {"max_depth", "7"}}},
      {"depth 8", T::binary, {{"objective", "binary:logistic"}, {"max_depth", "8"}}, 20, 6'000},
      {"depth 14", T::regression, {{"objective", "reg:squarederror"}, {"max_depth", "14"}, {"min_child_weight", "0"}}},
      {"depth 30",
       T::regression,
       {{"objective", "reg:squarederror"}, {"max_depth", "30"}, {"min_child_weight", "0"}, {"lambda", "0"}},
       12},
      {"leaf-wise",
       T::binary,
       {{"objective", "binary:logistic"}, {"grow_policy", "lossguide"}, {"max_leaves", "31"}, {"max_depth", "0"}}},
      {"leaf-wise, many leaves",
       T::regression,
       {{"objective", "reg:squarederror"}, {"grow_policy", "lossguide"}, {"max_leaves", "700"}, {"max_depth", "0"}},
       10,
       4'000},
      {"leaf-wise multiclass",
       T::multiclass,
       {{"objective", "multi:softprob"},
        {"num_class", "3"},
        {"grow_policy", "lossguide"},
        {"max_leaves", "12"},
        {"max_depth", "0"}}},
      {"sampled", T::binary, {{"objective", "binary:logistic"}, {"subsample", "0.5"}, {"colsample_bytree", "0.4"}}, 40},
      {"dart",
       T::regression,
       {{"objective", "reg:squarederror"}, {"booster", "dart"}, {"rate_drop", "0.3"}, {"one_drop", "1"}}},
      {"dart multiclass",
       T::multiclass,
       {{"objective", "multi:softprob"}, {"num_class", "3"}, {"booster", "dart"}, {"rate_drop", "0.3"}}},
      {"forest",
       T::regression,
       {{"objective", "reg:squarederror"}, {"num_parallel_tree", "5"}, {"subsample", "0.6"}},
       6},
      {"more than 255 thresholds",
       T::regression,
       {{"objective", "reg:squarederror"}, {"max_bin", "4000"}, {"max_depth", "8"}},
       60,
       6'000,
       4},
      {"pruned",
       T::regression,
       {{"objective", "reg:squarederror"}, {"tree_method", "exact"}, {"gamma", "0.4"}, {"max_depth", "8"}},
       30},
      {"categories",
       T::binary,
       {{"objective", "binary:logistic"}, {"max_cat_to_onehot", "1"}, {"max_cat_threshold", "32"}},
       30,
       3'000,
       9,
       true},
      {"categories one by one",
       T::multiclass,
       {{"objective", "multi:softprob"}, {"num_class", "3"}, {"max_cat_to_onehot", "1000"}},
       15,
       2'000,
       9,
       true},
      {"categories, leaf-wise",
       T::regression,
       {{"objective", "reg:squarederror"}, {"grow_policy", "lossguide"}, {"max_leaves", "40"}, {"max_depth", "0"}},
       20,
       3'000,
       9,
       true},
      {"one feature", T::binary, {{"objective", "binary:logistic"}}, 10, 800, 1},
      {"many features", T::binary, {{"objective", "binary:logistic"}}, 30, 600, 700},
  };
  return all;
}

namespace {

// Numbers of several kinds: few values, many, huge, denormal, missing.
float training_value(Rng& rng, std::size_t feature, bool category) {
  if (rng.below(9) == 0) return std::numeric_limits<float>::quiet_NaN();
  if (category) return static_cast<float>(rng.below(feature == 0 ? 3 : 70));
  switch (feature % 6) {
    case 0:
      return static_cast<float>(rng.below(7)) - 3;
    case 1:
      return static_cast<float>(rng.unit() - 0.5) * 1e30f;
    case 2:
      return std::bit_cast<float>(static_cast<std::uint32_t>(rng.below(2'000)) << 8);  // denormal
    default:
      return static_cast<float>(rng.unit() * 2 - 1);
  }
}

}  // namespace

Result<std::string> train(const Shape& shape, std::uint64_t seed) {
  TRY(auto library, XgboostLibrary::open(""));
  SeededRng rng(seed);
  std::vector<float> features(shape.rows * shape.features), target(shape.rows);
  for (std::size_t i = 0; i < shape.rows; ++i) {
    float signal = static_cast<float>(rng.unit());
    for (std::size_t f = 0; f < shape.features; ++f) {
      const float value = training_value(rng, f, shape.categories && f < 3);
      features[i * shape.features + f] = value;
      if (value != value) continue;
      signal += f == 2 && !shape.categories       ? (value > 1e-40f ? 0.7f : 0.0f)
                : f % 6 == 1 && !shape.categories ? (value > 1e29f ? 0.5f : 0.0f)
                                                  : std::fabs(std::sin(value * static_cast<float>(3 + f)));
    }
    target[i] = shape.task == TaskType::regression ? signal
                : shape.task == TaskType::binary   ? (std::fmod(signal, 2.0f) > 1 ? 1.0f : 0.0f)
                                                   : std::floor(std::fmod(signal, 3.0f));
  }
  TRY(auto matrix, Matrix::dense(library, features, shape.rows, 1));
  const std::string labels = array_interface(target.data(), target.size());
  TRY_VOID(library->check(library->XGDMatrixSetInfoFromInterface(matrix.get(), "label", labels.c_str()), "labels"));
  if (shape.categories) {
    std::vector<const char*> kinds;
    for (std::size_t f = 0; f < shape.features; ++f) kinds.push_back(f < 3 ? "c" : "q");
    TRY_VOID(library->check(
        library->XGDMatrixSetStrFeatureInfo(matrix.get(), "feature_type", kinds.data(), kinds.size()), "kinds"));
  }
  const DMatrixHandle cached[] = {matrix.get()};
  TRY(auto booster, Booster::create(library, cached));
  TRY_VOID(booster.set("nthread", "1"));
  TRY_VOID(booster.set("verbosity", "0"));
  TRY_VOID(booster.set("tree_method", "hist"));
  for (const auto& [name, value] : shape.parameters) TRY_VOID(booster.set(name, value));
  for (int round = 0; round < shape.rounds; ++round) {
    TRY_VOID(library->check(library->XGBoosterUpdateOneIter(booster.get(), round, matrix.get()), "training"));
  }
  if (shape.rounds == 0) {
    TRY_VOID(booster.set("num_feature", std::to_string(shape.features)));
  }
  return booster.save_ubj();
}

Manifest manifest_of(const Shape& shape) {
  Manifest manifest = testing::sample_manifest(shape.task);
  manifest.inputs.clear();
  for (std::size_t f = 0; f < shape.features; ++f)
    manifest.inputs.push_back(
        {.name = "x" + std::to_string(f), .type = table::Type::float64, .encoding = Encoding::number});
  return manifest;
}

}  // namespace millrace::model::testing
