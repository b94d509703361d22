// The text of a prediction's answer. Written by hand: it is the hot path, and its keys are class names.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.hpp"
#include "model/loaded.hpp"

namespace millrace::serve {

// `single`: the one answer as it is; else a list, also of one. `unlogged`: rows whose line could not be kept; empty:
// none. `fallback`: it says that something else answered than was asked.
std::string render_answer(const model::Manifest& manifest, std::span<const model::Answer> answers,
                          std::span<const Id> ids, const std::vector<bool>& unlogged, bool single,
                          std::string_view name_and_version, double took_ms, bool fallback = false);

}  // namespace millrace::serve
