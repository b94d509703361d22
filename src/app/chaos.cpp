// `doctor --chaos`: a scratch copy of a data folder, its server under load, SIGKILL at fault points taken at random.
#include <algorithm>
#include <filesystem>
#include <format>
#include <set>
#include <sstream>
#include <thread>

#include "app/chaos_client.hpp"
#include "app/doctor.hpp"
#include "app/fault_points.hpp"
#include "app/local_commands.hpp"
#include "base/fs.hpp"
#include "base/ids.hpp"
#include "base/process.hpp"
#include "base/text.hpp"
#include "loop/project.hpp"

namespace millrace::app {

namespace {

constexpr auto warm_up_max = std::chrono::seconds(15);
constexpr auto round_max = std::chrono::seconds(8);      // then another point
constexpr auto start_max = std::chrono::seconds(60);     // from a kill until it is ready again
constexpr auto at_rest_max = std::chrono::seconds(120);  // until what it does by itself is over

void pause_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

struct Row {
  std::string point;
  bool hit = false;
  std::string died;  // "server", "job"
  std::optional<Duration> recovery;
  std::string lost;  // what is not as it should be; "" when all is
};

class Chaos {
 public:
  Chaos(const cli::DoctorOptions& options, Duration length, std::string version, Env& env)
      : options_(options),
        length_(length),
        version_(std::move(version)),
        env_(env),
        processes_(env.clock),
        points_rng_(options.seed),
        load_rng_(options.seed + 1),
        folder_(join_path(parent_path(absolute(options.data_dir)),
                          "millrace-chaos-" + IdMaker(env.clock, env.rng).make().text())),
        data_dir_(join_path(folder_, ".millrace")),
        client_(env, data_dir_, pause_ms) {}

  Result<cli::Output> run() {
    catch_signals();
    auto output = [&]() -> Result<cli::Output> {
      TRY_VOID(copy());
      return rounds();
    }();
    server_.reset();  // kills what still runs
    // There is something to look at where something was lost, or went wrong on the way; not where it can't be tried.
    const bool to_see = output ? output->exit_code != 0 : output.error().code != Code::failed_precondition;
    if (!to_see || !exists(env_.fs, data_dir_) || interrupted()) {
      (void)env_.fs.remove_all(folder_);
    } else {
      tell(std::format("what is left is in {}: up.out, .millrace; remove it when you have seen it", folder_));
    }
    return output;
  }

 private:
  void tell(const std::string& line) const {
    if (options_.tell) options_.tell(line);
  }
  static std::unexpected<Error> stopped() { return fail(Code::cancelled, "chaos.interrupted", "interrupted"); }

  // As a backup would have it; the folder itself is not touched, and its server goes on.
  Result<void> copy() {
    tell("copying " + options_.data_dir + " to " + folder_);
    TRY_VOID(env_.fs.make_dirs(folder_));
    const auto safe = join_path(folder_, "backup");
    const auto go_on = [](const backup::Told&) { return !interrupted(); };
    TRY(const auto made, backup::make({options_.data_dir, safe, "millrace " + version_}, env_, go_on));
    (void)made;
    cli::RestoreOptions back;
    back.folder = safe;
    back.data_dir = data_dir_;
    back.project_file = join_path(folder_, "millrace.toml");
    TRY(const auto restored, restore(back, env_));
    (void)restored;
    TRY_VOID(env_.fs.remove_all(safe));
    return lend_keys();
  }

  // Where the copy's project file looks for them: by links, so that each key stays the only one.
  Result<void> lend_keys() {
    TRY(const auto text, read_file(env_.fs, join_path(folder_, "millrace.toml")));
    TRY(const auto project, loop::parse_project(text));
    const auto& profile = project.profile;
    for (const std::filesystem::path file : {profile.master_key(), profile.tls.certificate, profile.tls.key}) {
      if (file.empty() || file.is_absolute()) continue;
      std::error_code failed;
      const auto link = folder_ / file;
      std::filesystem::create_directories(link.parent_path(), failed);
      if (!failed) std::filesystem::create_symlink(parent_path(absolute(options_.data_dir)) / file, link, failed);
      if (failed && failed != std::errc::file_exists)
        return fail(Code::unavailable, "chaos.no_key",
                    std::format("{} can't be linked to: {}", link.string(), failed.message()));
    }
    return {};
  }

  Result<void> start(const std::string& fault) {
    ProcessSpec spec;
    spec.argv = self_program("millrace");
    for (const auto* word : {"up", "--listen", "127.0.0.1:0"}) spec.argv.emplace_back(word);
    spec.cwd = folder_;
    spec.stdout_path = spec.stderr_path = join_path(folder_, "up.out");
    spec.env["MILLRACE_FAULT"] = fault;
    (void)env_.fs.remove(join_path(data_dir_, "address"));
    TRY(server_, processes_.spawn(spec));
    return {};
  }

  bool server_died() { return server_->poll().has_value(); }

  // Started again as often as it dies of the fault, which is once.
  Result<void> until_ready(const std::string& fault) {
    return until(fault, "ready", [&] { return client_.ready(); });
  }
  template <class There>
  Result<void> until(const std::string& fault, const char* what, There there) {
    const auto deadline = env_.clock.steady() + start_max;
    while (env_.clock.steady() < deadline) {
      if (interrupted()) return stopped();
      if (const auto ended = server_->poll()) {
        if (ended->signal == 0)
          return fail(Code::internal, "chaos.no_start", "the server does not start: " + describe(*ended, {}));
        TRY_VOID(start(fault));
      }
      if (there()) return {};
      pause_ms(10);
    }
    return fail(Code::deadline_exceeded, "chaos.not_ready",
                std::format("the server was not {} {} after its start", what, format_duration(start_max)));
  }

  Result<void> until_at_rest(const std::string& fault) {
    const auto deadline = env_.clock.steady() + at_rest_max;
    while (env_.clock.steady() < deadline) {
      if (interrupted()) return stopped();
      auto rest = client_.at_rest();
      if (!rest && server_died()) TRY_VOID(until_ready(fault));
      if (rest && *rest) return {};
      pause_ms(50);
    }
    return fail(Code::deadline_exceeded, "chaos.stuck",
                std::format("jobs are still at work after {}; see: millrace status", format_duration(at_rest_max)));
  }

  Result<void> stop() {
    server_->terminate();
    const auto ended = server_->wait(std::chrono::seconds(30));
    server_.reset();
    if (ended) return {};
    return fail(Code::deadline_exceeded, "chaos.no_stop", "the server did not stop within 30 s of SIGTERM");
  }

  // Load until the fault was met, or the time is over. Nobody pauses: what is in flight when it dies is the point.
  Result<void> load(const std::string& mark, Duration length) {
    const auto deadline = env_.clock.steady() + length;
    while (env_.clock.steady() < deadline && !interrupted()) {
      const auto answered = client_.act(load_rng_);
      if (!mark.empty() && exists(env_.fs, mark)) return {};
      if (!answered) {
        if (server_died()) return {};
        pause_ms(5);
      }
    }
    return {};
  }

  Result<std::vector<std::string>> points_reached(Duration length) {
    const auto note = join_path(folder_, "reached");
    const auto fault = "*=note:" + note;
    TRY_VOID(start(fault));
    TRY_VOID(until(fault, "there", [&] { return client_.there(); }));
    TRY_VOID(client_.learn());
    TRY_VOID(until_ready(fault));
    TRY_VOID(load("", length));
    if (interrupted()) return stopped();
    TRY_VOID(until_at_rest(fault));
    TRY_VOID(stop());
    TRY(const auto text, read_file(env_.fs, note));
    std::set<std::string> reached;
    std::istringstream lines(text);  // "point process"
    for (std::string point, process; lines >> point >> process;) reached.insert(point);
    if (!client_.failures().empty()) {
      return fail(Code::failed_precondition, "chaos.not_well",
                  "requests fail before anything was killed: " + client_.failures().front());
    }
    std::vector<std::string> points;
    for (const auto name : fault_points()) {
      if (reached.contains(std::string(name))) points.emplace_back(name);
    }
    return points;
  }

  Result<Row> round(const std::string& point, int number) {
    Row row;
    constexpr std::uint64_t times = 3;
    const auto at = 1 + points_rng_.below(times);
    row.point = std::format("{}@{}", point, at);
    const auto mark = join_path(folder_, std::format("killed-{}", number));
    const auto fault = std::format("{}=kill@{}/once:{}", point, at, mark);
    client_.forget();
    const auto failed_before = client_.failures().size();
    TRY_VOID(start(fault));
    TRY_VOID(until_ready(fault));
    TRY_VOID(load(mark, round_max));
    if (interrupted()) return stopped();
    row.hit = exists(env_.fs, mark);
    const auto killed = env_.clock.steady();
    // The mark is made just before the kill: a server that dies does so in a moment.
    for (int i = 0; row.hit && i < 20 && !server_died(); ++i) pause_ms(10);
    row.died = !row.hit ? "" : server_died() ? "server" : "job";
    TRY_VOID(until_ready(fault));
    if (row.died == "server") row.recovery = env_.clock.steady() - killed;
    TRY(row.lost, client_.missing());
    TRY_VOID(until_at_rest(fault));
    TRY_VOID(stop());
    if (!row.hit && exists(env_.fs, mark)) {  // on its way out
      row.hit = true;
      row.died = "server";
    }
    cli::DoctorOptions here;
    here.data_dir = data_dir_;
    TRY(const auto look, look_at_folder(here, nullptr, env_));
    if (row.lost.empty() && !look.findings.empty()) {
      const auto& finding = look.findings.front().finding;
      row.lost = std::format("doctor: {}: {}", finding.file.empty() ? finding.what : finding.file, finding.problem);
    }
    if (row.lost.empty() && client_.failures().size() > failed_before)
      row.lost = "refused though alive: " + client_.failures().back();
    return row;
  }

  Result<cli::Output> rounds() {
    const auto deadline = env_.clock.steady() + length_;
    tell(std::format("seed {}; a first round without a kill, to see which points the load comes by", options_.seed));
    TRY(const auto points, points_reached(std::min<Duration>(warm_up_max, length_ / 2)));
    tell(std::format("{} of {} points; killing at them at random for {}", points.size(), fault_points().size(),
                     options_.chaos));
    std::vector<Row> rows;
    std::set<std::string> tried;
    while (env_.clock.steady() < deadline) {
      const auto& point = points[points_rng_.below(points.size())];
      auto row = round(point, static_cast<int>(rows.size()));
      if (!row && interrupted()) break;
      if (!row) return fail(row.error().code, row.error().reason, point + ": " + row.error().message);
      tell(std::format(
          "{:44} {:8} {:8} {}", row->point, row->died.empty() ? "not met" : row->died,
          row->recovery ? std::format("{:.2f} s", std::chrono::duration<double>(*row->recovery).count()) : "",
          row->lost.empty() ? "nothing lost" : row->lost));
      if (row->hit) tried.insert(point);
      rows.push_back(*std::move(row));
      if (!rows.back().lost.empty()) break;
    }
    return cli::Output{summary(rows, tried.size()), rows.empty() || rows.back().lost.empty() ? 0 : 1};
  }

  std::string summary(const std::vector<Row>& rows, std::size_t points) const {
    std::vector<Duration> recoveries;
    for (const auto& row : rows) {
      if (row.recovery) recoveries.push_back(*row.recovery);
    }
    std::ranges::sort(recoveries);
    const auto killed = std::ranges::count_if(rows, &Row::hit);
    auto text = std::format("{} kills at {} points, {} requests answered, {} refused that should not have been\n",
                            killed, points, with_thousands(client_.answered()), client_.failures().size());
    if (!recoveries.empty()) {
      const auto seconds = [](Duration d) { return std::chrono::duration<double>(d).count(); };
      text += std::format("ready again after p50 {:.2f} s, at most {:.2f} s\n",
                          seconds(recoveries[recoveries.size() / 2]), seconds(recoveries.back()));
    }
    const bool lost = !rows.empty() && !rows.back().lost.empty();
    return text + (lost ? std::format("LOST at {}: {}\nthe same points again: millrace doctor --chaos {} --seed {}\n",
                                      rows.back().point, rows.back().lost, options_.chaos, options_.seed)
                        : std::string("nothing lost\n"));
  }

  const cli::DoctorOptions& options_;
  Duration length_;
  std::string version_;
  Env& env_;
  SystemProcesses processes_;
  std::unique_ptr<Process> server_;
  SeededRng points_rng_;  // apart, so that the points of a seed do not depend on how fast it goes
  SeededRng load_rng_;
  std::string folder_;
  std::string data_dir_;
  ChaosClient client_;
};

}  // namespace

Result<cli::Output> chaos(const cli::DoctorOptions& options, const std::string& version, Env& env) {
  auto seeded = options;
  if (seeded.seed == 0) seeded.seed = 1 + env.rng.below(1'000'000);
  TRY(const auto length, parse_duration(options.chaos));
  if (length <= Duration{})
    return fail(Code::invalid_argument, "cli.bad_option", "--chaos takes a length above zero, as in --chaos 10m");
  return Chaos(seeded, length, version, env).run();
}

}  // namespace millrace::app
