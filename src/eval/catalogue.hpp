// The metrics by name: what a gate, a report, a retrain rule or the console may ask for.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eval/scored.hpp"

namespace millrace::eval {

enum class Better { higher, lower, neither };  // neither: a description, such as the share of positives

// What a bootstrap may make of it. mean_of_rows: the weighted mean of the metric of each row alone.
enum class Form { mean_of_rows, weighted, unweighted };

struct MetricInfo {
  std::string_view name;
  Better better = Better::higher;
  Form form = Form::weighted;  // unweighted ones ignore row weights
  double (*value)(const Scored& scored, Values w) = nullptr;
};

std::span<const MetricInfo> metrics_of(TaskType task);
const MetricInfo* find_metric(TaskType task, std::string_view name);  // nullptr when there is none
const MetricInfo* find_metric(std::string_view name);                 // of any task
std::vector<std::string> metric_names(TaskType task);

// The one that a report leads with and rules watch when nobody names another: auc, accuracy, rmse.
std::string_view primary_metric(TaskType task);
// A handful worth showing per slice.
std::span<const std::string_view> slice_metrics(TaskType task);

// NaN when not defined on these rows. `scored` must have passed check().
double measure(const Scored& scored, const MetricInfo& metric);

// Why a metric is NaN here, for a person: "only one class (No) in 40 rows".
std::string why_undefined(const Scored& scored);

}  // namespace millrace::eval
