#include <algorithm>
#include <charconv>
#include <cmath>
#include <span>

#include "base/nearest.hpp"
#include "train/parameters_internal.hpp"

namespace millrace::train {
namespace {

enum class Kind { whole, real, choice, weight };

struct Parameter {
  const char* name;
  const char* engine;  // XGBoost's name; nullptr: ours
  Kind kind;
  const char* fallback;
  double min, max;
  bool above_min;  // min itself is not allowed
  const char* help;
};

constexpr Parameter kParameters[] = {
    {"rounds", nullptr, Kind::whole, "300", 1, 100'000, false, "trees, or trees per class, at most"},
    {"early_stopping_rounds", nullptr, Kind::whole, "20", 0, 100'000, false,
     "stop after this many rounds without a better validation score, keep the best; 0: never"},
    {"learning_rate", "eta", Kind::real, "0.1", 0, 1, true, "how much of each tree is added"},
    {"depth", "max_depth", Kind::whole, "6", 1, 30, false, "levels of a tree"},
    {"max_leaves", "max_leaves", Kind::whole, "0", 0, 1'000'000, false, "leaves of a tree; 0: no bound but depth"},
    {"grow_policy", "grow_policy", Kind::choice, "depthwise", 0, 0, false, "depthwise | lossguide"},
    {"min_child_weight", "min_child_weight", Kind::real, "1", 0, 1e9, false, "least weight of a leaf"},
    {"gamma", "gamma", Kind::real, "0", 0, 1e9, false, "least gain of a split"},
    {"lambda", "lambda", Kind::real, "1", 0, 1e9, false, "L2 penalty on leaves"},
    {"alpha", "alpha", Kind::real, "0", 0, 1e9, false, "L1 penalty on leaves"},
    {"subsample", "subsample", Kind::real, "1", 0, 1, true, "share of the rows per tree"},
    {"colsample", "colsample_bytree", Kind::real, "1", 0, 1, true, "share of the features per tree"},
    {"colsample_level", "colsample_bylevel", Kind::real, "1", 0, 1, true, "share of those per level"},
    {"colsample_node", "colsample_bynode", Kind::real, "1", 0, 1, true, "share of those per split"},
    {"max_delta_step", "max_delta_step", Kind::real, "0", 0, 1e9, false, "largest value of a leaf; 0: no bound"},
    {"max_bin", "max_bin", Kind::whole, "256", 2, 65'535, false, "histogram bins per feature"},
    {"positive_weight", "scale_pos_weight", Kind::weight, "1", 0, 1e6, true,
     "weight of a positive row (binary only); balanced: as much as makes both classes weigh the same"},
};

// What people bring along from other libraries.
constexpr std::pair<const char*, const char*> kOtherNames[] = {
    {"eta", "learning_rate"},
    {"max_depth", "depth"},
    {"n_estimators", "rounds"},
    {"num_boost_round", "rounds"},
    {"iterations", "rounds"},
    {"num_iterations", "rounds"},
    {"reg_lambda", "lambda"},
    {"reg_alpha", "alpha"},
    {"colsample_bytree", "colsample"},
    {"feature_fraction", "colsample"},
    {"bagging_fraction", "subsample"},
    {"scale_pos_weight", "positive_weight"},
    {"num_leaves", "max_leaves"},
    {"min_split_loss", "gamma"},
    {"colsample_bylevel", "colsample_level"},
    {"colsample_bynode", "colsample_node"},
};

constexpr std::string_view kBalanced = "balanced";

std::string number_text(double value) {
  char text[40];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

std::string accepts(const Parameter& p) {
  if (p.kind == Kind::choice) return p.help;
  return std::string(p.kind == Kind::weight ? "balanced, or " : "") +
         std::string(p.kind == Kind::whole ? "a whole number" : "a number") + (p.above_min ? " above " : " from ") +
         number_text(p.min) + (p.above_min ? ", at most " : " to ") + number_text(p.max);
}

Result<std::string> checked(const Parameter& p, const std::string& text) {
  const auto bad = [&] {
    return fail(Code::invalid_argument, "train.bad_parameter",
                "parameter '" + std::string(p.name) + "': expected " + accepts(p) + ", got \"" + text + "\"");
  };
  if (p.kind == Kind::choice) {
    if (text != "depthwise" && text != "lossguide") return bad();
    return text;
  }
  if (p.kind == Kind::weight && text == kBalanced) return text;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return bad();
  if (value < p.min || value > p.max || (p.above_min && value == p.min)) return bad();
  if (p.kind == Kind::whole && value != std::trunc(value)) return bad();
  if (p.kind == Kind::whole) return std::to_string(static_cast<long long>(value));
  return number_text(value);  // "0.10" and "0.1" are one value, and one digest
}

const Parameter* find(std::string_view name) {
  for (const auto& p : kParameters) {
    if (p.name == name) return &p;
  }
  return nullptr;
}

std::unexpected<Error> unknown(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& p : kParameters) names.push_back(p.name);
  std::string near = nearest(name, names);
  for (const auto& [other, ours] : kOtherNames) {
    if (name == other) near = ours;
  }
  std::string all;
  for (const auto& known : names) all += (all.empty() ? "" : ", ") + known;
  return fail(Code::invalid_argument, "train.unknown_parameter",
              "boosted-trees has no parameter '" + name + "'" +
                  (near.empty() ? "; parameters: " + all : "; did you mean '" + near + "'?"));
}

constexpr const char* kWeight = "positive_weight";

}  // namespace

std::vector<ParameterInfo> boosting_parameters() {
  std::vector<ParameterInfo> out;
  for (const auto& p : kParameters) out.push_back({p.name, p.fallback, accepts(p), p.help});
  return out;
}

Result<BoostingParameters> resolve_boosting(const std::map<std::string, std::string>& given, model::TaskType task) {
  for (const auto& [name, value] : given) {
    if (!find(name)) return unknown(name);
  }
  BoostingParameters out;
  for (const auto& p : kParameters) {
    const auto found = given.find(p.name);
    TRY(auto value, checked(p, found == given.end() ? p.fallback : found->second));
    if (std::string_view(p.name) == kWeight && task != model::TaskType::binary) {
      if (found != given.end()) {
        return fail(Code::invalid_argument, "train.bad_parameter",
                    "parameter 'positive_weight' is for binary targets only");
      }
      continue;
    }
    if (p.engine) out.engine[p.engine] = value;
    out.resolved[p.name] = value;
  }
  out.rounds = std::stoi(out.resolved["rounds"]);
  out.early_stopping_rounds = std::stoi(out.resolved["early_stopping_rounds"]);
  return out;
}

void balance(BoostingParameters& parameters, std::span<const std::int64_t> class_rows) {
  const auto found = parameters.resolved.find(kWeight);
  if (found == parameters.resolved.end() || found->second != kBalanced || class_rows.size() != 2) return;
  const double weight =
      static_cast<double>(class_rows[0]) / static_cast<double>(std::max<std::int64_t>(1, class_rows[1]));
  parameters.engine["scale_pos_weight"] = number_text(weight);
  found->second = std::string(kBalanced) + " (" + number_text(weight) + ")";
}

}  // namespace millrace::train
