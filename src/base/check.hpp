// Broken invariants: defects of ours, after which going on would do harm. Expected failures are Results instead.
#pragma once

#include <source_location>
#include <string_view>

namespace millrace {

// Prints place and message to standard error and aborts.
[[noreturn]] void broken(std::string_view message, std::source_location where = std::source_location::current());

// In every build. `message` says what should have been true.
inline void check(bool holds, std::string_view message, std::source_location where = std::source_location::current()) {
  if (!holds) [[unlikely]]
    broken(message, where);
}

}  // namespace millrace
