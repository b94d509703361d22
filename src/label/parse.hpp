// A label as a client sent it, checked: which fields, which values. Knows nothing of HTTP or JSON.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "label/label.hpp"

namespace millrace::label {

// Texts as they came. JSON numbers and booleans as table::to_text would write them.
struct RawLabel {
  std::optional<std::string> prediction, key, id, time, origin, author;
  bool value_given = false;          // the field was there ...
  std::optional<std::string> value;  // ... and null, which takes back what was said before
};

struct LabelRules {
  std::string model;
  std::vector<std::string> classes;            // empty: a regression, values are numbers
  bool new_classes = false;                    // [labels] new: a value that is no class yet is let through
  Origin origin = Origin::system;              // of a label that names none
  std::string author;                          // of a label that names none
  Duration ahead_max = std::chrono::hours(1);  // how far a client's clock may be ahead
  std::size_t rows_max = 10'000;
};

// All of the batch or none. The message begins with the place: "labels[3].time: ...". invalid_argument with
//   label.bad_row        neither or both of prediction and key, a malformed id or time, a missing or too long text
//   label.bad_value      not one of the classes (names the nearest), not a number
//   label.bad_origin
//   label.time_ahead     after `now` by more than ahead_max
//   label.too_many       more than rows_max; send several batches (nothing of this one was taken)
Result<std::vector<Label>> parse_labels(std::span<const RawLabel> rows, const LabelRules& rules, TimePoint now);

}  // namespace millrace::label
