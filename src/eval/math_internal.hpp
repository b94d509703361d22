// Small sums shared by the metric files.
#pragma once

#include <cmath>
#include <cstdlib>
#include <limits>

#include "eval/metrics.hpp"

namespace millrace::eval {

inline constexpr double undefined = std::numeric_limits<double>::quiet_NaN();
inline constexpr double epsilon = std::numeric_limits<double>::epsilon();

inline void same_length(std::size_t a, std::size_t b) {
  if (a != b) std::abort();
}
inline double weight_at(Values w, std::size_t row) { return w.empty() ? 1.0 : w[row]; }

// Weighted mean of term(row); NaN without weight.
template <class Term>
double mean_of(std::size_t rows, Values w, Term term) {
  if (!w.empty()) same_length(rows, w.size());
  double sum = 0, total = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    const double weight = weight_at(w, i);
    if (weight == 0) continue;
    sum += weight * term(i);
    total += weight;
  }
  return total > 0 ? sum / total : undefined;
}

// top / bottom; NaN when `rows_have_none` says that the rows, not the model, leave nothing to divide by.
inline double share(double top, double bottom, bool rows_have_none = false) {
  if (rows_have_none) return undefined;
  return bottom > 0 ? top / bottom : 0.0;
}

}  // namespace millrace::eval
