// Joins labels with the predictions that they are about. Pure: the answer depends on the SET of predictions, the SET of
// labels and the options, never on the order or the number of times in which they came, nor on how they were batched.
//
// 1. Copies are one. Labels of equal digests (label.hpp) count once; of copies without a named time the earliest
// stands.
//    Predictions of equal id count once.
// 2. A label by prediction id is about that prediction. A label by key is about the last prediction for that key at or
//    before the label's time and not more than `mature` before it (of two at the same moment: the higher id). A label
//    that meets no prediction is `unmatched`: its prediction may still come (logs are shipped late), so join again
//    later.
// 3. Of several trusted labels for one prediction the one with the later label time counts. At the same time: arrival
//    decides for those that named no time, because their time IS their arrival, and arrivals never coincide; labels
//    that named the same time are ordered by their digest, which is the same wherever and whenever they arrive.
// 4. All the others are kept as history, in the same order. A label whose origin is not trusted is history only.
// 5. When the one that counts has no value, the prediction is unlabelled again: it took back what was said.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "label/label.hpp"

namespace millrace::label {

struct Prediction {
  Id id;
  std::string key;  // "" when the row had none
  TimePoint time{};
  std::string model;
  std::int64_t version = 0;
};

struct JoinOptions {
  std::optional<Duration> mature;                               // absent: a label may come any time
  std::vector<Origin> trust = {Origin::human, Origin::system};  // [labels] trust
  TimePoint now{};
};

enum class State {
  labelled,
  waiting,  // no truth yet, and `mature` has not passed since the prediction
  expired,  // no truth, and it has
};

struct JoinedRow {
  std::size_t prediction = 0;  // index into the given predictions (of the first copy)
  State state = State::waiting;
  std::optional<Label> label;  // the one that counts; without a value when it took the truth back
  std::vector<Label> history;  // all others about this prediction, the latest last
  // The truth, when there is one.
  const std::string* truth() const { return label && label->value ? &*label->value : nullptr; }
};

struct Joined {
  std::vector<JoinedRow> rows;   // one per prediction, by time, then id
  std::vector<Label> unmatched;  // by time, then digest
};

// Predictions and labels of one model. No two threads share anything.
Joined join(std::span<const Prediction> predictions, std::span<const Label> labels, const JoinOptions& options);

}  // namespace millrace::label
