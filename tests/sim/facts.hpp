// What there is, as facts: the same text from what was asked and from what can be read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "label/label.hpp"
#include "label/parse.hpp"

namespace millrace::simulator {

std::string fact_of(const label::RawLabel& raw);
std::string fact_of(const label::Label& label);
std::string version_fact(std::string_view run, std::string_view artifact);
std::string move_fact(std::string_view alias, std::int64_t version, std::string_view by);
std::string override_fact(std::int64_t version);
std::string effect_fact(std::string_view job, std::int64_t token);

}  // namespace millrace::simulator
