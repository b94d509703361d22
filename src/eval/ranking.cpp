#include "eval/ranking.hpp"

#include <algorithm>
#include <map>

#include "eval/math_internal.hpp"

namespace millrace::eval::ranking {

namespace {

struct Item {
  double relevance = 0, score = 0;
};
using Items = std::vector<Item>;  // by falling score

// Mean of value(items) over the queries with a relevant item.
template <class Value>
double over_queries(const Queries& q, Value value) {
  same_length(q.query.size(), q.relevance.size());
  same_length(q.query.size(), q.score.size());
  std::map<double, Items> queries;
  for (std::size_t i = 0; i < q.query.size(); ++i) queries[q.query[i]].push_back({q.relevance[i], q.score[i]});
  double sum = 0;
  int count = 0;
  for (auto& [id, items] : queries) {
    if (std::none_of(items.begin(), items.end(), [](const Item& item) { return item.relevance > 0; })) continue;
    std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.score > b.score; });
    sum += value(items);
    ++count;
  }
  return count > 0 ? sum / count : undefined;
}

double gain_of(double relevance, Gain gain) { return gain == Gain::linear ? relevance : std::exp2(relevance) - 1; }

double dcg(const Items& items, Gain gain, std::size_t top) {
  double sum = 0;
  for (std::size_t from = 0; from < items.size();) {
    std::size_t to = from;
    double gains = 0, discounts = 0;
    for (; to < items.size() && items[to].score == items[from].score; ++to) {
      gains += gain_of(items[to].relevance, gain);
      if (top == all || to < top) discounts += 1 / std::log2(static_cast<double>(to) + 2);
    }
    sum += gains / static_cast<double>(to - from) * discounts;
    from = to;
  }
  return sum;
}

double relevant_in(const Items& items, std::size_t top) {
  double count = 0;
  for (std::size_t i = 0; i < std::min(top, items.size()); ++i) count += items[i].relevance > 0 ? 1 : 0;
  return count;
}

}  // namespace

double ndcg(const Queries& q, Gain gain, std::size_t top) {
  return over_queries(q, [&](const Items& items) {
    Items ideal = items;
    for (Item& item : ideal) item.score = item.relevance;
    std::stable_sort(ideal.begin(), ideal.end(), [](const Item& a, const Item& b) { return a.score > b.score; });
    return dcg(items, gain, top) / dcg(ideal, gain, top);
  });
}

double map(const Queries& q) {
  return over_queries(q, [](const Items& items) {
    double found = 0, sum = 0;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (items[i].relevance > 0) sum += ++found / static_cast<double>(i + 1);
    }
    return sum / found;
  });
}

double mrr(const Queries& q) {
  return over_queries(q, [](const Items& items) {
    const auto first = std::find_if(items.begin(), items.end(), [](const Item& item) { return item.relevance > 0; });
    return 1 / static_cast<double>(first - items.begin() + 1);
  });
}

double precision_at(const Queries& q, std::size_t top) {
  return over_queries(q, [&](const Items& items) { return relevant_in(items, top) / static_cast<double>(top); });
}

double recall_at(const Queries& q, std::size_t top) {
  return over_queries(q,
                      [&](const Items& items) { return relevant_in(items, top) / relevant_in(items, items.size()); });
}

}  // namespace millrace::eval::ranking
