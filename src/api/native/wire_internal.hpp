// How the wire structs are read and written: for the wire_*.cpp files only.
#pragma once

#include "api/native/wire.hpp"
#include "base/json.hpp"
#include "base/json_schema.hpp"

#define MILLRACE_WIRE(T)                               \
  template <>                                          \
  Result<T> parse<T>(std::string_view text) {          \
    return json::parse<T>(text, "the request's body"); \
  }                                                    \
  template <>                                          \
  std::string render<T>(const T& value) {              \
    return json::render(value);                        \
  }                                                    \
  template <>                                          \
  std::string schema<T>() {                            \
    return json::schema<T>();                          \
  }
