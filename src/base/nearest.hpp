// The name that somebody probably meant.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace millrace {

// Edits between two names: insert, delete, replace, swap of two neighbours (optimal string alignment); bytes, case
// matters.
std::size_t edit_distance(std::string_view a, std::string_view b);

// The candidate with the fewest edits, the first of equals; empty when none is within a third of the longer name's
// length (at least 1). Upper and lower case are the same here: "Daily" finds "daily".
std::string nearest(std::string_view name, std::span<const std::string> candidates);

}  // namespace millrace
