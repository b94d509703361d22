#include "cli/loadtest.hpp"

#include <atomic>
#include <charconv>
#include <condition_variable>
#include <format>
#include <mutex>
#include <thread>

#include "base/cpu.hpp"
#include "base/rng.hpp"
#include "base/text.hpp"
#include "cli/scrape.hpp"

namespace millrace::cli {

namespace {

struct HttpPlace {
  std::string host, authority, base_path;
  int port = 80;
  bool local = false;
};

// "http://127.0.0.1:7070/below".
Result<HttpPlace> place_of(const std::string& url) {
  constexpr std::string_view scheme = "http://";
  if (!url.starts_with(scheme))
    return fail(Code::unimplemented, "cli.not_available",
                std::format("not available yet: a load test of {}; only http:// so far", url));
  HttpPlace out;
  const auto slash = url.find('/', scheme.size());
  out.authority = url.substr(scheme.size(), slash == std::string::npos ? slash : slash - scheme.size());
  out.base_path = slash == std::string::npos ? "" : url.substr(slash);
  const auto close = out.authority.find(']');
  const auto colon = out.authority.find(':', close == std::string::npos ? 0 : close);
  out.host = out.authority.substr(0, colon);
  if (close != std::string::npos) out.host = out.authority.substr(1, close - 1);
  if (colon != std::string::npos) {
    const auto* end = out.authority.data() + out.authority.size();
    const auto [stop, error] = std::from_chars(out.authority.data() + colon + 1, end, out.port);
    if (error != std::errc() || stop != end)
      return fail(Code::invalid_argument, "cli.bad_url", std::format("{} is no server's URL", url));
  }
  const auto kind = address_kind(out.host);
  out.local = kind == AddressKind::loopback || out.host == "localhost";
  return out;
}

Result<Duration> positive(const std::string& text, std::string_view option) {
  auto value = parse_duration(text);
  if (!value || value->count() <= 0)
    return fail(Code::invalid_argument, "cli.bad_duration",
                std::format("{} {}: write a time above zero, as in 30s or 20ms", option, text));
  return value;
}

Result<LoadLimits> limits_of(const LoadtestOptions& options) {
  LoadLimits limits;
  struct Named {
    const char* name;
    double share;
    const std::string& text;
  };
  for (const auto& [name, share, text] :
       {Named{"p50", 0.5, options.p50}, Named{"p90", 0.9, options.p90}, Named{"p99", 0.99, options.p99},
        Named{"p99.9", 0.999, options.p999}, Named{"max", 1, options.max}}) {
    if (text.empty()) continue;
    TRY(const auto most, positive(text, std::string("--") + name));
    limits.latency.push_back({name, share, most});
  }
  if (!options.errors.empty()) TRY_VOID(set_errors(limits, options.errors));
  if (options.ramp.empty()) return limits;
  // A ramp needs something to break: a queue that grows without end would hold any rate for a while.
  if (limits.latency.empty()) limits.latency.push_back({"p99", 0.99, std::chrono::milliseconds(100)});
  if (!limits.errors_count && !limits.errors_share) limits.errors_count = 0;
  return limits;
}

// The columns and rows that the server itself knows: its examples, or made up from the protocol's metadata.
Result<LoadRows> rows_of_server(Client& client, const std::string& model, Rng& rng) {
  auto examples = client.get<api::ModelExamples>("/api/v1/models/" + percent_encoded(model) + "/examples");
  if (examples && !examples->rows.empty()) return example_rows(*examples);
  auto metadata = client.call("GET", "/v2/models/" + percent_encoded(model));
  if (!metadata) return fail(examples ? std::move(metadata).error() : std::move(examples).error());
  return made_up_rows(*metadata, rng);
}

Result<LoadRows> rows_of(Client& client, const LoadtestOptions& options, const LoadtestHost& host) {
  SeededRng rng(options.seed);
  if (options.rows_file.empty()) return rows_of_server(client, options.model, rng);
  TRY(const auto text, host.read_input(options.rows_file));
  const bool csv = options.rows_file.ends_with(".csv");
  auto known = rows_of_server(client, options.model, rng);
  if (!known && csv) return fail(std::move(known).error());  // its cells have no types of their own
  return file_rows(text, options.rows_file, csv, known ? known->columns : std::vector<LoadColumn>());
}

struct Prepared {
  HttpPlace place;
  LoadProtocol protocol = LoadProtocol::predict;
  std::string path;
  std::vector<std::string> requests;
};

Result<Prepared> prepare(const ServerAddress& address, const LoadtestOptions& options, const LoadRows& rows) {
  Prepared out;
  TRY(out.place, place_of(address.url));
  out.protocol = options.protocol == "predict" ? LoadProtocol::predict
                 : options.protocol == "v2"    ? LoadProtocol::v2
                                               : LoadProtocol::v2_binary;
  const auto name = percent_encoded(options.model);
  out.path = out.protocol == LoadProtocol::predict ? "/predict/" + name : "/v2/models/" + name + "/infer";
  TRY(const auto bodies, load_bodies(rows, out.protocol, options.rows_each));
  for (const auto& body : bodies) {
    auto request =
        std::format("POST {}{} HTTP/1.1\r\nHost: {}\r\nUser-Agent: millrace-loadtest\r\nContent-Type: {}\r\n",
                    out.place.base_path, out.path, out.place.authority, body.content_type);
    if (!address.token.empty()) request += "Authorization: Bearer " + address.token.reveal() + "\r\n";
    if (body.json_bytes > 0) request += std::format("Inference-Header-Content-Length: {}\r\n", body.json_bytes);
    request += std::format("Content-Length: {}\r\n\r\n", body.bytes.size());
    out.requests.push_back(request + body.bytes);
  }
  return out;
}

// Asks the server each second what it uses, beside the load and on a connection of its own.
class Watch {
 public:
  Watch(Env& env, const ServerAddress& address)
      : clock_(env.clock), client_(env, address), thread_([this](const std::stop_token& stop) { run(stop); }) {}

  // Of the last second that is known.
  std::optional<ServerUse> now() {
    std::lock_guard lock(mutex_);
    return use_;
  }

 private:
  void run(const std::stop_token& stop) {
    const auto start = clock_.steady();
    std::optional<ServerCounters> before;
    std::condition_variable_any wake;
    std::mutex idle;
    while (!stop.stop_requested()) {
      const auto began = clock_.steady();
      auto text = client_.call("GET", "/metrics");
      auto counters = text ? read_server_counters(*text) : std::nullopt;
      if (counters) counters->at_s = std::chrono::duration<double>(began - start).count();
      {
        std::lock_guard lock(mutex_);
        use_ = before && counters ? server_use(*before, *counters) : std::nullopt;
      }
      before = counters;
      std::unique_lock lock(idle);
      wake.wait_for(lock, stop, began + std::chrono::seconds(1) - clock_.steady(), [] { return false; });
    }
  }

  Clock& clock_;
  Client client_;
  std::mutex mutex_;
  std::optional<ServerUse> use_;
  std::jthread thread_;  // last: it uses the others
};

LoadSecond second_of(const OpenLoopSecond& second, const std::optional<ServerUse>& use,
                     const std::optional<double>& machine_busy) {
  LoadSecond out{.at_s = second.at_s,
                 .due = second.due,
                 .answered = second.answered,
                 .failed = second.failed,
                 .refused = second.refused,
                 .waiting = second.waiting,
                 .connections_busy = second.connections_busy,
                 .client_cpu = second.client_cpu,
                 .client_starved = second.client_starved,
                 .server_cores_used = {},
                 .server_cores = 0,
                 .machine_busy = machine_busy};
  if (use) {
    out.server_cores_used = use->cores_used;
    out.server_cores = use->cores;
  }
  return out;
}

std::string progress_line(const OpenLoopSecond& second, double per_second) {
  const auto rate = [&](std::uint64_t count) {
    return with_thousands(static_cast<std::int64_t>(static_cast<double>(count) / second.length_s));
  };
  auto line = std::format("{:4.0f} s   asked {:>7}/s   answered {:>7}/s   p50 {:>8}   p99 {:>8}   max {:>8}",
                          second.at_s, with_thousands(static_cast<std::int64_t>(per_second)), rate(second.answered),
                          latency_text(second.p50_us), latency_text(second.p99_us), latency_text(second.max_us));
  if (second.failed > 0) line += std::format("   errors {}", second.failed);
  if (second.waiting > 0) line += std::format("   waiting {}", second.waiting);
  return line;
}

Result<LoadStage> run_stage(const Prepared& prepared, const LoadtestOptions& options, const LoadLimits& limits,
                            double per_second, Duration duration, const LoadtestHost& host, Watch& watch) {
  LoadStage stage{.per_second = per_second, .duration_s = std::chrono::duration<double>(duration).count()};
  TRY(const auto timeout, positive(options.timeout, "--timeout"));
  const OpenLoopConfig config{
      .host = prepared.place.host,
      .port = prepared.place.port,
      .requests = prepared.requests,
      .per_second = per_second,
      .arrivals = options.arrivals == "poisson" ? Arrivals::Kind::poisson : Arrivals::Kind::fixed,
      .seed = options.seed,
      .duration = duration,
      .connections = options.connections,
      .patience = timeout};
  auto machine = prepared.place.local ? machine_cpu() : std::nullopt;
  const OpenLoopHooks hooks{.second =
                                [&](const OpenLoopSecond& second) {
                                  std::optional<double> busy;
                                  if (const auto now = prepared.place.local ? machine_cpu() : std::nullopt;
                                      now && machine) {
                                    if (now->all_s > machine->all_s)
                                      busy = (now->busy_s - machine->busy_s) / (now->all_s - machine->all_s);
                                    machine = now;
                                  }
                                  stage.seconds.push_back(second_of(second, watch.now(), busy));
                                  if (host.progress) host.progress(progress_line(second, per_second));
                                },
                            .stop = host.interrupted};
  TRY(stage.result, run_open_loop(config, host.env.clock, hooks));
  stage.limits = check_limits(stage.result, limits);
  // The last piece of a second says little of a rate.
  std::vector<LoadSecond> whole;
  for (std::size_t i = 0; i < stage.seconds.size(); ++i) {
    if (stage.result.seconds[i].length_s >= 0.5) whole.push_back(stage.seconds[i]);
  }
  stage.saturation = first_saturated(whole, options.connections);
  stage.client_note = client_too_slow(stage.result, stage.saturation);
  stage.held = stage_holds(stage.result, stage.duration_s, stage.limits);
  return stage;
}

}  // namespace

Result<Output> loadtest(Client& client, const LoadtestOptions& options, const LoadtestHost& host, bool json) {
  if (!(options.rate > 0) || options.rate > 1e6)
    return fail(Code::invalid_argument, "cli.bad_rate", "--rate: requests a second, above 0 and at most 1000000");
  TRY(const auto limits, limits_of(options));
  TRY(const auto duration, positive(options.duration, "--duration"));
  TRY(const auto stage_length, positive(options.stage, "--stage"));
  std::optional<Ramp> ramp;
  if (!options.ramp.empty()) {
    TRY(ramp, parse_ramp(options.ramp));
  }
  TRY(const auto rows, rows_of(client, options, host));
  TRY(const auto prepared, prepare(client.address(), options, rows));
  LoadReport report{.model = options.model,
                    .url = client.url(),
                    .path = prepared.path,
                    .rows = rows.origin,
                    .options = options,
                    .ramp = ramp.has_value(),
                    .stages = {},
                    .highest = {}};
  Watch watch(host.env, client.address());
  std::vector<RampStage> so_far;
  for (;;) {
    const auto rate = ramp ? next_rate(so_far, ramp->lowest, ramp->highest) : std::optional(options.rate);
    if (!rate) break;
    TRY(auto stage, run_stage(prepared, options, limits, *rate, ramp ? stage_length : duration, host, watch));
    so_far.push_back({*rate, stage.held});
    report.stages.push_back(std::move(stage));
    if (!ramp || report.stages.back().result.interrupted) break;
  }
  if (ramp) {
    if (report.stages.back().result.interrupted) so_far.pop_back();  // not a stage's fault
    report.highest = highest_held(so_far);
  }
  return Output{json ? report_json(report) + "\n" : report_text(report), report_exit(report)};
}

}  // namespace millrace::cli
