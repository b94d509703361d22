#include "cli/loadtest_verdict.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <format>

#include "base/text.hpp"

namespace millrace::cli {

namespace {

constexpr double nearly_all = 0.9;  // of a processor, or of all that the server may use
constexpr double machine_full = 0.95;
constexpr double connections_full = 0.95;
constexpr double starved_much = 0.3;
constexpr double ramp_factor = 1.5, ramp_precision = 1.05;
constexpr double reached_enough = 0.98;

std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty() || !std::isfinite(value))
    return std::nullopt;
  return value;
}

std::string others(const LoadSecond& second) {
  return second.server_cores_used
             ? std::format("the server used {:.1f} of {:g} processors", *second.server_cores_used, second.server_cores)
             : "the server does not say what it used";
}

Saturation in_second(const LoadSecond& second, int connections) {
  using What = Saturation::What;
  const auto found = [&](What what, std::string why) {
    return Saturation{what, second.at_s, std::format("{} (from second {:.0f})", why, second.at_s)};
  };
  if (second.client_cpu >= nearly_all)
    return found(What::client, std::format("this program itself: its one thread used {:.0f} % of a processor; {}",
                                           second.client_cpu * 100, others(second)));
  if (second.refused > 0)
    return found(What::refusals,
                 std::format("the server refused requests (429 or 503): {} in a second; {}",
                             with_thousands(static_cast<std::int64_t>(second.refused)), others(second)));
  if (second.server_cores_used && *second.server_cores_used >= nearly_all * second.server_cores)
    return found(What::server_cpu, std::format("the server's processors: it used {:.1f} of {:g}",
                                               *second.server_cores_used, second.server_cores));
  if (second.machine_busy.value_or(0) >= machine_full || second.client_starved >= starved_much)
    return found(What::machine,
                 std::format("this machine's processors, which server and load test share: {}, the load test {:.1f}; "
                             "run it from another machine for the server's own limit",
                             others(second), second.client_cpu));
  if (second.due > 0 && second.answered + second.failed == 0)
    return found(What::standstill,
                 std::format("nothing measured here: not one answer came for a second; {}", others(second)));
  if (second.waiting > 0 && second.connections_busy >= connections_full)
    return found(What::connections,
                 std::format("the {} connections: each waited for an answer while requests were due; {}. If it has "
                             "processors left, try more --connections",
                             connections, others(second)));
  return {};
}

}  // namespace

std::string_view saturation_name(Saturation::What what) {
  constexpr std::array<std::string_view, 7> names{"nothing",    "client",  "refusals",   "standstill",
                                                  "server_cpu", "machine", "connections"};
  return names[static_cast<std::size_t>(what)];
}

Saturation first_saturated(std::span<const LoadSecond> seconds, int connections) {
  for (const auto& second : seconds) {
    if (auto found = in_second(second, connections); found.what != Saturation::What::nothing) return found;
  }
  Saturation none;
  double server = -1, client = 0;
  for (const auto& second : seconds) {
    server = std::max(server, second.server_cores_used.value_or(-1));
    client = std::max(client, second.client_cpu);
  }
  none.why = std::format("nothing: {}the load test {:.0f} % of one",
                         server < 0 ? ""
                                    : std::format("the server used at most {:.1f} of {:g} processors, ", server,
                                                  seconds.empty() ? 0 : seconds.back().server_cores),
                         client * 100);
  return none;
}

Result<void> set_errors(LoadLimits& limits, const std::string& text) {
  const bool share = text.ends_with('%');
  const auto value = number(share ? std::string_view(text).substr(0, text.size() - 1) : std::string_view(text));
  if (!value || *value < 0 || (share && *value > 100) || (!share && *value != std::floor(*value)))
    return fail(Code::invalid_argument, "cli.bad_limit",
                std::format("--errors {}: write a count, as in 0, or a share, as in 0.1%", text));
  if (share) {
    limits.errors_share = *value / 100;
  } else {
    limits.errors_count = static_cast<std::uint64_t>(*value);
  }
  return ok();
}

std::string latency_text(std::uint64_t us) {
  const auto value = static_cast<double>(us);
  if (us >= 1'000'000) return std::format("{:.2f} s", value / 1e6);
  if (us >= 100'000) return std::format("{:.0f} ms", value / 1e3);
  if (us >= 10'000) return std::format("{:.1f} ms", value / 1e3);
  return std::format("{:.2f} ms", value / 1e3);
}

std::vector<LimitLine> check_limits(const OpenLoopResult& result, const LoadLimits& limits) {
  std::vector<LimitLine> out;
  for (const auto& one : limits.latency) {
    const auto got = one.share >= 1 ? result.latency.max() : result.latency.percentile(one.share);
    // No answer at all keeps no limit.
    const bool passed = result.latency.count() > 0 && got <= static_cast<std::uint64_t>(one.most.count());
    out.push_back(
        {one.name, "<= " + format_duration(one.most), result.latency.count() > 0 ? latency_text(got) : "-", passed});
  }
  const auto share = result.due == 0 ? 0 : static_cast<double>(result.failed) / static_cast<double>(result.due);
  if (limits.errors_count)
    out.push_back({"errors", std::format("<= {}", *limits.errors_count), std::to_string(result.failed),
                   result.failed <= *limits.errors_count});
  if (limits.errors_share)
    out.push_back({"errors", std::format("<= {:g}%", *limits.errors_share * 100), std::format("{:.3g}%", share * 100),
                   share <= *limits.errors_share});
  return out;
}

std::string client_too_slow(const OpenLoopResult& result, const Saturation& saturation) {
  if (saturation.what == Saturation::What::client)
    return "this program itself was too slow for the rate, so the figures say little about the server; use a lower "
           "--rate, or several load tests on other machines";
  const auto own = result.client_delay.percentile(0.99), whole = result.latency.percentile(0.99);
  if (own > 1000 && own * 5 > whole)
    return std::format(
        "this program sent late: with a connection free, 1 % of the requests left {} or more after they were due; the "
        "latencies contain that, so they are not the server's alone",
        latency_text(own));
  return "";
}

std::optional<double> next_rate(std::span<const RampStage> so_far, double lowest, double highest) {
  if (so_far.empty()) return lowest;
  const auto held = highest_held(so_far);
  double failed = 0;
  for (const auto& stage : so_far) {
    if (!stage.held) failed = failed == 0 ? stage.per_second : std::min(failed, stage.per_second);
  }
  if (!held) return std::nullopt;  // not even the lowest
  if (failed == 0)
    return *held >= highest ? std::nullopt : std::optional(std::min(highest, std::round(*held * ramp_factor + 0.5)));
  if (failed <= *held * ramp_precision) return std::nullopt;
  const auto between = std::round(std::sqrt(*held * failed));
  return between <= *held || between >= failed ? std::nullopt : std::optional(between);
}

std::optional<double> highest_held(std::span<const RampStage> stages) {
  std::optional<double> out, failed;
  for (const auto& stage : stages) {
    if (!stage.held) failed = std::min(failed.value_or(stage.per_second), stage.per_second);
  }
  for (const auto& stage : stages) {
    if (stage.held && (!failed || stage.per_second < *failed)) out = std::max(out.value_or(0), stage.per_second);
  }
  return out;
}

bool stage_holds(const OpenLoopResult& result, double duration_s, const std::vector<LimitLine>& limits) {
  if (!std::ranges::all_of(limits, &LimitLine::passed)) return false;
  if (static_cast<double>(result.answered) < reached_enough * static_cast<double>(result.due)) return false;
  // What was left over at the end was a queue that grew, or the last answers' own time.
  const double last_answers_s = static_cast<double>(result.latency.percentile(0)) * 2e-6;
  return result.took_s <= duration_s * (2 - reached_enough) + last_answers_s;
}

Result<Ramp> parse_ramp(const std::string& text) {
  const auto dots = text.find("..");
  const auto low = number(std::string_view(text).substr(0, dots));
  const auto high = dots == std::string::npos ? std::nullopt : number(std::string_view(text).substr(dots + 2));
  if (!low || !high || *low < 1 || *high < *low || *high > 1e6)
    return fail(Code::invalid_argument, "cli.bad_ramp",
                std::format("--ramp {}: write the lowest and the highest rate, as in 100..5000", text));
  return Ramp{*low, *high};
}

}  // namespace millrace::cli
