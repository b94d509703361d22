// Quality metrics as pure functions over spans. No allocation is kept, no state: any thread.
//
// Shapes: `y` is the truth, one number per row: 0 or 1 (binary), the class index 0..K-1 (multiclass), the value
// (regression). Scores are finite; probabilities are in [0, 1]. `w` are row weights >= 0, empty = every row weighs 1;
// spans of one call have one length, otherwise the process aborts (a defect of the caller, not of the data).
//
// NaN means "not defined on these rows" (no rows, one class only, a constant truth, ...): callers show it as absent,
// never as 0. A ratio that is 0/0 because of what the MODEL did (it never said "yes") is 0, as in scikit-learn; one
// that is 0/0 because of what the ROWS are (no positive row at all) is NaN.
//
// Definitions are scikit-learn 1.9's unless a line says otherwise; metrics_test.cpp compares every name with the
// numbers that scikit-learn and scipy computed on fixed inputs, to 1e-9.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace millrace::eval {

using Values = std::span<const double>;

// Row numbers by falling score; rows of one score keep their order.
std::vector<std::uint32_t> falling_order(Values scores);

namespace binary {

// Weighted counts; "predicted" = p >= threshold.
struct Confusion {
  double tn = 0, fp = 0, fn = 0, tp = 0;
  double rows() const { return tn + fp + fn + tp; }
};
Confusion confusion(Values y, Values p, double threshold = 0.5, Values w = {});

double accuracy(const Confusion& c);             // (tp + tn) / all
double precision(const Confusion& c);            // tp / (tp + fp)
double recall(const Confusion& c);               // tp / (tp + fn), also tpr, sensitivity
double specificity(const Confusion& c);          // tn / (tn + fp)
double fpr(const Confusion& c);                  // fp / (fp + tn)
double balanced_accuracy(const Confusion& c);    // (recall + specificity) / 2
double f_beta(const Confusion& c, double beta);  // (1 + b^2) tp / ((1 + b^2) tp + b^2 fn + fp)
double jaccard(const Confusion& c);              // tp / (tp + fp + fn)
double mcc(const Confusion& c);                  // Matthews: (tp tn - fp fn) / sqrt((tp+fp)(tp+fn)(tn+fp)(tn+fn))
double kappa(const Confusion& c);                // Cohen: (observed - expected) / (1 - expected) agreement
double selection_rate(const Confusion& c);       // (tp + fp) / all
double base_rate(const Confusion& c);            // (tp + fn) / all

// The ranking metrics take rows in the order of falling_order(p) where the caller has it (a bootstrap sorts once).
struct Ranked {
  Values y, p;
  std::span<const std::uint32_t> order;
};
// Area under the ROC curve by trapezoids = P(score of a positive > of a negative) + half the ties.
double auc(const Ranked& r, Values w = {});
double auc(Values y, Values p, Values w = {});
// Area left of fpr = max_fpr, standardised to 0.5 (chance) .. 1 (McClish 1989), as roc_auc_score(max_fpr=).
double auc_up_to(Values y, Values p, double max_fpr, Values w = {});
// sum over thresholds of (R_n - R_{n-1}) P_n.
double average_precision(const Ranked& r, Values w = {});
double average_precision(Values y, Values p, Values w = {});
// Area under the precision-recall curve by trapezoids, from the point (recall 0, precision 1).
double pr_auc(Values y, Values p, Values w = {});
double gini(Values y, Values p, Values w = {});  // 2 auc - 1
// Kolmogorov-Smirnov distance of the scores of both classes: max |tpr - fpr|.
double ks(const Ranked& r, Values w = {});
double ks(Values y, Values p, Values w = {});

// -mean(y ln p + (1 - y) ln(1 - p)), p held to [eps, 1 - eps], eps = 2^-52.
double log_loss(Values y, Values p, Values w = {});
double brier(Values y, Values p, Values w = {});  // mean (p - y)^2

// One row of a reliability table. Bin k of n holds scores in (k/n, (k+1)/n], the first one also 0; the edges are
// k * (1.0 / n) in doubles, as numpy.linspace has them.
struct Bin {
  double from = 0, to = 0;
  double weight = 0;     // sum of weights, the row count without weights
  double predicted = 0;  // mean score; 0 when empty
  double observed = 0;   // mean truth; 0 when empty
};
std::vector<Bin> calibration(Values y, Values p, std::size_t bins = 10, Values w = {});
// Expected calibration error: sum over bins of share * |observed - predicted|; mce: the largest of those differences.
double ece(Values y, Values p, std::size_t bins = 10, Values w = {});
double mce(Values y, Values p, std::size_t bins = 10, Values w = {});

// The threshold t (of the scores that occur) for which "p >= t" has the largest F1; the highest such t.
struct BestThreshold {
  double threshold = 0, f1 = 0;
};
BestThreshold best_f1(Values y, Values p, Values w = {});
// Share of positives among the floor(share * rows) highest scores (ties in row order), over the share among all.
double lift(Values y, Values p, double share);

}  // namespace binary

namespace multiclass {

// Row-major, rows x classes.
struct Scores {
  Values values;
  std::size_t classes = 0;
  std::size_t rows() const { return classes == 0 ? 0 : values.size() / classes; }
  Values row(std::size_t r) const { return values.subspan(r * classes, classes); }
};
std::size_t decide(Values row);  // the class with the highest score, the first of equals

// counts[truth * classes + predicted], weighted.
struct Confusion {
  std::size_t classes = 0;
  std::vector<double> counts;
  double at(std::size_t truth, std::size_t predicted) const { return counts[truth * classes + predicted]; }
  double of_truth(std::size_t k) const;
  double of_predicted(std::size_t k) const;
  double rows() const;
};
Confusion confusion(Values y, const Scores& s, Values w = {});

// Per class, in class order; NaN for a class with neither true nor predicted rows.
std::vector<double> precision_per_class(const Confusion& c);
std::vector<double> recall_per_class(const Confusion& c);
std::vector<double> f1_per_class(const Confusion& c);

double accuracy(const Confusion& c);
double balanced_accuracy(const Confusion& c);  // mean recall over the classes that have true rows
double precision_macro(const Confusion& c);    // means over the classes that are true or predicted somewhere
double recall_macro(const Confusion& c);
double f1_macro(const Confusion& c);
double f1_micro(const Confusion& c);     // = accuracy when each row has one class
double f1_weighted(const Confusion& c);  // by true rows
double mcc(const Confusion& c);          // Gorodkin's R_K
enum class KappaWeights { none, quadratic };
double kappa(const Confusion& c, KappaWeights weights = KappaWeights::none);

double log_loss(Values y, const Scores& s, Values w = {});  // -mean ln p[y], held as in binary
double brier(Values y, const Scores& s, Values w = {});     // mean over rows of the SUM over classes (0..2)
double top_k(Values y, const Scores& s, std::size_t k,
             Values w = {});  // truth among the k highest, later class first in ties
// One against the rest; macro = mean over classes, weighted = by true rows. NaN when a class has no rows.
double auc_ovr_macro(Values y, const Scores& s, Values w = {});
double auc_ovr_weighted(Values y, const Scores& s, Values w = {});
// Hand & Till 2001: mean over pairs of classes, on the rows of both, both directions. No weights.
double auc_ovo_macro(Values y, const Scores& s);
// Of the chosen class: its score against whether it was right (Guo et al. 2017).
std::vector<binary::Bin> calibration(Values y, const Scores& s, std::size_t bins = 10, Values w = {});
double ece(Values y, const Scores& s, std::size_t bins = 10, Values w = {});

}  // namespace multiclass

namespace regression {

double mse(Values y, Values p, Values w = {});
double rmse(Values y, Values p, Values w = {});
double mae(Values y, Values p, Values w = {});
double medae(Values y, Values p);              // median |y - p|
double max_error(Values y, Values p);          // max |y - p|
double r2(Values y, Values p, Values w = {});  // 1 - sum w (y - p)^2 / sum w (y - mean y)^2; NaN for a constant truth
double explained_variance(Values y, Values p, Values w = {});  // 1 - var(y - p) / var(y)
double mape(Values y, Values p, Values w = {});                // mean |y - p| / max(|y|, 2^-52)
double smape(Values y, Values p, Values w = {});  // mean 2 |y - p| / (|y| + |p|), 0 where both are 0; a share, 0..2
double wape(Values y, Values p, Values w = {});   // sum |y - p| / sum |y|
double rmsle(Values y, Values p, Values w = {});  // NaN when y or p <= -1
double pinball(Values y, Values p, double alpha, Values w = {});
// Mean Tweedie deviance. power 0 normal, 1 Poisson, 2 gamma, (1, 2) compound; NaN outside of its domain
// (y >= 0 and p > 0 for [1, 2); y > 0 and p > 0 from 2 on).
double tweedie_deviance(Values y, Values p, double power, Values w = {});
double poisson_deviance(Values y, Values p, Values w = {});
double gamma_deviance(Values y, Values p, Values w = {});
double d2_absolute(Values y, Values p);  // 1 - mae / mae of the median
double pearson(Values y, Values p);
double spearman(Values y, Values p);       // Pearson of average ranks
double kendall_tau_b(Values y, Values p);  // Knight 1966, n log n

}  // namespace regression

}  // namespace millrace::eval
