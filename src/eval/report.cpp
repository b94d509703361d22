#include "eval/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/json.hpp"
#include "base/nearest.hpp"
#include "eval/catalogue.hpp"

namespace millrace::eval {

namespace {

using Rows = std::vector<std::uint32_t>;
using Groups = std::vector<std::pair<std::string, Rows>>;
constexpr std::size_t values_max_default = 20;
constexpr std::size_t distinct_numbers_max = 10;

std::string number_text(double value) { return fmt::format("{}", value); }

// By value; the most frequent first, equals by name.
Groups by_category(const SliceColumn& column) {
  std::map<std::string, Rows> groups;
  const std::size_t rows = column.texts.size() + column.numbers.size();
  for (std::uint32_t row = 0; row < rows; ++row) {
    if (!column.texts.empty()) {
      groups[column.texts[row].value_or(std::string(missing_value))].push_back(row);
    } else {
      const double number = column.numbers[row];
      groups[std::isnan(number) ? std::string(missing_value) : number_text(number)].push_back(row);
    }
  }
  Groups sorted(groups.begin(), groups.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second.size() > b.second.size(); });
  return sorted;
}

Groups by_quartile(const SliceColumn& column) {
  std::vector<double> sorted;
  for (const double number : column.numbers) {
    if (!std::isnan(number)) sorted.push_back(number);
  }
  std::sort(sorted.begin(), sorted.end());
  std::vector<double> edges;  // values that occur, so that the labels are numbers that people know
  for (const double share : {0.25, 0.5, 0.75}) {
    edges.push_back(sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))]);
  }
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  Groups groups;
  for (std::size_t i = 0; i <= edges.size(); ++i) {
    const std::string label = i == 0              ? fmt::format("<= {}", edges[0])
                              : i == edges.size() ? fmt::format("> {}", edges.back())
                                                  : fmt::format("{} .. {}", edges[i - 1], edges[i]);
    groups.emplace_back(label, Rows{});
  }
  groups.emplace_back(missing_value, Rows{});
  for (std::uint32_t row = 0; row < column.numbers.size(); ++row) {
    const double number = column.numbers[row];
    const auto at =
        std::isnan(number)
            ? edges.size() + 1
            : static_cast<std::size_t>(std::lower_bound(edges.begin(), edges.end(), number) - edges.begin());
    groups[at].second.push_back(row);
  }
  std::erase_if(groups, [](const auto& group) { return group.second.empty(); });
  return groups;
}

Groups groups_of(const SliceColumn& column) {
  std::set<double> distinct;
  for (const double number : column.numbers) {
    if (!std::isnan(number)) distinct.insert(number);
    if (distinct.size() > distinct_numbers_max) return by_quartile(column);
  }
  return by_category(column);
}

Measures measures_of(const Scored& scored, std::span<const MetricInfo* const> metrics) {
  Measures m{.rows = scored.size()};
  if (scored.task != TaskType::regression) {
    m.class_rows.resize(std::max<std::size_t>(scored.classes.size(), 2));
    for (const double y : scored.y) ++m.class_rows[static_cast<std::size_t>(y)];
  }
  for (const MetricInfo* metric : metrics) {
    const double value = measure(scored, *metric);
    if (std::isfinite(value)) {
      m.metrics[std::string(metric->name)] = value;
    } else {
      m.undefined = why_undefined(scored);
    }
  }
  return m;
}

void add_interval(Measures& m, const Scored& scored, const std::string& metric, const Bootstrap& how) {
  if (m.intervals.contains(metric)) return;
  if (const auto interval = interval_of(scored, metric, how)) m.intervals[metric] = *interval;
}

Result<void> check_plan(const Scored& scored, const ReportPlan& plan) {
  const auto known = [&](const std::string& name) -> Result<void> {
    if (find_metric(scored.task, name) != nullptr) return {};
    const std::string close = nearest(name, metric_names(scored.task));
    return fail(Code::invalid_argument, "eval.unknown_metric",
                fmt::format("no metric '{}' for a {} model{}", name, task_name(scored.task),
                            close.empty() ? "" : "; did you mean '" + close + "'?"));
  };
  if (!plan.primary.empty()) TRY_VOID(known(plan.primary));
  for (const auto& name : plan.slice_metrics) TRY_VOID(known(name));
  for (const auto& name : plan.interval_metrics) TRY_VOID(known(name));
  for (const auto& wanted : plan.wanted) TRY_VOID(known(wanted.metric));
  return {};
}

std::vector<const MetricInfo*> metrics_for_slices(const Scored& scored, const ReportPlan& plan) {
  std::set<std::string, std::less<>> names(plan.slice_metrics.begin(), plan.slice_metrics.end());
  for (const std::string_view name : slice_metrics(scored.task)) names.emplace(name);
  names.emplace(plan.primary.empty() ? primary_metric(scored.task) : plan.primary);
  for (const auto& wanted : plan.wanted) names.insert(wanted.metric);
  std::vector<const MetricInfo*> metrics;
  for (const auto& name : names) metrics.push_back(find_metric(scored.task, name));
  return metrics;
}

void add_slices(Report& report, const Scored& scored, const ReportPlan& plan,
                std::span<const MetricInfo* const> metrics) {
  for (const SliceColumn& column : scored.slices) {
    const auto limit = plan.values_max.find(column.name);
    const std::size_t values_max = limit == plan.values_max.end() ? values_max_default : limit->second;
    SlicesCut cut{.column = column.name};
    std::size_t taken = 0;
    for (const auto& [value, rows] : groups_of(column)) {
      if (taken++ >= values_max) {
        ++cut.values_left_out;
        cut.rows_left_out += rows.size();
        continue;
      }
      report.slices.push_back({column.name, value, measures_of(take(scored, rows), metrics)});
    }
    if (cut.values_left_out > 0) report.cut.push_back(cut);
  }
}

Result<void> add_wanted(Report& report, const Scored& scored, const ReportPlan& plan,
                        std::span<const MetricInfo* const> metrics) {
  for (const auto& wanted : plan.wanted) {
    const auto rows = rows_where(scored, wanted.column, wanted.value);
    if (!rows) {
      std::vector<std::string> names;
      for (const SliceColumn& column : scored.slices) names.push_back(column.name);
      const std::string close = nearest(wanted.column, names);
      return fail(Code::invalid_argument, "eval.unknown_column",
                  fmt::format("no column '{}' to look at apart{}", wanted.column,
                              close.empty() ? "" : "; did you mean '" + close + "'?"));
    }
    const Scored part = take(scored, *rows);
    auto slice = std::ranges::find_if(
        report.slices, [&](const Slice& s) { return s.column == wanted.column && s.value == wanted.value; });
    if (slice == report.slices.end()) {
      report.slices.push_back({wanted.column, wanted.value, measures_of(part, metrics)});
      slice = std::prev(report.slices.end());
    }
    add_interval(slice->measures, part, wanted.metric, plan.bootstrap);
  }
  return {};
}

}  // namespace

std::optional<Latency> latency_of(std::vector<double> calls) {
  if (calls.empty()) return std::nullopt;
  std::sort(calls.begin(), calls.end());
  const auto at = [&](double share) {
    const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(calls.size())));
    return calls[std::clamp<std::size_t>(rank, 1, calls.size()) - 1];
  };
  return Latency{at(0.50), at(0.95), at(0.99), calls.size()};
}

std::optional<std::vector<std::uint32_t>> rows_where(const Scored& scored, std::string_view name,
                                                     std::string_view value) {
  const auto column = std::ranges::find(scored.slices, name, &SliceColumn::name);
  if (column == scored.slices.end()) return std::nullopt;
  Rows rows;
  for (std::uint32_t row = 0; row < column->texts.size(); ++row) {
    const auto& text = column->texts[row];
    if (text ? *text == value : value == missing_value) rows.push_back(row);
  }
  if (column->numbers.empty()) return rows;
  char* end = nullptr;
  const std::string text(value);
  const double number = std::strtod(text.c_str(), &end);
  const bool is_number = end != text.c_str() && *end == '\0';
  for (std::uint32_t row = 0; row < column->numbers.size(); ++row) {
    const double here = column->numbers[row];
    if (std::isnan(here) ? value == missing_value : is_number && here == number) rows.push_back(row);
  }
  return rows;
}

Result<Report> report_of(const Scored& scored, const ReportPlan& plan) {
  TRY_VOID(check(scored));
  TRY_VOID(check_plan(scored, plan));
  Report report{.task = std::string(task_name(scored.task)),
                .primary = plan.primary.empty() ? std::string(primary_metric(scored.task)) : plan.primary,
                .classes = scored.classes,
                .rows_digest = digest_of_rows(scored),
                .resamples = resamples_for(scored.size(), plan.bootstrap)};
  std::vector<const MetricInfo*> every;
  for (const MetricInfo& metric : metrics_of(scored.task)) every.push_back(&metric);
  report.all = measures_of(scored, every);
  if (plan.intervals) add_interval(report.all, scored, report.primary, plan.bootstrap);
  for (const auto& name : plan.interval_metrics) add_interval(report.all, scored, name, plan.bootstrap);

  const auto metrics = metrics_for_slices(scored, plan);
  add_slices(report, scored, plan, metrics);
  TRY_VOID(add_wanted(report, scored, plan, metrics));

  std::vector<binary::Bin> bins;
  if (scored.task == TaskType::binary) bins = binary::calibration(scored.y, scored.scores, 10, scored.weights);
  if (scored.task == TaskType::multiclass) {
    bins = multiclass::calibration(scored.y, {scored.scores, scored.classes.size()}, 10, scored.weights);
  }
  for (const binary::Bin& bin : bins) {
    report.calibration.push_back({bin.from, bin.to, bin.weight, bin.predicted, bin.observed});
  }
  return report;
}

const Slice* find_slice(const Report& report, std::string_view column, std::string_view value) {
  const auto found =
      std::ranges::find_if(report.slices, [&](const Slice& s) { return s.column == column && s.value == value; });
  return found == report.slices.end() ? nullptr : &*found;
}

std::string render_report(const Report& report) { return json::render(report); }

Result<Report> parse_report(std::string_view text) {
  TRY(Report report, json::parse<Report>(text, "evaluation report"));
  if (report.format > Report{}.format) {
    return fail(Code::failed_precondition, "eval.newer_format",
                fmt::format("the evaluation report has format {}, this build reads up to {}; use a newer millrace",
                            report.format, Report{}.format));
  }
  return report;
}

}  // namespace millrace::eval
