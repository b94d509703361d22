// LightGBM's text models without LightGBM: read whole, evaluated in double as it does it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace millrace::model {

struct LightgbmModel {
  enum class Transform { none, exp, sigmoid, softmax, square, log1p_exp };
  enum class Missing : std::uint8_t { none, zero, nan };

  // A value goes left when it is not above the threshold, or is a member of the set; a missing one where the node says.
  struct Node {
    double threshold = 0;
    std::uint32_t feature = 0;
    std::int32_t left = 0, right = 0;      // below 0: ~leaf
    std::uint32_t set = 0, set_words = 0;  // first of `sets`, how many; of categories alone
    Missing missing = Missing::none;
    bool default_left = false, category = false;
  };
  struct Tree {
    std::uint32_t nodes = 0, leaves = 0;  // its first
    bool only_leaf = false;
  };

  std::size_t features = 0, outputs = 1;
  std::vector<std::string> names;  // of the features
  std::string objective;
  Transform transform = Transform::none;
  double sigmoid = 1;
  std::vector<Tree> trees;  // in turn one for each output
  std::vector<Node> nodes;
  std::vector<double> leaves;
  std::vector<std::uint32_t> sets;  // bits
};

// The text that LightGBM's save_model() writes (version v3 and v4), to its end. Children come after their parent, so
// every walk ends; features, leaves and sets are in range; numbers are numbers. data_loss `model.bad_engine_file`: cut
// short, damaged; unimplemented `model.no_flat_trees`: an objective, linear trees or averages (random forests) that are
// not known here.
Result<LightgbmModel> read_lightgbm(std::string_view text);

// Margins: the sum of the leaves, in the trees' order, in double. `row` has `features` values, NaN missing; `out`
// `outputs`.
void lightgbm_margins(const LightgbmModel& model, const double* row, double* out);
// What LightGBM's predict() makes of them, in place.
void lightgbm_transform(const LightgbmModel& model, std::span<double> margins);

}  // namespace millrace::model
