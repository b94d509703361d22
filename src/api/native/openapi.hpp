// The OpenAPI 3.1 text of the native API, made from one list of operations and the wire structs' own schemas. A test
// compares it with docs/api/openapi.json and drives every operation from it.
#pragma once

#include <string>

namespace millrace::api {

std::string openapi(const std::string& version);

}  // namespace millrace::api
