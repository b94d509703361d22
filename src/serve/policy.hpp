// How the requests of a model are answered: what its project says besides which versions there are.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/lanes.hpp"

namespace millrace::serve {

// What answers a request that the version asked fails by its own fault.
struct Fallback {
  enum class Kind { error, previous, constant } kind = Kind::error;
  std::string value;  // of a constant: a number, or the name of a class
  bool operator==(const Fallback&) const = default;
};

// When the requests of a model that are computed on the pool get their turn.
struct TurnPolicy {
  Urgency urgency = Urgency::normal;
  std::size_t concurrency = 0;  // computed at the same time; 0: Predictor::Config::concurrency
  bool operator==(const TurnPolicy&) const = default;
};

// Which requests of a version that wait for it are computed together.
struct BatchPolicy {
  std::size_t rows_max = 0;            // of one computation; 0: each request is computed by itself
  Duration delay_max{};                // how long one waits for others while the version is busy
  std::vector<std::size_t> preferred;  // sizes that are not waited beyond
  bool operator==(const BatchPolicy&) const = default;
};

}  // namespace millrace::serve
