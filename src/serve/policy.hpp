// How the requests of a model are answered: what its project says besides which versions there are.
#pragma once

#include <string>

namespace millrace::serve {

// What answers a request that the version asked fails by its own fault.
struct Fallback {
  enum class Kind { error, previous, constant } kind = Kind::error;
  std::string value;  // of a constant: a number, or the name of a class
  bool operator==(const Fallback&) const = default;
};

}  // namespace millrace::serve
