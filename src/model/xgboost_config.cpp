#include "base/json.hpp"
#include "model/runtime_internal.hpp"

namespace millrace::model {

namespace {

// What of XGBoost's configuration is looked at.
struct StoredObjective {
  std::string name;
};
struct StoredLearner {
  StoredObjective objective;
};
struct StoredConfig {
  StoredLearner learner;
};

}  // namespace

Result<std::string> xgboost_objective(std::string_view config) {
  TRY(auto stored, json::parse_lenient<StoredConfig>(config, "XGBoost's configuration"));
  return std::move(stored.learner.objective.name);
}

}  // namespace millrace::model
