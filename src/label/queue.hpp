// Which predictions a person should look at next: `millrace label --queue`. Pure and independent of the input's order.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.hpp"

namespace millrace::label {

enum class Pick { uncertain, random };

struct Candidate {
  Id id;
  // binary: {P(positive)}; multiclass: P of each class; regression: the value, of which nobody knows how sure it is, so
  // set `classes` to 0 and all picks are random.
  std::vector<double> scores;
  std::size_t classes = 2;
  bool labelled = false;  // has a trusted label already: never picked
};

struct QueueRules {
  std::size_t per_day = 100;  // [labels] queue.per_day
  std::size_t already = 0;    // handed out and labelled today
  Pick pick = Pick::uncertain;
  double random_share = 0.3;  // of the picks, so that quality can be measured without the picks' own bias
  std::uint64_t seed = 1;     // the day's, so that the list stands still while a person works on it
};

struct Picked {
  std::size_t candidate = 0;  // index
  double margin = 1;          // between the two likeliest classes, 0 = no idea; 1 for a regression
  bool random = false;
};

// The least certain first (equal margins by a hash of seed and id), then the random ones.
std::vector<Picked> pick(std::span<const Candidate> candidates, const QueueRules& rules);

}  // namespace millrace::label
