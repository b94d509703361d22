#include <format>

#include "base/json.hpp"
#include "base/text.hpp"
#include "cli/loadtest.hpp"
#include "cli/print.hpp"

namespace millrace::cli {

// ---- what --json prints

struct LoadLatencyJson {
  double p50 = 0, p90 = 0, p99 = 0, p999 = 0, max = 0, mean = 0;
};
struct LoadErrorJson {
  int status = 0;  // 0: no whole answer
  std::string reason;
  std::uint64_t count = 0;
};
struct LoadSecondJson {
  double at_s = 0, connections_busy = 0, client_cpu = 0;
  std::uint64_t due = 0, answered = 0, failed = 0, refused = 0, waiting = 0;
  double p99_ms = 0, max_ms = 0;
  std::optional<double> server_cores_used, machine_busy;
};
struct LoadLimitJson {
  std::string name, limit, got;
  bool passed = false;
};
struct LoadSaturationJson {
  std::string what, why;
  double at_s = 0;
};
struct LoadStageJson {
  double asked_per_s = 0, reached_per_s = 0, rows_per_s = 0, duration_s = 0, took_s = 0;
  std::uint64_t due = 0, answered = 0, failed = 0, connected_again = 0;
  LoadLatencyJson latency_ms, send_delay_ms, client_delay_ms;
  std::vector<LoadErrorJson> errors;
  LoadSaturationJson saturated;
  std::string client_note;
  std::vector<LoadLimitJson> limits;
  bool held = false, interrupted = false;
  std::vector<LoadSecondJson> seconds;
};
struct LoadReportJson {
  std::string model, url, path, protocol, arrivals, rows;
  int connections = 0, rows_each = 0;
  std::uint64_t seed = 0;
  bool passed = false;
  std::optional<LoadStageJson> result;
  std::optional<double> highest_per_s;
  std::optional<std::vector<LoadStageJson>> stages;  // of a ramp
};

namespace {

LoadLatencyJson latency_json(const LatencyHistogram& h) {
  const auto ms = [&](double share) { return static_cast<double>(h.percentile(share)) / 1000; };
  return {ms(0.5), ms(0.9), ms(0.99), ms(0.999), static_cast<double>(h.max()) / 1000, h.mean() / 1000};
}

double reached(const LoadStage& stage) {
  return stage.result.took_s > 0 ? static_cast<double>(stage.result.answered) / stage.result.took_s : 0;
}

bool kept_all(const LoadStage& stage) { return std::ranges::all_of(stage.limits, &LimitLine::passed); }

LoadStageJson stage_json(const LoadStage& stage, int rows_each) {
  const auto& result = stage.result;
  LoadStageJson out{
      .asked_per_s = stage.per_second,
      .reached_per_s = reached(stage),
      .rows_per_s = reached(stage) * rows_each,
      .duration_s = stage.duration_s,
      .took_s = result.took_s,
      .due = result.due,
      .answered = result.answered,
      .failed = result.failed,
      .connected_again = result.connected_again,
      .latency_ms = latency_json(result.latency),
      .send_delay_ms = latency_json(result.send_delay),
      .client_delay_ms = latency_json(result.client_delay),
      .errors = {},
      .saturated = {std::string(saturation_name(stage.saturation.what)), stage.saturation.why, stage.saturation.at_s},
      .client_note = stage.client_note,
      .limits = {},
      .held = stage.held,
      .interrupted = result.interrupted,
      .seconds = {}};
  for (const auto& [failure, count] : result.failures) out.errors.push_back({failure.status, failure.reason, count});
  for (const auto& line : stage.limits) out.limits.push_back({line.name, line.limit, line.got, line.passed});
  for (std::size_t i = 0; i < stage.seconds.size(); ++i) {
    const auto& one = stage.seconds[i];
    out.seconds.push_back({.at_s = one.at_s,
                           .connections_busy = one.connections_busy,
                           .client_cpu = one.client_cpu,
                           .due = one.due,
                           .answered = one.answered,
                           .failed = one.failed,
                           .refused = one.refused,
                           .waiting = one.waiting,
                           .p99_ms = static_cast<double>(result.seconds[i].p99_us) / 1000,
                           .max_ms = static_cast<double>(result.seconds[i].max_us) / 1000,
                           .server_cores_used = one.server_cores_used,
                           .machine_busy = one.machine_busy});
  }
  return out;
}

std::string errors_text(const OpenLoopResult& result) {
  std::string out;
  for (const auto& [failure, count] : result.failures) {
    out += std::format("{:<10} {:>9}  {}{}\n", out.empty() ? "errors" : "",
                       with_thousands(static_cast<std::int64_t>(count)),
                       failure.status == 0 ? "no answer" : std::to_string(failure.status),
                       failure.reason.empty() ? "" : "  " + failure.reason);
  }
  return out;
}

std::string latency_line(std::string_view name, const LatencyHistogram& h) {
  return std::format("{:<10} p50 {}   p90 {}   p99 {}   p99.9 {}   max {}\n", name, latency_text(h.percentile(0.5)),
                     latency_text(h.percentile(0.9)), latency_text(h.percentile(0.99)),
                     latency_text(h.percentile(0.999)), latency_text(h.max()));
}

std::string stage_text(const LoadStage& stage, int rows_each) {
  const auto& result = stage.result;
  const auto count = [](std::uint64_t number) { return with_thousands(static_cast<std::int64_t>(number)); };
  std::string out;
  if (result.interrupted)
    out += std::format("stopped    after {:.1f} s; what was measured until then\n", result.took_s);
  out += std::format("asked      {} requests/s: {} were due\n",
                     with_thousands(static_cast<std::int64_t>(stage.per_second)), count(result.due));
  out += std::format(
      "reached    {:.1f} requests/s{}: {} answered, {} failed\n", reached(stage),
      rows_each > 1 ? std::format(" ({} rows/s)", with_thousands(static_cast<std::int64_t>(reached(stage) * rows_each)))
                    : "",
      count(result.answered), count(result.failed));
  out += errors_text(result);
  out += latency_line("latency", result.latency);
  out += latency_line("send delay", result.send_delay);
  out += std::format("saturated  {}\n", stage.saturation.why);
  if (!stage.client_note.empty()) out += "careful    " + stage.client_note + "\n";
  for (const auto& line : stage.limits)
    out += std::format("limit      {} {}   got {}   {}\n", line.name, line.limit, line.got,
                       line.passed ? "kept" : "MISSED");
  return out;
}

}  // namespace

std::string report_text(const LoadReport& report) {
  const auto& options = report.options;
  auto out = std::format("loadtest   POST {}{}   {} connections, {} arrivals, {}{}\n", report.url, report.path,
                         options.connections, options.arrivals, report.rows,
                         options.rows_each > 1 ? std::format(", {} in each request", options.rows_each) : "");
  if (!report.ramp) return out + stage_text(report.stages.front(), options.rows_each);
  Table table({"asked/s", "reached/s", "p50", "p99", "max", "failed", "", "saturated"},
              {true, true, true, true, true, true});
  const LoadStage* last_held = nullptr;
  const LoadStage* broke = nullptr;
  for (const auto& stage : report.stages) {
    const auto& latency = stage.result.latency;
    table.add({with_thousands(static_cast<std::int64_t>(stage.per_second)), std::format("{:.0f}", reached(stage)),
               latency_text(latency.percentile(0.5)), latency_text(latency.percentile(0.99)),
               latency_text(latency.max()), with_thousands(static_cast<std::int64_t>(stage.result.failed)),
               stage.result.interrupted ? "stopped"
               : stage.held             ? "holds"
                                        : "BREAKS",
               std::string(saturation_name(stage.saturation.what))});
    if (stage.held && stage.per_second == report.highest) last_held = &stage;
    if (!stage.held && !stage.result.interrupted && (!broke || stage.per_second < broke->per_second)) broke = &stage;
  }
  out += table.text();
  if (last_held) {
    out += std::format("highest    {} requests/s hold\n", with_thousands(static_cast<std::int64_t>(*report.highest)));
    out += latency_line("latency", last_held->result.latency);
  } else {
    out += "highest    none: not even the lowest rate holds\n";
  }
  if (broke) {
    out += std::format("at {}/s\n", with_thousands(static_cast<std::int64_t>(broke->per_second)));
    out += errors_text(broke->result);
    for (const auto& line : broke->limits) {
      if (!line.passed) out += std::format("limit      {} {}   got {}   MISSED\n", line.name, line.limit, line.got);
    }
    out += std::format("saturated  {}\n", broke->saturation.why);
    if (!broke->client_note.empty()) out += "careful    " + broke->client_note + "\n";
  }
  return out;
}

int report_exit(const LoadReport& report) {
  if (report.stages.empty()) return 1;
  if (report.stages.back().result.interrupted) return 130;
  if (report.ramp) return report.highest ? 0 : 2;
  const auto& stage = report.stages.front();
  if (!kept_all(stage)) return 2;
  return stage.result.answered == 0 ? 1 : 0;
}

std::string report_json(const LoadReport& report) {
  const auto& options = report.options;
  LoadReportJson out{.model = report.model,
                     .url = report.url,
                     .path = report.path,
                     .protocol = options.protocol,
                     .arrivals = options.arrivals,
                     .rows = report.rows,
                     .connections = options.connections,
                     .rows_each = options.rows_each,
                     .seed = options.seed,
                     .passed = report_exit(report) == 0,
                     .result = {},
                     .highest_per_s = report.highest,
                     .stages = {}};
  if (report.ramp) {
    out.stages.emplace();
    for (const auto& stage : report.stages) out.stages->push_back(stage_json(stage, options.rows_each));
  } else {
    out.result = stage_json(report.stages.front(), options.rows_each);
  }
  return json::render(out);
}

}  // namespace millrace::cli
