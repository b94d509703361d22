// A label: somebody says what a prediction should have been. Kept for ever as it was said; which of several counts is
// decided when labels are joined with predictions (join.hpp).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

namespace millrace::label {

// Who says so. `model` is a guess of a machine: kept, but neither trained nor evaluated on unless [labels] trust names
// it.
enum class Origin { human, system, model };
std::string_view origin_name(Origin origin);         // "human", ...
Result<Origin> parse_origin(std::string_view name);  // invalid_argument `label.bad_origin`

struct Label {
  std::string model;             // name of the registered model
  std::optional<Id> prediction;  // exactly one of these two says which prediction is meant
  std::optional<std::string> key;
  std::optional<std::string> id;  // the client's own name for this label, to say the same thing twice on purpose
  TimePoint time{};               // since when it is true; see `time_given`
  bool time_given = true;         // false: the client named none, and `time` is the moment of arrival
  Origin origin = Origin::system;
  std::string author;
  std::optional<std::string> value;  // a class or a number, as text; nullopt takes back what was said before

  // Given by the store.
  std::int64_t seq = 0;  // order of arrival over all models, from 1, without gaps
  TimePoint arrived{};

  bool operator==(const Label&) const = default;
};

// SHA-256 of what the label says: every field above but `seq`, `arrived`, and a `time` that the client did not name.
// Labels of equal digests are one label, however often they arrive.
Digest digest_of(const Label& label);

}  // namespace millrace::label
