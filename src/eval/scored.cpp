#include "eval/scored.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace millrace::eval {

namespace {

std::unexpected<Error> bad(std::string message) {
  return fail(Code::invalid_argument, "eval.bad_scores", std::move(message));
}

Result<void> check_lengths(const Scored& s) {
  const auto wants = [&](std::string_view what, std::size_t has, std::size_t expected) -> Result<void> {
    if (has == expected) return {};
    return bad(fmt::format("{} rows have {} {}, expected {}", s.size(), has, what, expected));
  };
  if (s.task == TaskType::multiclass && s.classes.size() < 2) return bad("a multiclass evaluation names no classes");
  TRY_VOID(wants("scores", s.scores.size(), s.size() * s.columns()));
  if (!s.weights.empty()) TRY_VOID(wants("weights", s.weights.size(), s.size()));
  if (!s.rows.empty()) TRY_VOID(wants("row digests", s.rows.size(), s.size()));
  for (const SliceColumn& column : s.slices) {
    TRY_VOID(wants("values of column " + column.name, column.texts.size() + column.numbers.size(), s.size()));
  }
  return {};
}

}  // namespace

Result<void> check(const Scored& s) {
  TRY_VOID(check_lengths(s));
  const bool classes = s.task != TaskType::regression;
  const double class_max = s.task == TaskType::multiclass ? static_cast<double>(s.classes.size()) - 1 : 1;
  for (std::size_t r = 0; r < s.size(); ++r) {
    const double y = s.y[r];
    if (!std::isfinite(y)) return bad(fmt::format("row {}: the target is not a finite number", r));
    if (classes && (y < 0 || y > class_max || y != std::floor(y))) {
      return bad(fmt::format("row {}: class {} is not one of 0..{}", r, y, class_max));
    }
    if (!s.weights.empty() && !(s.weights[r] >= 0 && std::isfinite(s.weights[r]))) {
      return bad(fmt::format("row {}: weight {} is negative or not finite", r, s.weights[r]));
    }
    for (std::size_t k = 0; k < s.columns(); ++k) {
      const double score = s.scores[r * s.columns() + k];
      if (!std::isfinite(score)) return bad(fmt::format("row {}: the model's answer is not a finite number", r));
      if (classes && (score < 0 || score > 1)) return bad(fmt::format("row {}: {} is not a probability", r, score));
    }
  }
  return {};
}

Scored take(const Scored& s, std::span<const std::uint32_t> rows) {
  Scored out{.task = s.task, .classes = s.classes, .threshold = s.threshold};
  const std::size_t columns = s.columns();
  out.y.reserve(rows.size());
  out.scores.reserve(rows.size() * columns);
  for (const std::uint32_t row : rows) {
    out.y.push_back(s.y[row]);
    const auto from = s.scores.begin() + static_cast<std::ptrdiff_t>(row * columns);
    out.scores.insert(out.scores.end(), from, from + static_cast<std::ptrdiff_t>(columns));
    if (!s.weights.empty()) out.weights.push_back(s.weights[row]);
    if (!s.rows.empty()) out.rows.push_back(s.rows[row]);
  }
  return out;
}

std::string digest_of_rows(const Scored& s) {
  std::vector<Digest> sorted = s.rows;
  std::sort(sorted.begin(), sorted.end());
  Sha256 hash;
  for (const Digest& row : sorted) hash.update(std::as_bytes(std::span(row.bytes)));
  return hash.finish().hex();
}

}  // namespace millrace::eval
