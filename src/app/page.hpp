// The status page: one file, plain, over the native API.
#pragma once

#include <string_view>

namespace millrace::app {

std::string_view status_page();

}  // namespace millrace::app
