// Code -> HTTP status and name. Stands in until base/error_codes.hpp has the one table.
#pragma once

#include <string_view>

#include "base/result.hpp"

namespace millrace::net {

int http_status(Code code);
std::string_view code_name(Code code);

}  // namespace millrace::net
