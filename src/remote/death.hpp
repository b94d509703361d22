// The death of an earlier process of a predictor while a version was new there: kept on its disk until the server wants
// something newer, told to the server, and the version is not loaded again unasked.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/native/wire_fleet.hpp"
#include "base/env.hpp"
#include "base/result.hpp"
#include "serve/last_words.hpp"
#include "serve/predictor.hpp"

namespace millrace::remote {

api::PredictorDeath to_wire(const serve::Death& death);

// The file's text: docs/formats/predictor_folder.md.
Result<void> keep_death(Env& env, const std::string& path, const api::PredictorDeath& death);
// Nothing where there is none. A damaged file is logged, and as if there were none.
std::optional<api::PredictorDeath> kept_death(Env& env, const std::string& path);

// Takes the version out of its own release, and the version before serves in its place; a later release of it is
// somebody's wish to try it again. Pure.
void leave_out(std::vector<serve::WantedModel>& wanted, const api::PredictorDeath& death);
// A later release of the model began, or the model is gone: there is nothing to leave out any more. Pure.
bool is_over(const std::vector<serve::WantedModel>& wanted, const api::PredictorDeath& death);

}  // namespace millrace::remote
