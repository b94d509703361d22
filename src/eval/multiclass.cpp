#include <algorithm>
#include <numeric>

#include "eval/math_internal.hpp"
#include "eval/metrics.hpp"

namespace millrace::eval::multiclass {

namespace {

std::size_t class_of(double y) { return static_cast<std::size_t>(y); }

// Mean over the classes for which `value` is defined.
double mean_defined(const std::vector<double>& values) {
  double sum = 0;
  int count = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    ++count;
  }
  return count > 0 ? sum / count : undefined;
}

template <class Top, class Bottom>
std::vector<double> per_class(const Confusion& c, Top top, Bottom bottom) {
  std::vector<double> values(c.classes);
  for (std::size_t k = 0; k < c.classes; ++k) {
    values[k] = share(top(k), bottom(k), c.of_truth(k) + c.of_predicted(k) <= 0);
  }
  return values;
}

struct OneAgainstRest {
  std::vector<double> y, p;
};
OneAgainstRest against_rest(Values y, const Scores& s, std::size_t k) {
  OneAgainstRest one;
  one.y.resize(y.size());
  one.p.resize(y.size());
  for (std::size_t r = 0; r < y.size(); ++r) {
    one.y[r] = class_of(y[r]) == k ? 1 : 0;
    one.p[r] = s.row(r)[k];
  }
  return one;
}

// The chosen class of each row: was it right, and how sure was the model.
OneAgainstRest confidence(Values y, const Scores& s) {
  OneAgainstRest top;
  for (std::size_t r = 0; r < y.size(); ++r) {
    const std::size_t chosen = decide(s.row(r));
    top.y.push_back(chosen == class_of(y[r]) ? 1 : 0);
    top.p.push_back(s.row(r)[chosen]);
  }
  return top;
}

}  // namespace

std::size_t decide(Values row) {
  return static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

double Confusion::of_truth(std::size_t k) const {
  double sum = 0;
  for (std::size_t j = 0; j < classes; ++j) sum += at(k, j);
  return sum;
}
double Confusion::of_predicted(std::size_t k) const {
  double sum = 0;
  for (std::size_t j = 0; j < classes; ++j) sum += at(j, k);
  return sum;
}
double Confusion::rows() const { return std::accumulate(counts.begin(), counts.end(), 0.0); }

Confusion confusion(Values y, const Scores& s, Values w) {
  same_length(y.size(), s.rows());
  Confusion c{s.classes, std::vector<double>(s.classes * s.classes)};
  for (std::size_t r = 0; r < y.size(); ++r) {
    if (class_of(y[r]) >= s.classes) std::abort();
    c.counts[class_of(y[r]) * s.classes + decide(s.row(r))] += weight_at(w, r);
  }
  return c;
}

std::vector<double> precision_per_class(const Confusion& c) {
  return per_class(c, [&](auto k) { return c.at(k, k); }, [&](auto k) { return c.of_predicted(k); });
}
std::vector<double> recall_per_class(const Confusion& c) {
  return per_class(c, [&](auto k) { return c.at(k, k); }, [&](auto k) { return c.of_truth(k); });
}
std::vector<double> f1_per_class(const Confusion& c) {
  return per_class(
      c, [&](auto k) { return 2 * c.at(k, k); }, [&](auto k) { return c.of_truth(k) + c.of_predicted(k); });
}

double accuracy(const Confusion& c) {
  double right = 0;
  for (std::size_t k = 0; k < c.classes; ++k) right += c.at(k, k);
  return share(right, c.rows(), c.rows() <= 0);
}
double balanced_accuracy(const Confusion& c) {
  std::vector<double> recalls;
  for (std::size_t k = 0; k < c.classes; ++k) {
    if (c.of_truth(k) > 0) recalls.push_back(c.at(k, k) / c.of_truth(k));
  }
  return mean_defined(recalls);
}
double precision_macro(const Confusion& c) { return mean_defined(precision_per_class(c)); }
double recall_macro(const Confusion& c) { return mean_defined(recall_per_class(c)); }
double f1_macro(const Confusion& c) { return mean_defined(f1_per_class(c)); }
double f1_micro(const Confusion& c) { return accuracy(c); }
double f1_weighted(const Confusion& c) {
  const auto f1 = f1_per_class(c);
  double sum = 0;
  for (std::size_t k = 0; k < c.classes; ++k) {
    if (c.of_truth(k) > 0) sum += c.of_truth(k) * f1[k];
  }
  return share(sum, c.rows(), c.rows() <= 0);
}

double mcc(const Confusion& c) {
  const double n = c.rows();
  double right = 0, both = 0, truth = 0, predicted = 0;
  for (std::size_t k = 0; k < c.classes; ++k) {
    const double t = c.of_truth(k), p = c.of_predicted(k);
    right += c.at(k, k);
    both += t * p;
    truth += t * t;
    predicted += p * p;
  }
  const double truth_spread = n * n - truth;  // 0 when all rows are of one class
  return share(right * n - both, std::sqrt(truth_spread * (n * n - predicted)), n <= 0 || truth_spread <= 0);
}

double kappa(const Confusion& c, KappaWeights weights) {
  const double n = c.rows();
  double observed = 0, expected = 0;
  for (std::size_t i = 0; i < c.classes; ++i) {
    for (std::size_t j = 0; j < c.classes; ++j) {
      const double apart = static_cast<double>(i) - static_cast<double>(j);
      const double weight = weights == KappaWeights::quadratic ? apart * apart : (i == j ? 0.0 : 1.0);
      observed += weight * c.at(i, j);
      expected += weight * c.of_truth(i) * c.of_predicted(j) / n;
    }
  }
  return n > 0 && expected > 0 ? 1 - observed / expected : undefined;
}

double log_loss(Values y, const Scores& s, Values w) {
  same_length(y.size(), s.rows());
  return mean_of(y.size(), w,
                 [&](std::size_t r) { return -std::log(std::clamp(s.row(r)[class_of(y[r])], epsilon, 1 - epsilon)); });
}

double brier(Values y, const Scores& s, Values w) {
  same_length(y.size(), s.rows());
  return mean_of(y.size(), w, [&](std::size_t r) {
    double sum = 0;
    for (std::size_t k = 0; k < s.classes; ++k) {
      const double off = s.row(r)[k] - (class_of(y[r]) == k ? 1 : 0);
      sum += off * off;
    }
    return sum;
  });
}

double top_k(Values y, const Scores& s, std::size_t k, Values w) {
  same_length(y.size(), s.rows());
  return mean_of(y.size(), w, [&](std::size_t r) {
    const Values row = s.row(r);
    const std::size_t truth = class_of(y[r]);
    std::size_t ahead = 0;
    for (std::size_t j = 0; j < s.classes; ++j) {
      if (row[j] > row[truth] || (row[j] == row[truth] && j > truth)) ++ahead;
    }
    return ahead < k ? 1.0 : 0.0;
  });
}

double auc_ovr_macro(Values y, const Scores& s, Values w) {
  double sum = 0;
  for (std::size_t k = 0; k < s.classes; ++k) {
    const auto one = against_rest(y, s, k);
    sum += binary::auc(one.y, one.p, w);
  }
  return s.classes > 0 ? sum / static_cast<double>(s.classes) : undefined;
}

double auc_ovr_weighted(Values y, const Scores& s, Values w) {
  double sum = 0, total = 0;
  for (std::size_t k = 0; k < s.classes; ++k) {
    const auto one = against_rest(y, s, k);
    double rows = 0;
    for (std::size_t r = 0; r < y.size(); ++r) rows += weight_at(w, r) * one.y[r];
    sum += rows * binary::auc(one.y, one.p, w);
    total += rows;
  }
  return share(sum, total, total <= 0);
}

double auc_ovo_macro(Values y, const Scores& s) {
  double sum = 0;
  int pairs = 0;
  for (std::size_t a = 0; a < s.classes; ++a) {
    for (std::size_t b = a + 1; b < s.classes; ++b) {
      OneAgainstRest first, second;
      for (std::size_t r = 0; r < y.size(); ++r) {
        const std::size_t truth = class_of(y[r]);
        if (truth != a && truth != b) continue;
        first.y.push_back(truth == a ? 1 : 0);
        first.p.push_back(s.row(r)[a]);
        second.y.push_back(truth == b ? 1 : 0);
        second.p.push_back(s.row(r)[b]);
      }
      sum += (binary::auc(first.y, first.p) + binary::auc(second.y, second.p)) / 2;
      ++pairs;
    }
  }
  return pairs > 0 ? sum / pairs : undefined;
}

std::vector<binary::Bin> calibration(Values y, const Scores& s, std::size_t bins, Values w) {
  const auto top = confidence(y, s);
  return binary::calibration(top.y, top.p, bins, w);
}

double ece(Values y, const Scores& s, std::size_t bins, Values w) {
  const auto top = confidence(y, s);
  return binary::ece(top.y, top.p, bins, w);
}

}  // namespace millrace::eval::multiclass
