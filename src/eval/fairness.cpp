#include "eval/fairness.hpp"

#include <algorithm>

#include "eval/math_internal.hpp"

namespace millrace::eval::fairness {

namespace {

using Rate = double (*)(const binary::Confusion&);

struct Range {
  double low = undefined, high = undefined;
  double difference() const { return high - low; }
  double ratio() const { return share(low, high, std::isnan(high)); }
};
Range range_of(const Groups& g, Rate rate) {
  Range range;
  for (const auto& [name, c] : g) {
    range.low = std::fmin(range.low, rate(c));
    range.high = std::fmax(range.high, rate(c));
  }
  return range;
}

}  // namespace

Groups by_group(Values y, Values p, std::span<const std::string> group, double threshold) {
  same_length(y.size(), p.size());
  same_length(y.size(), group.size());
  Groups groups;
  for (std::size_t i = 0; i < y.size(); ++i) {
    binary::Confusion& c = groups[group[i]];
    const bool said = p[i] >= threshold;
    (y[i] > 0.5 ? (said ? c.tp : c.fn) : (said ? c.fp : c.tn)) += 1;
  }
  return groups;
}

Group describe(const binary::Confusion& c) {
  return {c.rows(),       binary::base_rate(c), binary::selection_rate(c), binary::recall(c),
          binary::fpr(c), binary::accuracy(c),  binary::precision(c)};
}

Sides sides(const Groups& g, const std::string& privileged) {
  Sides both;
  for (const auto& [name, c] : g) {
    binary::Confusion& to = name == privileged ? both.privileged : both.others;
    to.tn += c.tn;
    to.fp += c.fp;
    to.fn += c.fn;
    to.tp += c.tp;
  }
  return both;
}

double demographic_parity_difference(const Groups& g) { return range_of(g, binary::selection_rate).difference(); }
double demographic_parity_ratio(const Groups& g) { return range_of(g, binary::selection_rate).ratio(); }
double equal_opportunity_difference(const Groups& g) { return range_of(g, binary::recall).difference(); }
double equalized_odds_difference(const Groups& g) {
  return std::fmax(range_of(g, binary::recall).difference(), range_of(g, binary::fpr).difference());
}
double equalized_odds_ratio(const Groups& g) {
  return std::fmin(range_of(g, binary::recall).ratio(), range_of(g, binary::fpr).ratio());
}
double disparate_impact(const Groups& g, const std::string& privileged) {
  const Sides both = sides(g, privileged);
  return binary::selection_rate(both.others) / binary::selection_rate(both.privileged);
}
double average_odds_difference(const Groups& g, const std::string& privileged) {
  const Sides both = sides(g, privileged);
  return (binary::fpr(both.others) - binary::fpr(both.privileged) + binary::recall(both.others) -
          binary::recall(both.privileged)) /
         2;
}

double theil_index(const binary::Confusion& c) {
  const double n = c.rows();
  const double mean = (2 * c.fp + c.tn + c.tp) / n;  // benefits: fp 2, right 1, fn 0
  const auto term = [&](double benefit) { return benefit / mean * std::log(benefit / mean); };
  return n > 0 && mean > 0 ? (c.fp * term(2) + (c.tn + c.tp) * term(1)) / n : undefined;
}

}  // namespace millrace::eval::fairness
