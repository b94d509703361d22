#include <algorithm>
#include <numeric>

#include "eval/math_internal.hpp"
#include "eval/metrics.hpp"

namespace millrace::eval::regression {

namespace {

double median(std::vector<double> values) {
  if (values.empty()) return undefined;
  const std::size_t half = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(half), values.end());
  const double upper = values[half];
  if (values.size() % 2 == 1) return upper;
  return (upper + *std::max_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(half))) / 2;
}

std::vector<double> errors(Values y, Values p) {
  same_length(y.size(), p.size());
  std::vector<double> out(y.size());
  for (std::size_t i = 0; i < y.size(); ++i) out[i] = std::abs(y[i] - p[i]);
  return out;
}

// 1-based ranks, equal values share the mean of theirs.
std::vector<double> ranks(Values values) {
  std::vector<std::uint32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return values[a] < values[b]; });
  std::vector<double> out(values.size());
  for (std::size_t from = 0; from < order.size();) {
    std::size_t to = from;
    while (to < order.size() && values[order[to]] == values[order[from]]) ++to;
    for (std::size_t i = from; i < to; ++i) out[order[i]] = (static_cast<double>(from + to) + 1) / 2;
    from = to;
  }
  return out;
}

// Pairs of equal neighbours in a sorted sequence: sum over groups of t (t - 1) / 2.
template <class Same>
double tied_pairs(std::size_t rows, Same same) {
  double pairs = 0, run = 1;
  for (std::size_t i = 1; i <= rows; ++i) {
    if (i < rows && same(i - 1, i)) {
      ++run;
    } else {
      pairs += run * (run - 1) / 2;
      run = 1;
    }
  }
  return pairs;
}

// Sorts `values` and returns how many pairs stood in falling order.
double inversions(std::vector<double>& values) {
  double count = 0;
  std::vector<double> other(values.size());
  for (std::size_t width = 1; width < values.size(); width *= 2) {
    for (std::size_t from = 0; from < values.size(); from += 2 * width) {
      const std::size_t middle = std::min(from + width, values.size()), to = std::min(from + 2 * width, values.size());
      std::size_t left = from, right = middle;
      for (std::size_t i = from; i < to; ++i) {
        if (right >= to || (left < middle && values[left] <= values[right])) {
          other[i] = values[left++];
        } else {
          count += static_cast<double>(middle - left);
          other[i] = values[right++];
        }
      }
    }
    values.swap(other);
  }
  return count;
}

double weighted_mean(Values values, Values w) {
  return mean_of(values.size(), w, [&](std::size_t i) { return values[i]; });
}

}  // namespace

double mse(Values y, Values p, Values w) {
  same_length(y.size(), p.size());
  return mean_of(y.size(), w, [&](std::size_t i) { return (y[i] - p[i]) * (y[i] - p[i]); });
}
double rmse(Values y, Values p, Values w) { return std::sqrt(mse(y, p, w)); }
double mae(Values y, Values p, Values w) {
  same_length(y.size(), p.size());
  return mean_of(y.size(), w, [&](std::size_t i) { return std::abs(y[i] - p[i]); });
}
double medae(Values y, Values p) { return median(errors(y, p)); }
double max_error(Values y, Values p) {
  const auto all = errors(y, p);
  return all.empty() ? undefined : *std::max_element(all.begin(), all.end());
}

double r2(Values y, Values p, Values w) {
  const double middle = weighted_mean(y, w);
  const double spread = mean_of(y.size(), w, [&](std::size_t i) { return (y[i] - middle) * (y[i] - middle); });
  return spread > 0 ? 1 - mse(y, p, w) / spread : undefined;
}

double explained_variance(Values y, Values p, Values w) {
  same_length(y.size(), p.size());
  const double middle = weighted_mean(y, w);
  const double shift = mean_of(y.size(), w, [&](std::size_t i) { return y[i] - p[i]; });
  const double spread = mean_of(y.size(), w, [&](std::size_t i) { return (y[i] - middle) * (y[i] - middle); });
  const double left = mean_of(y.size(), w, [&](std::size_t i) {
    const double off = y[i] - p[i] - shift;
    return off * off;
  });
  return spread > 0 ? 1 - left / spread : undefined;
}

double mape(Values y, Values p, Values w) {
  same_length(y.size(), p.size());
  return mean_of(y.size(), w, [&](std::size_t i) { return std::abs(y[i] - p[i]) / std::max(std::abs(y[i]), epsilon); });
}
double smape(Values y, Values p, Values w) {
  same_length(y.size(), p.size());
  return mean_of(y.size(), w,
                 [&](std::size_t i) { return share(2 * std::abs(y[i] - p[i]), std::abs(y[i]) + std::abs(p[i])); });
}
double wape(Values y, Values p, Values w) {
  const double size = mean_of(y.size(), w, [&](std::size_t i) { return std::abs(y[i]); });
  return size > 0 ? mae(y, p, w) / size : undefined;
}
double rmsle(Values y, Values p, Values w) {
  same_length(y.size(), p.size());
  return std::sqrt(mean_of(y.size(), w, [&](std::size_t i) {
    if (y[i] <= -1 || p[i] <= -1) return undefined;
    const double off = std::log1p(y[i]) - std::log1p(p[i]);
    return off * off;
  }));
}
double pinball(Values y, Values p, double alpha, Values w) {
  same_length(y.size(), p.size());
  return mean_of(y.size(), w, [&](std::size_t i) {
    const double off = y[i] - p[i];
    return off >= 0 ? alpha * off : (alpha - 1) * off;
  });
}

double tweedie_deviance(Values y, Values p, double power, Values w) {
  same_length(y.size(), p.size());
  if (power > 0 && power < 1) return undefined;
  return mean_of(y.size(), w, [&](std::size_t i) -> double {
    const double truth = y[i], said = p[i];
    if (power == 0) return (truth - said) * (truth - said);
    if (said <= 0 || (power >= 1 && truth < 0) || (power >= 2 && truth <= 0)) return undefined;
    if (power == 1) return 2 * ((truth > 0 ? truth * std::log(truth / said) : 0.0) - truth + said);
    if (power == 2) return 2 * (std::log(said / truth) + truth / said - 1);
    return 2 * (std::pow(std::max(truth, 0.0), 2 - power) / ((1 - power) * (2 - power)) -
                truth * std::pow(said, 1 - power) / (1 - power) + std::pow(said, 2 - power) / (2 - power));
  });
}
double poisson_deviance(Values y, Values p, Values w) { return tweedie_deviance(y, p, 1, w); }
double gamma_deviance(Values y, Values p, Values w) { return tweedie_deviance(y, p, 2, w); }

double d2_absolute(Values y, Values p) {
  const std::vector<double> middle(y.size(), median({y.begin(), y.end()}));
  const double naive = mae(y, middle);
  return naive > 0 ? 1 - mae(y, p) / naive : undefined;
}

double pearson(Values y, Values p) {
  same_length(y.size(), p.size());
  const double y_mean = weighted_mean(y, {}), p_mean = weighted_mean(p, {});
  double both = 0, ys = 0, ps = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    both += (y[i] - y_mean) * (p[i] - p_mean);
    ys += (y[i] - y_mean) * (y[i] - y_mean);
    ps += (p[i] - p_mean) * (p[i] - p_mean);
  }
  return ys > 0 && ps > 0 ? both / std::sqrt(ys * ps) : undefined;
}
double spearman(Values y, Values p) { return pearson(ranks(y), ranks(p)); }

double kendall_tau_b(Values y, Values p) {
  same_length(y.size(), p.size());
  const std::size_t n = y.size();
  std::vector<std::uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return y[a] != y[b] ? y[a] < y[b] : p[a] < p[b]; });
  const auto y_same = [&](std::size_t a, std::size_t b) { return y[order[a]] == y[order[b]]; };
  const double y_ties = tied_pairs(n, y_same);
  const double both_ties =
      tied_pairs(n, [&](std::size_t a, std::size_t b) { return y_same(a, b) && p[order[a]] == p[order[b]]; });
  std::vector<double> sorted(n);
  for (std::size_t i = 0; i < n; ++i) sorted[i] = p[order[i]];
  const double against = inversions(sorted);
  const double p_ties = tied_pairs(n, [&](std::size_t a, std::size_t b) { return sorted[a] == sorted[b]; });
  const double pairs = static_cast<double>(n) * (static_cast<double>(n) - 1) / 2;
  const double bottom = std::sqrt((pairs - y_ties) * (pairs - p_ties));
  return bottom > 0 ? (pairs - y_ties - p_ties + both_ties - 2 * against) / bottom : undefined;
}

}  // namespace millrace::eval::regression
