#include <fmt/format.h>

#include "base/json.hpp"
#include "eval/gates.hpp"

namespace millrace::eval {

std::string render_evidence(const Evidence& evidence) { return json::render(evidence); }
Result<Evidence> parse_evidence(std::string_view text) { return json::parse<Evidence>(text, "gate evidence"); }

std::string render_verdict(const Verdict& verdict) { return json::render(verdict); }
Result<Verdict> parse_verdict(std::string_view text) {
  TRY(Verdict verdict, json::parse<Verdict>(text, "gate verdict"));
  if (verdict.format > Verdict{}.format) {
    return fail(Code::failed_precondition, "eval.newer_format",
                fmt::format("the verdict has format {}, this build reads up to {}; use a newer millrace",
                            verdict.format, Verdict{}.format));
  }
  return verdict;
}

}  // namespace millrace::eval
