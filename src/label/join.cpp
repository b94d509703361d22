#include "label/join.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <string_view>
#include <tuple>
#include <unordered_map>

namespace millrace::label {

namespace {

struct Known {
  const Label* label;
  Digest digest;
};
bool earlier(const Known& a, const Known& b) {
  return std::tie(a.label->time, a.digest) < std::tie(b.label->time, b.digest);
}

// One of each digest, the earliest of its copies, in the order of rule 3.
std::vector<Known> distinct(std::span<const Label> labels) {
  std::map<Digest, const Label*> kept;
  for (const Label& label : labels) {
    const Label*& slot = kept[digest_of(label)];
    if (slot == nullptr || std::tie(label.time, label.seq) < std::tie(slot->time, slot->seq)) slot = &label;
  }
  std::vector<Known> out;
  for (const auto& [digest, label] : kept) out.push_back({label, digest});
  std::sort(out.begin(), out.end(), earlier);
  return out;
}

class Predictions {
 public:
  explicit Predictions(std::span<const Prediction> all) : all_(all) {
    std::vector<std::size_t> rows(all.size());
    std::iota(rows.begin(), rows.end(), std::size_t{0});
    std::stable_sort(rows.begin(), rows.end(), [&](std::size_t a, std::size_t b) {
      return std::tie(all[a].time, all[a].id) < std::tie(all[b].time, all[b].id);
    });
    for (const std::size_t row : rows) {
      if (by_id_.emplace(all[row].id, order_.size()).second) order_.push_back(row);
    }
    for (std::size_t place = 0; place < order_.size(); ++place) {
      const std::string& key = all_[order_[place]].key;
      if (!key.empty()) by_key_[key].push_back(place);
    }
  }

  std::size_t size() const { return order_.size(); }
  std::size_t index(std::size_t place) const { return order_[place]; }
  const Prediction& at(std::size_t place) const { return all_[order_[place]]; }

  // The place of the prediction that a label is about (rule 2).
  std::optional<std::size_t> about(const Label& label, const std::optional<Duration>& mature) const {
    if (label.prediction) {
      const auto found = by_id_.find(*label.prediction);
      return found == by_id_.end() ? std::nullopt : std::optional(found->second);
    }
    if (!label.key) return std::nullopt;
    const auto found = by_key_.find(*label.key);
    if (found == by_key_.end()) return std::nullopt;
    const auto& places = found->second;
    const auto after = std::upper_bound(places.begin(), places.end(), label.time,
                                        [&](TimePoint time, std::size_t place) { return time < at(place).time; });
    if (after == places.begin()) return std::nullopt;
    const std::size_t last = *std::prev(after);
    if (mature && label.time - at(last).time > *mature) return std::nullopt;
    return last;
  }

 private:
  std::span<const Prediction> all_;
  std::vector<std::size_t> order_;                                         // of rows: by time, then id, one per id
  std::map<Id, std::size_t> by_id_;                                        // to a place in order_
  std::unordered_map<std::string_view, std::vector<std::size_t>> by_key_;  // places, by time
};

}  // namespace

Joined join(std::span<const Prediction> predictions, std::span<const Label> labels, const JoinOptions& options) {
  const Predictions known(predictions);
  Joined joined;
  joined.rows.resize(known.size());
  for (std::size_t place = 0; place < known.size(); ++place) joined.rows[place].prediction = known.index(place);

  for (const Known& entry : distinct(labels)) {  // earliest first, so a later one takes the place of the one before
    const auto place = known.about(*entry.label, options.mature);
    if (!place) {
      joined.unmatched.push_back(*entry.label);
      continue;
    }
    JoinedRow& row = joined.rows[*place];
    if (std::ranges::find(options.trust, entry.label->origin) == options.trust.end()) {
      row.history.push_back(*entry.label);
      continue;
    }
    if (row.label) row.history.push_back(std::move(*row.label));
    row.label = *entry.label;
  }
  for (std::size_t place = 0; place < known.size(); ++place) {
    JoinedRow& row = joined.rows[place];
    if (row.truth() != nullptr) {
      row.state = State::labelled;
    } else {
      const bool late = options.mature && options.now - known.at(place).time > *options.mature;
      row.state = late ? State::expired : State::waiting;
    }
    // A label that lost only later stands behind untrusted ones of its own time or after it.
    std::stable_sort(row.history.begin(), row.history.end(), [](const Label& a, const Label& b) {
      return a.time != b.time ? a.time < b.time : digest_of(a) < digest_of(b);
    });
  }
  return joined;
}

}  // namespace millrace::label
