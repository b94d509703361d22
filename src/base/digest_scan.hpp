// Digests that a text names, whatever the text is.
#pragma once

#include <string_view>
#include <vector>

#include "base/digest.hpp"

namespace millrace {

// Every run of exactly 64 lower-case hex digits. In order, doubles included.
std::vector<Digest> digests_in(std::string_view text);

}  // namespace millrace
