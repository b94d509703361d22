// Made-up evaluations, by seed.
#pragma once

#include "eval/scored.hpp"

namespace millrace::eval::testing {

// Rows whose score tells the truth: logit of P(positive) = strength * z for a standard normal z, so that a strength of
// 0 knows nothing and the scores are calibrated. Row digests are those of "row 0", "row 1", ... Slice columns:
// "country" (PT, PL, DE by row number) and "age" (18 to 77).
Scored binary_rows(std::size_t rows, double strength, std::uint64_t seed = 7);
// The same rows with one probability for all, as the baseline gives.
Scored constant_answer(const Scored& like);
// The same rows, their truth shuffled: what is left of a model when the target has nothing to do with the inputs.
Scored shuffled_truth(const Scored& like, std::uint64_t seed);
// Classes a, b, c; the chosen class is right in `right` of the rows.
Scored multiclass_rows(std::size_t rows, double right, std::uint64_t seed = 7);
// y = signal + noise, answered by the signal.
Scored regression_rows(std::size_t rows, double noise, std::uint64_t seed = 7);

}  // namespace millrace::eval::testing
