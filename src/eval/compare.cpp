#include "eval/compare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "base/nearest.hpp"
#include "base/rng.hpp"
#include "eval/catalogue.hpp"

namespace millrace::eval {

namespace {

// How often each row was drawn.
using Draw = std::vector<std::uint32_t>;

// AUC over many draws of the same rows: sorted once, read in order, so that a draw costs one look-up per row.
class FastAuc {
 public:
  explicit FastAuc(const Scored& scored) : row_(falling_order(scored.scores)) {
    positive_.reserve(row_.size());
    ends_tie_.reserve(row_.size());
    for (std::size_t i = 0; i < row_.size(); ++i) {
      positive_.push_back(scored.y[row_[i]] > 0.5 ? 1.0 : 0.0);
      ends_tie_.push_back(i + 1 == row_.size() || scored.scores[row_[i]] != scored.scores[row_[i + 1]]);
    }
  }

  double value(Values w) const {
    double area = 0, tp = 0, fp = 0, tp_before = 0, fp_before = 0;
    for (std::size_t i = 0; i < row_.size(); ++i) {
      const double weight = w[row_[i]], yes = weight * positive_[i];
      tp += yes;
      fp += weight - yes;
      if (!ends_tie_[i]) continue;
      area += (fp - fp_before) * (tp + tp_before);
      tp_before = tp;
      fp_before = fp;
    }
    return tp > 0 && fp > 0 ? area / (2 * tp * fp) : std::numeric_limits<double>::quiet_NaN();
  }

 private:
  std::vector<std::uint32_t> row_;  // by falling score
  std::vector<double> positive_;
  std::vector<char> ends_tie_;
};

// A metric prepared for many draws over one Scored: what can be sorted or computed once, is.
class Resampled {
 public:
  Resampled(const Scored& scored, const MetricInfo& metric) : scored_(scored), metric_(metric) {
    if (scored.task == TaskType::binary && (metric.name == "auc" || metric.name == "gini")) {
      auc_.emplace(scored);
    } else if (metric.form == Form::mean_of_rows) {
      for (std::uint32_t row = 0; row < scored.size(); ++row) {
        const Scored alone = take(scored, {&row, 1});
        terms_.push_back(metric.value(alone, {}));
      }
    }
    weights_.resize(scored.size());
  }

  double value(const Draw& draw) {
    if (metric_.form == Form::unweighted) return value_of_copies(draw);
    // Drawing a row k times is the same as giving it k times its weight.
    for (std::size_t i = 0; i < draw.size(); ++i) {
      weights_[i] = draw[i] * (scored_.weights.empty() ? 1.0 : scored_.weights[i]);
    }
    if (auc_) return metric_.name == "gini" ? 2 * auc_->value(weights_) - 1 : auc_->value(weights_);
    return terms_.empty() ? metric_.value(scored_, weights_) : mean_of_terms();
  }

 private:
  double mean_of_terms() const {
    double sum = 0, total = 0;
    for (std::size_t i = 0; i < terms_.size(); ++i) {
      sum += weights_[i] * terms_[i];
      total += weights_[i];
    }
    return sum / total;
  }

  double value_of_copies(const Draw& draw) const {
    std::vector<std::uint32_t> rows;
    rows.reserve(draw.size());
    for (std::uint32_t row = 0; row < draw.size(); ++row) rows.insert(rows.end(), draw[row], row);
    const Scored copy = take(scored_, rows);
    return metric_.value(copy, copy.weights);
  }

  const Scored& scored_;
  const MetricInfo& metric_;
  std::optional<FastAuc> auc_;
  std::vector<double> terms_;  // the metric of each row alone
  std::vector<double> weights_;
};

void draw_rows(Draw& draw, Rng& rng) {
  std::fill(draw.begin(), draw.end(), 0u);
  const std::uint64_t rows = draw.size();
  // Two rows per number: each half scaled to [0, rows). The bias is below rows / 2^32, far under the bootstrap's own
  // error.
  for (std::uint64_t i = 0; i < rows; i += 2) {
    const std::uint64_t bits = rng.next();
    ++draw[((bits >> 32) * rows) >> 32];
    if (i + 1 < rows) ++draw[((bits & 0xffffffffu) * rows) >> 32];
  }
}

// Linear between order statistics, as numpy.quantile.
double quantile(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (at - static_cast<double>(below));
}

std::optional<Interval> percentile_interval(std::size_t rows, const Bootstrap& how,
                                            const std::function<double(const Draw&)>& statistic) {
  if (rows == 0) return std::nullopt;
  SeededRng rng(how.seed);
  Draw draw(rows);
  std::vector<double> values;
  const std::size_t resamples = resamples_for(rows, how);
  for (std::size_t i = 0; i < resamples; ++i) {
    draw_rows(draw, rng);
    if (const double value = statistic(draw); std::isfinite(value)) values.push_back(value);
  }
  if (values.size() * 2 < resamples || values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  return Interval{quantile(values, (1 - how.level) / 2), quantile(values, (1 + how.level) / 2)};
}

std::optional<double> defined(double value) { return std::isfinite(value) ? std::optional(value) : std::nullopt; }

}  // namespace

std::size_t resamples_for(std::size_t rows, const Bootstrap& how) {
  if (how.resamples > 0) return how.resamples;
  return std::clamp<std::size_t>(20'000'000 / std::max<std::size_t>(rows, 1), 200, 1000);
}

std::optional<Interval> interval_of(const Scored& scored, const MetricInfo& metric, const Bootstrap& how) {
  if (!std::isfinite(measure(scored, metric))) return std::nullopt;
  Resampled resampled(scored, metric);
  return percentile_interval(scored.size(), how, [&](const Draw& draw) { return resampled.value(draw); });
}

std::optional<Interval> interval_of(const Scored& scored, std::string_view name, const Bootstrap& how) {
  const MetricInfo* metric = find_metric(scored.task, name);
  return metric == nullptr ? std::nullopt : interval_of(scored, *metric, how);
}

Result<Comparison> compare(const Scored& candidate, const Scored& rival, std::string rival_name, std::string_view name,
                           const Bootstrap& how) {
  const MetricInfo* metric = find_metric(candidate.task, name);
  if (metric == nullptr) {
    const auto names = metric_names(candidate.task);
    const std::string close = nearest(name, names);
    return fail(Code::invalid_argument, "eval.unknown_metric",
                fmt::format("no metric '{}' for a {} model{}", name, task_name(candidate.task),
                            close.empty() ? "" : "; did you mean '" + close + "'?"));
  }
  if (candidate.task != rival.task || candidate.rows != rival.rows || candidate.y != rival.y) {
    return fail(
        Code::failed_precondition, "eval.rows_differ",
        fmt::format("the candidate ({} rows) and {} ({} rows) were not scored on the same rows in the same order",
                    candidate.size(), rival_name, rival.size()));
  }
  Comparison c{.metric = std::string(name),
               .rival = std::move(rival_name),
               .value = defined(measure(candidate, *metric)),
               .rival_value = defined(measure(rival, *metric)),
               .level = how.level,
               .rows = candidate.size(),
               .rows_digest = digest_of_rows(candidate)};
  if (!c.value || !c.rival_value) {
    c.why_undefined = why_undefined(candidate);
    return c;
  }
  c.difference = *c.value - *c.rival_value;
  c.resamples = resamples_for(candidate.size(), how);
  Resampled ours(candidate, *metric), theirs(rival, *metric);
  c.interval = percentile_interval(candidate.size(), how,
                                   [&](const Draw& draw) { return ours.value(draw) - theirs.value(draw); });
  return c;
}

}  // namespace millrace::eval
