#include "base/nearest.hpp"

#include <algorithm>
#include <vector>

namespace millrace {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last, last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = last[j - 1] + (a[i - 1] != b[j - 1]);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    before_last = last;
    std::swap(last, row);
  }
  return last[b.size()];
}

std::string nearest(std::string_view name, std::span<const std::string> candidates) {
  constexpr std::size_t name_bytes_max = 200;  // the cost is quadratic, and nobody means anything by longer ones
  if (name.size() > name_bytes_max) return {};
  const std::string wanted = lower(name);
  const std::string* best = nullptr;
  std::size_t best_edits = 0;
  for (const auto& candidate : candidates) {
    if (candidate.size() > name_bytes_max) continue;
    const std::size_t longer = std::max(name.size(), candidate.size()),
                      shorter = std::min(name.size(), candidate.size());
    const std::size_t edits_max = std::max<std::size_t>(1, longer / 3);
    if (longer - shorter > edits_max) continue;  // at least so many are inserted
    const std::size_t edits = edit_distance(wanted, lower(candidate));
    if (edits > edits_max || edits >= longer) continue;
    if (!best || edits < best_edits) {
      best = &candidate;
      best_edits = edits;
    }
  }
  return best ? *best : std::string();
}

}  // namespace millrace
