#include "sim/facts.hpp"

#include <format>

namespace millrace::simulator {

std::string fact_of(const label::RawLabel& raw) {
  return std::format("{}|{}|{}|{}|{}|{}|{}", raw.prediction.value_or(""), raw.key.value_or(""), raw.id.value_or(""),
                     raw.time.value_or(""), raw.origin.value_or("system"), raw.author.value_or(""),
                     raw.value.value_or("(none)"));
}

std::string fact_of(const label::Label& label) {
  return std::format("{}|{}|{}|{}|{}|{}|{}", label.prediction ? label.prediction->text() : "", label.key.value_or(""),
                     label.id.value_or(""), label.time_given ? format_time(label.time) : "",
                     label::origin_name(label.origin), label.author, label.value.value_or("(none)"));
}

std::string version_fact(std::string_view run, std::string_view artifact) {
  return std::format("{} {}", run, artifact);
}

std::string move_fact(std::string_view alias, std::int64_t version, std::string_view by) {
  return std::format("{} -> {} by {}", alias, version, by);
}

std::string override_fact(std::int64_t version) { return std::format("override {}", version); }

std::string effect_fact(std::string_view job, std::int64_t token) { return std::format("{}@{}", job, token); }

}  // namespace millrace::simulator
