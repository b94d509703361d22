#include "loop/release.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <format>

namespace millrace::loop {

namespace {

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const auto begin = text.find_first_not_of(" \t");
    if (begin == text.npos) break;
    text.remove_prefix(begin);
    const auto end = std::min(text.find_first_of(" \t"), text.size());
    out.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return out;
}

std::optional<double> share_of(std::string_view text) {
  if (!text.ends_with('%')) return std::nullopt;
  text.remove_suffix(1);
  double percent = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), percent);
  if (error != std::errc() || end != text.data() + text.size() || !(percent > 0 && percent <= 100)) return std::nullopt;
  return percent / 100;
}

double log_choose(double n, double k) { return std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1); }

std::string rate_text(std::int64_t failed, std::int64_t of) { return std::format("{} of {} failed", failed, of); }

}  // namespace

Result<ReleaseStep> parse_release_step(std::string_view text) {
  const auto words = words_of(text);
  const auto bad = [&] {
    return fail(
        Code::invalid_argument, "loop.bad_step",
        std::format("'{}' is no step: write \"shadow 1h\", \"canary 5%\", \"canary 5% 30m\" or \"full\"", text));
  };
  if (words.empty()) return bad();
  using Kind = ReleaseStep::Kind;
  if (words[0] == "replay")
    return fail(Code::unimplemented, "loop.step_not_available", std::format("'{}' is not available yet", text));
  if (words[0] == "full") {
    if (words.size() != 1) return bad();
    return ReleaseStep{};
  }
  ReleaseStep step;
  std::size_t at = 1;
  if (words[0] == "shadow") {
    step = {Kind::shadow, 0, kShadowLasts};
  } else if (words[0] == "canary" && words.size() > 1) {
    const auto weight = share_of(words[at++]);
    if (!weight) return bad();
    step = {Kind::canary, *weight, kCanaryLasts};
  } else {
    return bad();
  }
  if (at < words.size()) {
    const auto lasts = parse_duration(words[at++]);
    if (!lasts || *lasts <= Duration(0)) return bad();
    step.lasts = *lasts;
  }
  if (at < words.size()) return bad();
  return step;
}

std::string bad_release_steps(const std::vector<std::string>& steps) {
  double weight = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto step = parse_release_step(steps[i]);
    if (!step) return step.error().message;
    const bool last = i + 1 == steps.size();
    if ((step->kind == ReleaseStep::Kind::full) != last) return "the last step is \"full\", and only that one";
    if (step->kind == ReleaseStep::Kind::shadow && weight > 0) return "a shadow comes before every canary";
    if (step->kind == ReleaseStep::Kind::canary) {
      if (step->weight < weight) return "the share of a canary never falls";
      weight = step->weight;
    }
  }
  return steps.empty() ? "the last step is \"full\"" : "";
}

// The failures of both together are given; how they fall to the candidate is hypergeometric.
double failure_chance(const ReleaseCounts& counts) {
  const auto of = static_cast<double>(counts.candidate), others = static_cast<double>(counts.previous);
  const auto failed = static_cast<double>(counts.candidate_failed + counts.previous_failed);
  double sum = 0;
  for (auto x = static_cast<double>(counts.candidate_failed); x <= std::min(of, failed); ++x) {
    if (failed - x > others) continue;
    sum += std::exp(log_choose(of, x) + log_choose(others, failed - x) - log_choose(of + others, failed));
  }
  return std::min(sum, 1.0);
}

ReleaseDecision decide_release(const ReleaseSnapshot& s) {
  using Kind = ReleaseDecision::Kind;
  const auto& counts = s.counts;
  if (s.may_go_back && counts.candidate >= kWorseRequests_min && counts.candidate_failed > 0) {
    if (const auto chance = failure_chance(counts); chance < kWorseAlpha) {
      return {Kind::back,
              std::format("error rate: {}, against {} of the version before; p = {:.2g}, below {} (Fisher's "
                          "exact test, one-sided)",
                          rate_text(counts.candidate_failed, counts.candidate),
                          rate_text(counts.previous_failed, counts.previous), chance, kWorseAlpha)};
    }
  }
  const auto lasted = s.now - s.since;
  if (!s.ready) {
    if (s.may_go_back && !s.load_error.empty() && lasted >= std::max(s.step.lasts, kLoadPatience))
      return {Kind::back, "it could not be loaded: " + s.load_error};
    return {Kind::stay, s.load_error.empty() ? "it is being loaded" : s.load_error};
  }
  if (s.step.kind != ReleaseStep::Kind::full) {
    if (lasted >= s.step.lasts) return {Kind::next, std::format("{} went by", format_duration(s.step.lasts))};
    return {Kind::stay, ""};
  }
  const auto requests = counts.candidate - s.candidate_before;
  if (lasted < s.probation.time || requests < s.probation.requests) return {Kind::stay, ""};
  return {Kind::finish, std::format("{} and {} requests without harm", format_duration(s.probation.time), requests)};
}

}  // namespace millrace::loop
