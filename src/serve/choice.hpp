// Which version a request wants: what takes traffic, or one that it names.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.hpp"

namespace millrace::serve {

inline constexpr std::string_view kChoiceHeader = "Millrace-Version";

struct Choice {
  enum class Kind { traffic, current, candidate, number } kind = Kind::traffic;
  std::int64_t number = 0;
};

// Of the header's text: "" (traffic), "current", "candidate", or a number. invalid_argument `serve.bad_choice`.
Result<Choice> parse_choice(std::string_view text);

}  // namespace millrace::serve
