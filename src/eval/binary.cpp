#include <algorithm>
#include <numeric>

#include "eval/math_internal.hpp"
#include "eval/metrics.hpp"

namespace millrace::eval {

std::vector<std::uint32_t> falling_order(Values scores) {
  std::vector<std::uint32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return scores[a] > scores[b]; });
  return order;
}

namespace binary {

Confusion confusion(Values y, Values p, double threshold, Values w) {
  same_length(y.size(), p.size());
  Confusion c;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double weight = weight_at(w, i);
    const bool said = p[i] >= threshold;
    if (y[i] > 0.5) {
      (said ? c.tp : c.fn) += weight;
    } else {
      (said ? c.fp : c.tn) += weight;
    }
  }
  return c;
}

double accuracy(const Confusion& c) { return share(c.tp + c.tn, c.rows(), c.rows() <= 0); }
double precision(const Confusion& c) { return share(c.tp, c.tp + c.fp, c.rows() <= 0); }
double recall(const Confusion& c) { return share(c.tp, c.tp + c.fn, c.tp + c.fn <= 0); }
double specificity(const Confusion& c) { return share(c.tn, c.tn + c.fp, c.tn + c.fp <= 0); }
double fpr(const Confusion& c) { return share(c.fp, c.tn + c.fp, c.tn + c.fp <= 0); }
double balanced_accuracy(const Confusion& c) { return (recall(c) + specificity(c)) / 2; }
double f_beta(const Confusion& c, double beta) {
  const double b2 = beta * beta;
  return share((1 + b2) * c.tp, (1 + b2) * c.tp + b2 * c.fn + c.fp, c.tp + c.fn <= 0);
}
double jaccard(const Confusion& c) { return share(c.tp, c.tp + c.fp + c.fn, c.tp + c.fn <= 0); }
double mcc(const Confusion& c) {
  const double positives = c.tp + c.fn, negatives = c.tn + c.fp;
  const double bottom = std::sqrt((c.tp + c.fp) * positives) * std::sqrt(negatives * (c.tn + c.fn));
  return share(c.tp * c.tn - c.fp * c.fn, bottom, positives <= 0 || negatives <= 0);
}
double kappa(const Confusion& c) {
  const double n = c.rows();
  if (n <= 0) return undefined;
  const double expected = ((c.tp + c.fn) * (c.tp + c.fp) + (c.tn + c.fp) * (c.tn + c.fn)) / (n * n);
  return expected >= 1 ? undefined : (accuracy(c) - expected) / (1 - expected);
}
double selection_rate(const Confusion& c) { return share(c.tp + c.fp, c.rows(), c.rows() <= 0); }
double base_rate(const Confusion& c) { return share(c.tp + c.fn, c.rows(), c.rows() <= 0); }

namespace {

// Calls step(tp, fp, score) after each group of equal scores, from the highest: weights of the rows with at least that
// score. Returns the totals.
struct Totals {
  double positives = 0, negatives = 0;
};
template <class Step>
Totals walk(const Ranked& r, Values w, Step step) {
  same_length(r.y.size(), r.p.size());
  same_length(r.y.size(), r.order.size());
  Totals sum;
  for (std::size_t i = 0; i < r.order.size();) {
    const double score = r.p[r.order[i]];
    double weight_here = 0;
    for (; i < r.order.size() && r.p[r.order[i]] == score; ++i) {
      const std::uint32_t row = r.order[i];
      const double weight = weight_at(w, row);
      (r.y[row] > 0.5 ? sum.positives : sum.negatives) += weight;
      weight_here += weight;
    }
    if (weight_here > 0) step(sum.positives, sum.negatives, score);
  }
  return sum;
}

}  // namespace

double auc(const Ranked& r, Values w) {
  double area = 0, tp_before = 0, fp_before = 0;
  const Totals all = walk(r, w, [&](double tp, double fp, double) {
    area += (fp - fp_before) * (tp + tp_before) / 2;
    tp_before = tp;
    fp_before = fp;
  });
  return all.positives > 0 && all.negatives > 0 ? area / (all.positives * all.negatives) : undefined;
}
double auc(Values y, Values p, Values w) { return auc({y, p, falling_order(p)}, w); }

double auc_up_to(Values y, Values p, double max_fpr, Values w) {
  const auto order = falling_order(p);
  const Totals all = walk({y, p, order}, w, [](double, double, double) {});
  if (all.positives <= 0 || all.negatives <= 0 || max_fpr <= 0 || max_fpr > 1) return undefined;
  double area = 0, x_before = 0, y_before = 0;
  bool done = false;
  walk({y, p, order}, w, [&](double tp, double fp, double) {
    if (done) return;
    double x = fp / all.negatives, height = tp / all.positives;
    if (x > max_fpr) {
      height = y_before + (height - y_before) * (max_fpr - x_before) / (x - x_before);
      x = max_fpr;
      done = true;
    }
    area += (x - x_before) * (height + y_before) / 2;
    x_before = x;
    y_before = height;
  });
  const double chance = 0.5 * max_fpr * max_fpr;
  return 0.5 * (1 + (area - chance) / (max_fpr - chance));
}

double average_precision(const Ranked& r, Values w) {
  double sum = 0, tp_before = 0;
  const Totals all = walk(r, w, [&](double tp, double fp, double) {
    sum += (tp - tp_before) * (tp / (tp + fp));
    tp_before = tp;
  });
  return all.positives > 0 ? sum / all.positives : undefined;
}
double average_precision(Values y, Values p, Values w) { return average_precision({y, p, falling_order(p)}, w); }

double pr_auc(Values y, Values p, Values w) {
  double area = 0, tp_before = 0, precision_before = 1;
  const Totals all = walk({y, p, falling_order(p)}, w, [&](double tp, double fp, double) {
    const double here = tp / (tp + fp);
    area += (tp - tp_before) * (here + precision_before) / 2;
    tp_before = tp;
    precision_before = here;
  });
  return all.positives > 0 ? area / all.positives : undefined;
}

double gini(Values y, Values p, Values w) { return 2 * auc(y, p, w) - 1; }

double ks(const Ranked& r, Values w) {
  const Totals all = walk(r, w, [](double, double, double) {});
  if (all.positives <= 0 || all.negatives <= 0) return undefined;
  double most = 0;
  walk(r, w,
       [&](double tp, double fp, double) { most = std::max(most, std::abs(tp / all.positives - fp / all.negatives)); });
  return most;
}
double ks(Values y, Values p, Values w) { return ks({y, p, falling_order(p)}, w); }

double log_loss(Values y, Values p, Values w) {
  same_length(y.size(), p.size());
  return mean_of(y.size(), w, [&](std::size_t i) {
    const double held = std::clamp(p[i], epsilon, 1 - epsilon);
    return -std::log(y[i] > 0.5 ? held : 1 - held);
  });
}

double brier(Values y, Values p, Values w) {
  same_length(y.size(), p.size());
  return mean_of(y.size(), w, [&](std::size_t i) { return (p[i] - y[i]) * (p[i] - y[i]); });
}

std::vector<Bin> calibration(Values y, Values p, std::size_t bins, Values w) {
  same_length(y.size(), p.size());
  bins = std::max<std::size_t>(bins, 1);
  const double width = 1.0 / static_cast<double>(bins);
  std::vector<Bin> table(bins);
  for (std::size_t k = 0; k < bins; ++k) {
    table[k].from = static_cast<double>(k) * width;
    table[k].to = k + 1 == bins ? 1.0 : static_cast<double>(k + 1) * width;
  }
  for (std::size_t i = 0; i < p.size(); ++i) {
    auto at = static_cast<std::size_t>(std::clamp(p[i], 0.0, 1.0) * static_cast<double>(bins));
    at = std::min(at, bins - 1);
    // The product may round to the other side of an edge, so the edges themselves decide.
    while (at > 0 && p[i] <= table[at].from) --at;
    while (at + 1 < bins && p[i] > table[at].to) ++at;
    Bin& bin = table[at];
    const double weight = weight_at(w, i);
    bin.weight += weight;
    bin.predicted += weight * p[i];
    bin.observed += weight * y[i];
  }
  for (Bin& bin : table) {
    bin.predicted = share(bin.predicted, bin.weight);
    bin.observed = share(bin.observed, bin.weight);
  }
  return table;
}

double ece(Values y, Values p, std::size_t bins, Values w) {
  double sum = 0, total = 0;
  for (const Bin& bin : calibration(y, p, bins, w)) {
    sum += bin.weight * std::abs(bin.observed - bin.predicted);
    total += bin.weight;
  }
  return share(sum, total, total <= 0);
}

double mce(Values y, Values p, std::size_t bins, Values w) {
  double most = undefined;
  for (const Bin& bin : calibration(y, p, bins, w)) {
    if (bin.weight > 0) most = std::fmax(most, std::abs(bin.observed - bin.predicted));
  }
  return most;
}

BestThreshold best_f1(Values y, Values p, Values w) {
  const auto order = falling_order(p);
  const Totals all = walk({y, p, order}, w, [](double, double, double) {});
  BestThreshold best{undefined, undefined};
  if (all.positives <= 0) return best;
  walk({y, p, order}, w, [&](double tp, double fp, double score) {
    const double f1 = 2 * tp / (tp + fp + all.positives);
    if (!(f1 <= best.f1)) best = {score, f1};
  });
  return best;
}

double lift(Values y, Values p, double part) {
  const auto order = falling_order(p);
  const auto top = static_cast<std::size_t>(part * static_cast<double>(y.size()));
  const double positives = std::accumulate(y.begin(), y.end(), 0.0);
  if (top == 0 || positives <= 0) return undefined;
  double found = 0;
  for (std::size_t i = 0; i < top; ++i) found += y[order[i]];
  return (found / static_cast<double>(top)) / (positives / static_cast<double>(y.size()));
}

}  // namespace binary
}  // namespace millrace::eval
