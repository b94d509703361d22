// What answers a request in place of a version that fails it by its own fault. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/loaded.hpp"
#include "serve/policy.hpp"

namespace millrace::serve {

// A constant's answers name this version, and so do its lines in the prediction log.
inline constexpr std::int64_t kConstantVersion = 0;

// What a constant answers to every row. invalid_argument `serve.bad_fallback`: it is no answer of this model's.
Result<model::Answer> constant_answer(const model::Manifest& manifest, std::string_view value);

// Whether `other` may answer in place of `asked`: the same task and classes, and no input that `asked` does not read.
// Then where each of its inputs stands in a row of `asked`.
std::optional<std::vector<std::size_t>> stands_in(const model::Manifest& other, const model::Manifest& asked);

}  // namespace millrace::serve
