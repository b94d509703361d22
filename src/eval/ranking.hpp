// Ranking metrics over queries: mean over the queries that have a relevant item (relevance > 0); NaN when none has.
// Rows of one query need not stand together. Items of equal score count with the mean gain of their positions in NDCG
// (as scikit-learn's ndcg_score) and in row order elsewhere.
#pragma once

#include "eval/metrics.hpp"

namespace millrace::eval::ranking {

enum class Gain { linear, exponential };  // rel, or 2^rel - 1

struct Queries {
  Values query, relevance, score;
};
inline constexpr std::size_t all = 0;  // no cut

double ndcg(const Queries& q, Gain gain, std::size_t top = all);
double map(const Queries& q);
double mrr(const Queries& q);
double precision_at(const Queries& q, std::size_t top);  // relevant among the top k, over k
double recall_at(const Queries& q, std::size_t top);     // relevant among the top k, over the query's relevant items

}  // namespace millrace::eval::ranking
