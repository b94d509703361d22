// JSON <-> plain aggregates by reflection (glaze). Heavy to compile: include it in .cpp files only (a test checks), one
// per group of structs. Members must be std:: types or aggregates of them; std::optional for what may be absent.
#pragma once

#include <glaze/json/read.hpp>
#include <glaze/json/write.hpp>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace millrace::json {

// Strict: our own records and files: unknown keys are errors. Lenient: foreign clients: unknown keys are ignored.
// Both: missing keys keep their defaults, null means absent, nothing may follow the value.
struct Strict {
  bool error_on_unknown_keys = true;
};
struct Lenient {
  bool error_on_unknown_keys = false;
};
struct ReadOptions : glz::opts {
  bool validate_skipped = true;  // what is ignored must be JSON too
  bool validate_trailing_whitespace = true;
};

// invalid_argument `json.malformed` with position and excerpt.
template <class T, class Rules = Strict>
Result<T> parse(std::string_view text, std::string_view what) {
  T value{};
  // glaze reads past the end of a view that is not null-terminated, so it gets a string of its own.
  std::string buffer(text);
  constexpr ReadOptions options{{.error_on_unknown_keys = Rules{}.error_on_unknown_keys}};
  if (auto error = glz::read<options>(value, buffer)) {
    return fail(Code::invalid_argument, "json.malformed",
                std::string(what) + " is not valid: " + glz::format_error(error, buffer));
  }
  return value;
}

template <class T>
Result<T> parse_lenient(std::string_view text, std::string_view what) {
  return parse<T, Lenient>(text, what);
}

// Without this glaze writes a control character as it is, which no JSON reader takes back.
struct Written : glz::opts {
  bool escape_control_characters = true;
};

// Keys in declaration order, absent optionals left out: the same value gives the same text.
template <class T>
std::string render(const T& value) {
  std::string out;
  constexpr Written options = [] {
    Written o{};
    o.skip_null_members = true;
    return o;
  }();
  if (glz::write<options>(value, out)) std::abort();  // only a value that JSON can't hold at all: a defect of ours
  return out;
}

}  // namespace millrace::json

// An enum travels as its number, which nobody can read and nobody may reorder. Name it, in the .cpp outside of any
// namespace, before the first parse or render:  MILLRACE_JSON_ENUM(millrace::label::Origin, human, system, model)
#define MILLRACE_JSON_ENUM(type, ...)                          \
  template <>                                                  \
  struct glz::meta<type> {                                     \
    using enum type;                                           \
    static constexpr auto value = glz::enumerate(__VA_ARGS__); \
  }
