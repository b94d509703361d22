// How differently a binary model treats groups. Names and definitions as in fairlearn 0.15 and AIF360 0.6; favourable
// outcome = 1. Differences are largest - smallest over groups, ratios smallest / largest.
#pragma once

#include <map>
#include <string>

#include "eval/metrics.hpp"

namespace millrace::eval::fairness {

struct Group {
  double rows = 0, base_rate = 0, selection_rate = 0, tpr = 0, fpr = 0, accuracy = 0, precision = 0;
};
using Groups = std::map<std::string, binary::Confusion>;

// `group[i]` is the row's group; predicted = score >= threshold.
Groups by_group(Values y, Values p, std::span<const std::string> group, double threshold = 0.5);
Group describe(const binary::Confusion& c);

double demographic_parity_difference(const Groups& g);
double demographic_parity_ratio(const Groups& g);
double equal_opportunity_difference(const Groups& g);  // of the true positive rates
double equalized_odds_difference(const Groups& g);     // the larger of the tpr and fpr differences
double equalized_odds_ratio(const Groups& g);          // the smaller of the tpr and fpr ratios
// Everybody else against the privileged group.
struct Sides {
  binary::Confusion privileged, others;
};
Sides sides(const Groups& g, const std::string& privileged);
double disparate_impact(const Groups& g, const std::string& privileged);         // selection rate over selection rate
double average_odds_difference(const Groups& g, const std::string& privileged);  // mean of tpr and fpr differences
// Theil index of the benefits b = predicted - y + 1: mean(b / mean b * ln(b / mean b)) (Speicher et al. 2018).
double theil_index(const binary::Confusion& c);

}  // namespace millrace::eval::fairness
