// What a benchmark does with an error: it says so and ends.
#pragma once

#include <cstdlib>
#include <iostream>

#include "base/result.hpp"

namespace millrace {

template <class T>
T must(Result<T> result) {
  if (!result) {
    std::cerr << result.error().message << "\n";
    std::exit(1);
  }
  return *std::move(result);
}

inline void must(Result<void> result) {
  if (!result) {
    std::cerr << result.error().message << "\n";
    std::exit(1);
  }
}

}  // namespace millrace
