// JSON Schema 2020-12 of a plain aggregate, by reflection (glaze). As heavy as json.hpp: .cpp files only.
#pragma once

#include <glaze/json/schema.hpp>
#include <string>

namespace millrace::json {

template <class T>
std::string schema() {
  return glz::write_json_schema<T>().value_or("{}");
}

}  // namespace millrace::json
