#include "data/leak_internal.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <unordered_map>

namespace millrace::data {

namespace {

constexpr double suspicious = 0.99;
constexpr std::size_t rows_min = 50;  // fewer prove nothing
constexpr std::size_t class_rows_min = 10;
constexpr int ranges = 64;

double number_at(const table::Column& column, std::int64_t row) {
  switch (column.type()) {
    case table::Type::boolean:
      return column.boolean_at(row) ? 1 : 0;
    case table::Type::int64:
      return static_cast<double>(column.int64_at(row));
    case table::Type::float64:
      return column.float64_at(row);
    case table::Type::date:
      return column.date_at(row).days;
    case table::Type::timestamp:
      return static_cast<double>(column.timestamp_at(row).us);
    case table::Type::text:
      break;
  }
  return 0;
}

// Numbers as they are, NaN for what is missing; words as the number of the order in which they first came.
std::vector<double> plain_numbers(const std::vector<table::Batch>& sample, int place) {
  std::vector<double> out;
  std::unordered_map<std::string, double> words;
  for (const table::Batch& batch : sample) {
    const table::Column column = batch.column(place);
    for (std::int64_t row = 0; row < batch.rows(); row++) {
      if (column.is_null(row)) {
        out.push_back(std::nan(""));
      } else if (column.type() == table::Type::text) {
        out.push_back(
            words.try_emplace(std::string(column.text_at(row)), static_cast<double>(words.size())).first->second);
      } else {
        out.push_back(number_at(column, row));
      }
    }
  }
  return out;
}

// Mid-ranks from 0; NaN takes the lowest.
std::vector<double> ranks_of(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto key = [&](std::size_t i) { return std::isnan(values[i]) ? -INFINITY : values[i]; };
  std::ranges::sort(order, {}, key);
  std::vector<double> out(values.size());
  for (std::size_t i = 0; i < order.size();) {
    std::size_t end = i;
    while (end < order.size() && key(order[end]) == key(order[i])) end++;
    for (std::size_t k = i; k < end; k++) out[order[k]] = static_cast<double>(i + end - 1) / 2;
    i = end;
  }
  return out;
}

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const auto n = static_cast<double>(a.size());
  const double ma = std::accumulate(a.begin(), a.end(), 0.0) / n, mb = std::accumulate(b.begin(), b.end(), 0.0) / n;
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); i++) {
    ab += (a[i] - ma) * (b[i] - mb);
    aa += (a[i] - ma) * (a[i] - ma);
    bb += (b[i] - mb) * (b[i] - mb);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

// Groups for means: words by themselves, numbers by ranges of equal share; the missing ones are a group too.
std::vector<std::int64_t> groups_of(const std::vector<double>& values, const std::vector<double>& ranks, bool words) {
  std::vector<std::int64_t> out(values.size());
  for (std::size_t i = 0; i < values.size(); i++) {
    const double share = ranks[i] / static_cast<double>(values.size()) * ranges;
    out[i] = std::isnan(values[i]) ? -1 : static_cast<std::int64_t>(words ? values[i] : share);
  }
  return out;
}

// For each row, the mean of `target` in its group over the other half of the rows (even and odd).
std::vector<double> other_half_means(const std::vector<std::int64_t>& groups, const std::vector<double>& target) {
  struct Sum {
    double sum[2] = {0, 0};
    double rows[2] = {0, 0};
  };
  std::unordered_map<std::int64_t, Sum> sums;
  Sum all;
  for (std::size_t i = 0; i < groups.size(); i++) {
    for (Sum* s : {&sums[groups[i]], &all}) {
      s->sum[i % 2] += target[i];
      s->rows[i % 2]++;
    }
  }
  std::vector<double> out(groups.size());
  for (std::size_t i = 0; i < groups.size(); i++) {
    const std::size_t other = 1 - i % 2;
    const Sum& s = sums[groups[i]];
    out[i] = s.rows[other] > 0 ? s.sum[other] / s.rows[other] : all.sum[other] / std::max(1.0, all.rows[other]);
  }
  return out;
}

// The rows of the sample that have a target.
struct Labelled {
  std::vector<std::size_t> rows;
  std::vector<double> target;  // a number, or the number of a class
};

std::vector<double> picked(const std::vector<double>& values, const std::vector<std::size_t>& rows) {
  std::vector<double> out;
  out.reserve(rows.size());
  for (const std::size_t row : rows) out.push_back(values[row]);
  return out;
}

bool tells_classes(const std::vector<double>& values, bool words, const std::vector<double>& target) {
  std::map<double, std::size_t> classes;
  for (const double t : target) classes[t]++;
  const auto ranks = ranks_of(values);
  const auto groups = groups_of(values, ranks, words);
  double weighted = 0, rows = 0;
  std::vector<char> positive(target.size());
  std::vector<double> indicator(target.size());
  for (const auto& [value, count] : classes) {
    if (count < class_rows_min) continue;
    for (std::size_t i = 0; i < target.size(); i++) indicator[i] = positive[i] = target[i] == value;
    double best = auc_of(other_half_means(groups, indicator), positive).value_or(0.5);
    if (!words) {
      const double by_order = auc_of(ranks, positive).value_or(0.5);
      best = std::max({best, by_order, 1 - by_order});
    }
    weighted += best * static_cast<double>(count);
    rows += static_cast<double>(count);
    if (classes.size() == 2) break;  // the other class says the same
  }
  return rows > 0 && weighted / rows > suspicious;
}

bool tells_number(const std::vector<double>& values, bool words, const std::vector<double>& target) {
  const auto target_ranks = ranks_of(target);
  const auto ranks = ranks_of(values);
  if (words) {
    const auto means = other_half_means(groups_of(values, ranks, true), target);
    return std::abs(correlation(ranks_of(means), target_ranks)) > suspicious;
  }
  return std::abs(correlation(ranks, target_ranks)) > suspicious;
}

}  // namespace

std::optional<double> auc_of(const std::vector<double>& scores, const std::vector<char>& positive) {
  const auto ranks = ranks_of(scores);
  double sum = 0, positives = 0;
  for (std::size_t i = 0; i < scores.size(); i++) {
    if (!positive[i]) continue;
    sum += ranks[i] + 1;
    positives++;
  }
  const double negatives = static_cast<double>(scores.size()) - positives;
  if (positives == 0 || negatives == 0) return std::nullopt;
  return (sum - positives * (positives + 1) / 2) / (positives * negatives);
}

std::vector<std::string> find_leaks(const std::vector<table::Batch>& sample, const Inference& inference) {
  std::vector<std::string> out;
  if (sample.empty()) return out;
  const table::Schema& schema = sample.front().schema();
  const auto all = plain_numbers(sample, schema.index_of(inference.target));
  Labelled labelled;
  for (std::size_t i = 0; i < all.size(); i++) {
    if (!std::isnan(all[i])) labelled.rows.push_back(i);
  }
  if (labelled.rows.size() < rows_min) return out;
  labelled.target = picked(all, labelled.rows);
  for (const InputColumn& input : inference.columns) {
    if (input.role != "input") continue;
    const bool words = input.encoding == "category";
    const auto values = picked(plain_numbers(sample, schema.index_of(input.name)), labelled.rows);
    const bool tells = inference.task == "regression" ? tells_number(values, words, labelled.target)
                                                      : tells_classes(values, words, labelled.target);
    if (tells) out.push_back(input.name);
  }
  return out;
}

}  // namespace millrace::data
