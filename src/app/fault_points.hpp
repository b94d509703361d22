// Every fault point of the program, by name; a test compares the list with the sources.
#pragma once

#include <span>
#include <string_view>

namespace millrace::app {

std::span<const std::string_view> fault_points();

}  // namespace millrace::app
