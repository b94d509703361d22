#include "eval/catalogue.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "eval/math_internal.hpp"

namespace millrace::eval {

namespace {

using S = Scored;

template <double (*metric)(Values, Values, Values)>
double of_scores(const S& s, Values w) {
  return metric(s.y, s.scores, w);
}
template <double (*metric)(Values, Values)>
double plain(const S& s, Values) {
  return metric(s.y, s.scores);
}
template <double (*metric)(const binary::Confusion&)>
double decided(const S& s, Values w) {
  return metric(binary::confusion(s.y, s.scores, s.threshold, w));
}
multiclass::Scores matrix(const S& s) { return {s.scores, s.classes.size()}; }
template <double (*metric)(const multiclass::Confusion&)>
double decided_many(const S& s, Values w) {
  return metric(multiclass::confusion(s.y, matrix(s), w));
}
template <double (*metric)(Values, const multiclass::Scores&, Values)>
double of_matrix(const S& s, Values w) {
  return metric(s.y, matrix(s), w);
}
template <std::size_t k>
double top(const S& s, Values w) {
  return multiclass::top_k(s.y, matrix(s), k, w);
}
template <int tenths>
double quantile_loss(const S& s, Values w) {
  return regression::pinball(s.y, s.scores, tenths / 10.0, w);
}
double mean_error(const S& s, Values w) {
  return mean_of(s.y.size(), w, [&](std::size_t i) { return s.scores[i] - s.y[i]; });
}

constexpr auto up = Better::higher, down = Better::lower, none = Better::neither;
constexpr auto mean = Form::mean_of_rows, full = Form::weighted, bare = Form::unweighted;

constexpr MetricInfo binary_metrics[] = {
    {"auc", up, full, of_scores<binary::auc>},
    {"average_precision", up, full, of_scores<binary::average_precision>},
    {"pr_auc", up, full, of_scores<binary::pr_auc>},
    {"gini", up, full, of_scores<binary::gini>},
    {"ks", up, full, of_scores<binary::ks>},
    {"log_loss", down, mean, of_scores<binary::log_loss>},
    {"brier", down, mean, of_scores<binary::brier>},
    {"ece", down, full, [](const S& s, Values w) { return binary::ece(s.y, s.scores, 10, w); }},
    {"mce", down, full, [](const S& s, Values w) { return binary::mce(s.y, s.scores, 10, w); }},
    {"accuracy", up, mean, decided<binary::accuracy>},
    {"balanced_accuracy", up, full, decided<binary::balanced_accuracy>},
    {"precision", up, full, decided<binary::precision>},
    {"recall", up, full, decided<binary::recall>},
    {"tpr", up, full, decided<binary::recall>},
    {"fpr", down, full, decided<binary::fpr>},
    {"specificity", up, full, decided<binary::specificity>},
    {"f1", up, full,
     [](const S& s, Values w) { return binary::f_beta(binary::confusion(s.y, s.scores, s.threshold, w), 1); }},
    {"f2", up, full,
     [](const S& s, Values w) { return binary::f_beta(binary::confusion(s.y, s.scores, s.threshold, w), 2); }},
    {"mcc", up, full, decided<binary::mcc>},
    {"kappa", up, full, decided<binary::kappa>},
    {"jaccard", up, full, decided<binary::jaccard>},
    {"best_f1", up, full, [](const S& s, Values w) { return binary::best_f1(s.y, s.scores, w).f1; }},
    {"lift_10", up, bare, [](const S& s, Values) { return binary::lift(s.y, s.scores, 0.1); }},
    {"selection_rate", none, full, decided<binary::selection_rate>},
    {"base_rate", none, full, decided<binary::base_rate>},
};

constexpr MetricInfo multiclass_metrics[] = {
    {"accuracy", up, mean, decided_many<multiclass::accuracy>},
    {"balanced_accuracy", up, full, decided_many<multiclass::balanced_accuracy>},
    {"top2_accuracy", up, mean, top<2>},
    {"top3_accuracy", up, mean, top<3>},
    {"top5_accuracy", up, mean, top<5>},
    // Over the classes with true rows, so that "recall by <target>" is each class's own.
    {"recall", up, full, decided_many<multiclass::balanced_accuracy>},
    {"precision", up, full, decided_many<multiclass::precision_macro>},
    {"f1", up, full, decided_many<multiclass::f1_macro>},
    {"recall_macro", up, full, decided_many<multiclass::recall_macro>},
    {"precision_macro", up, full, decided_many<multiclass::precision_macro>},
    {"f1_macro", up, full, decided_many<multiclass::f1_macro>},
    {"f1_micro", up, mean, decided_many<multiclass::f1_micro>},
    {"f1_weighted", up, full, decided_many<multiclass::f1_weighted>},
    {"log_loss", down, mean, of_matrix<multiclass::log_loss>},
    {"brier", down, mean, of_matrix<multiclass::brier>},
    {"ece", down, full, [](const S& s, Values w) { return multiclass::ece(s.y, matrix(s), 10, w); }},
    {"auc", up, full, of_matrix<multiclass::auc_ovr_macro>},
    {"auc_ovr_macro", up, full, of_matrix<multiclass::auc_ovr_macro>},
    {"auc_ovr_weighted", up, full, of_matrix<multiclass::auc_ovr_weighted>},
    {"auc_ovo_macro", up, bare, [](const S& s, Values) { return multiclass::auc_ovo_macro(s.y, matrix(s)); }},
    {"mcc", up, full, decided_many<multiclass::mcc>},
    {"kappa", up, full,
     [](const S& s, Values w) { return multiclass::kappa(multiclass::confusion(s.y, matrix(s), w)); }},
    {"kappa_quadratic", up, full,
     [](const S& s, Values w) {
       return multiclass::kappa(multiclass::confusion(s.y, matrix(s), w), multiclass::KappaWeights::quadratic);
     }},
};

constexpr MetricInfo regression_metrics[] = {
    {"rmse", down, full, of_scores<regression::rmse>},
    {"mse", down, mean, of_scores<regression::mse>},
    {"mae", down, mean, of_scores<regression::mae>},
    {"medae", down, bare, plain<regression::medae>},
    {"max_error", down, bare, plain<regression::max_error>},
    {"r2", up, full, of_scores<regression::r2>},
    {"explained_variance", up, full, of_scores<regression::explained_variance>},
    {"mape", down, mean, of_scores<regression::mape>},
    {"smape", down, mean, of_scores<regression::smape>},
    {"wape", down, full, of_scores<regression::wape>},
    {"rmsle", down, full, of_scores<regression::rmsle>},
    {"pinball_0_1", down, mean, quantile_loss<1>},
    {"pinball_0_5", down, mean, quantile_loss<5>},
    {"pinball_0_9", down, mean, quantile_loss<9>},
    {"poisson_deviance", down, mean, of_scores<regression::poisson_deviance>},
    {"gamma_deviance", down, mean, of_scores<regression::gamma_deviance>},
    {"d2_absolute", up, bare, plain<regression::d2_absolute>},
    {"pearson", up, bare, plain<regression::pearson>},
    {"spearman", up, bare, plain<regression::spearman>},
    {"kendall_tau_b", up, bare, plain<regression::kendall_tau_b>},
    {"mean_error", none, mean, mean_error},
};

constexpr std::array tasks{TaskType::binary, TaskType::multiclass, TaskType::regression};

}  // namespace

std::span<const MetricInfo> metrics_of(TaskType task) {
  switch (task) {
    case TaskType::binary:
      return binary_metrics;
    case TaskType::multiclass:
      return multiclass_metrics;
    case TaskType::regression:
      return regression_metrics;
  }
  return {};
}

const MetricInfo* find_metric(TaskType task, std::string_view name) {
  const auto all = metrics_of(task);
  const auto found = std::ranges::find(all, name, &MetricInfo::name);
  return found == all.end() ? nullptr : &*found;
}

const MetricInfo* find_metric(std::string_view name) {
  for (const TaskType task : tasks) {
    if (const MetricInfo* info = find_metric(task, name)) return info;
  }
  return nullptr;
}

std::vector<std::string> metric_names(TaskType task) {
  std::vector<std::string> names;
  for (const MetricInfo& info : metrics_of(task)) names.emplace_back(info.name);
  return names;
}

std::string_view primary_metric(TaskType task) {
  switch (task) {
    case TaskType::binary:
      return "auc";
    case TaskType::multiclass:
      return "accuracy";
    case TaskType::regression:
      return "rmse";
  }
  return "";
}

std::span<const std::string_view> slice_metrics(TaskType task) {
  static constexpr std::string_view of_binary[] = {"auc",    "log_loss", "accuracy",       "precision",
                                                   "recall", "ece",      "selection_rate", "base_rate"};
  static constexpr std::string_view of_multiclass[] = {"accuracy", "balanced_accuracy", "f1_macro", "log_loss", "ece"};
  static constexpr std::string_view of_regression[] = {"rmse", "mae", "r2", "mean_error"};
  switch (task) {
    case TaskType::binary:
      return of_binary;
    case TaskType::multiclass:
      return of_multiclass;
    case TaskType::regression:
      return of_regression;
  }
  return {};
}

double measure(const Scored& scored, const MetricInfo& metric) { return metric.value(scored, scored.weights); }

std::string why_undefined(const Scored& s) {
  if (s.size() == 0) return "no rows";
  const auto [low, high] = std::minmax_element(s.y.begin(), s.y.end());
  if (*low != *high) {
    return fmt::format("not defined on these {} rows", s.size());
  }
  if (s.task == TaskType::regression) return fmt::format("the target is {} in all {} rows", *low, s.size());
  const auto index = static_cast<std::size_t>(*low);
  const std::string name = index < s.classes.size() ? s.classes[index] : std::to_string(index);
  return fmt::format("only one class ({}) in {} rows", name, s.size());
}

}  // namespace millrace::eval
