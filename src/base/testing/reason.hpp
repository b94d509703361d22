// What a test looks at of a result: its reason, and a word of its own where there is no error, so that a call which
// should have failed is a failed expectation and no crash.
#pragma once

#include <string>

#include "base/result.hpp"

namespace millrace {

template <class T>
std::string reason_of(const Result<T>& result) {
  return result ? "no error" : result.error().reason;
}

}  // namespace millrace
