// `predictor --admin`: serves what a server on another machine wants to be served, and goes on without it.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdlib>
#include <format>
#include <mutex>
#include <thread>

#include "app/last_signal.hpp"
#include "app/local_commands.hpp"
#include "app/predictor_edge.hpp"
#include "app/wakeup.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/priority.hpp"
#include "blob/local.hpp"
#include "net/auth.hpp"
#include "remote/death.hpp"
#include "remote/fleet_client.hpp"
#include "remote/log_shipper.hpp"
#include "remote/wish.hpp"

namespace millrace::app {

namespace {

constexpr std::chrono::seconds kWishWait{20};               // of one question for the next wish
constexpr Duration kReportEvery = std::chrono::seconds(5);  // and whenever what is served changed
constexpr Duration kShipEvery = std::chrono::milliseconds(500);
constexpr Duration kAskAgainMax = std::chrono::seconds(5);     // after the server was out of reach
constexpr Duration kPauseMin = std::chrono::milliseconds(20);  // between two looks by the clock

std::string first_line(std::string text) {
  text.resize(std::min(text.find_first_of("\r\n"), text.size()));
  return text;
}

Duration ask_again_after(int failures) {
  return std::min<Duration>(std::chrono::milliseconds(250) * (1 << std::min(failures, 6)), kAskAgainMax);
}

// The same in every process that has this folder.
Result<std::string> id_in(const std::string& data_dir, Env& env) {
  const auto path = join_path(data_dir, "predictor_id");
  if (exists(env.fs, path)) {
    TRY(const auto text, read_file(env.fs, path));
    TRY(const auto id, Id::parse(first_line(text)));
    return id.text();
  }
  const auto id = IdMaker(env.clock, env.rng).make().text();
  TRY_VOID(write_file(env.fs, path, id + "\n"));
  return id;
}

Result<Secret> token_of(const cli::PredictorOptions& options, Env& env) {
  if (!options.token_file.empty()) {
    TRY(const auto text, read_file(env.fs, options.token_file));
    return Secret(first_line(text));
  }
  const char* token = std::getenv("MILLRACE_TOKEN");
  return Secret(token ? token : "");
}

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : std::string("predictor");
}

class FleetPredictor {
 public:
  FleetPredictor(Env& env, const remote::FleetClient& client, blob::Store& blobs, remote::WishKeeper& keeper,
                 serve::Predictor& predictor, serve::PredictionLog& log, Wakeup& looks)
      : env_(env),
        client_(client),
        blobs_(blobs),
        keeper_(keeper),
        predictor_(predictor),
        log_(log),
        looks_(looks),
        shipper_(env, client, log) {}

  void start(api::PredictorReport self) {
    self_ = std::move(self);
    wishes_ = std::thread([this] { follow_wishes(); });
    reports_ = std::thread([this] { tell_reports(); });
    lines_ = std::thread([this] { ship_lines(); });
  }
  void stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    woken_.notify_all();
    if (wishes_.joinable()) wishes_.join();
    if (reports_.joinable()) reports_.join();
    if (lines_.joinable()) lines_.join();
  }

  // An earlier process died: said in every report until a later release of the model begins. Before start().
  void tell_death(api::PredictorDeath death, std::string path) {
    self_death_ = std::move(death);
    death_path_ = std::move(path);
  }

  // One look at what there is to do now.
  void look() {
    const auto retry = predictor_.next_retry();
    const auto now = env_.clock.steady();
    if (keeper_.due() || (retry && *retry <= now)) {
      const auto before = keeper_.served();
      if (auto done = predictor_.reconcile(); done) {
        keeper_.done();
        forget_old_death();
        drop_old_artifacts();
      }
      if (keeper_.served() != before) env_.log.info("wish_served", {{"wish", keeper_.served().first}});
      report_soon();
    }
    if (now >= sync_at_) {
      sync_at_ = now + log_.config().sync_every;
      if (auto synced = log_.sync(); !synced)
        env_.log.error("prediction_log_not_synced", {{"error", synced.error().message}});
    }
  }
  // When the next look is due unless something is said before.
  SteadyPoint next_look() const {
    const auto retry = predictor_.next_retry();
    return std::max(retry ? std::min(*retry, sync_at_) : sync_at_, env_.clock.steady() + kPauseMin);
  }
  std::uint64_t unshipped_bytes() const { return shipper_.unshipped_bytes(); }
  std::string trouble() const {
    std::lock_guard lock(mutex_);
    return trouble_;
  }

 private:
  bool stopping() const {
    std::lock_guard lock(mutex_);
    return stopping_;
  }
  // False: it stops.
  bool pause(Duration time) {
    std::unique_lock lock(mutex_);
    return !woken_.wait_for(lock, time, [&] { return stopping_; });
  }
  void report_soon() {
    {
      std::lock_guard lock(mutex_);
      report_now_ = true;
    }
    woken_.notify_all();
  }

  // A wish is taken when all of its artifacts are here, so that the one before is served whole until then. What the
  // server has no artifact of is left to the version's own state.
  Result<void> take_next() {
    const auto held = keeper_.newest();
    const auto cancelled = [this] { return stopping(); };
    TRY(const auto wish, client_.next_wish(held.number, held.digest, kWishWait, cancelled));
    if (!wish) return {};
    TRY(const auto next, remote::from_wire(*wish));
    for (const auto& artifact : remote::artifacts_of(next)) {
      auto fetched = client_.fetch(artifact, blobs_, cancelled);
      if (fetched) continue;
      if (remote::may_pass(fetched.error()))
        return fail(
            fetched.error().code, fetched.error().reason,
            std::format("wish {} waits for artifact {}: {}", wish->number, artifact.hex(), fetched.error().message));
      env_.log.error("artifact_not_fetched", {{"artifact", artifact.hex()}, {"error", fetched.error().message}});
    }
    if (auto taken = keeper_.take(*wish); !taken)
      env_.log.error("wish_not_kept", {{"wish", wish->number}, {"error", taken.error().message}});
    return {};
  }

  void follow_wishes() {
    int failures = 0;
    while (!stopping()) {
      const auto asked = take_next();
      {
        std::lock_guard lock(mutex_);
        // Said once, and again when it is another reason.
        const auto said = asked || stopping_ ? std::string() : asked.error().message;
        if (said != trouble_ && !said.empty()) env_.log.warn("no_wish", {{"error", said}});
        if (said.empty() && !trouble_.empty()) env_.log.info("wishes_again", {});
        trouble_ = said;
      }
      looks_.say();
      failures = asked ? 0 : failures + 1;
      if (!asked && !pause(ask_again_after(failures))) return;
    }
  }

  void ship_lines() {
    int failures = 0;
    std::string said;
    while (!stopping()) {
      const auto step = shipper_.step();
      const auto why = step ? std::string() : step.error().message;
      if (why != said && !why.empty() && !remote::may_pass(step.error()))
        env_.log.error("lines_not_taken", {{"reason", step.error().reason}, {"error", why}});
      said = why;
      failures = step ? 0 : failures + 1;
      if (step && *step) continue;
      if (!pause(step ? kShipEvery : ask_again_after(failures))) return;
    }
  }

  void tell_reports() {
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        woken_.wait_for(lock, kReportEvery, [&] { return stopping_ || report_now_; });
        if (stopping_) return;
        report_now_ = false;
      }
      if (auto told = client_.report(report()); !told) {
        if (!pause(std::chrono::seconds(1))) return;
      }
    }
  }

  std::optional<api::PredictorDeath> death() const {
    std::lock_guard lock(mutex_);
    return self_death_;
  }

  api::PredictorReport report() const {
    auto out = self_;
    const auto [number, digest] = keeper_.served();
    out.wish = number;
    out.wish_digest = digest;
    out.ready = predictor_.ready();
    out.trouble = trouble();
    out.death = death();
    out.unshipped_bytes = static_cast<std::int64_t>(shipper_.unshipped_bytes());
    out.unshipped_bytes_max = static_cast<std::int64_t>(log_.bytes_max());
    const auto statistics = predictor_.statistics();
    for (const auto& state : predictor_.states()) {
      api::PredictorModel model{.name = state.name, .serving = state.serving, .error = state.error, .versions = {}};
      model.requests = static_cast<std::int64_t>(state.requests);
      model.rows = static_cast<std::int64_t>(state.rows);
      model.not_logged = static_cast<std::int64_t>(state.not_logged);
      const auto counted = std::ranges::find(statistics, state.name, &serve::ModelReport::name);
      for (const auto& one : state.versions) {
        auto& version = model.versions.emplace_back(api::PredictorVersion{one.version, one.loaded, one.error});
        if (counted == statistics.end()) continue;
        const auto at = std::ranges::find(counted->versions, one.version, &serve::ModelReport::Version::number);
        if (at == counted->versions.end()) continue;
        version.broke = static_cast<std::int64_t>(at->counts.broke);
        version.asked = static_cast<std::int64_t>(at->counts.succeeded + at->counts.shadowed) + version.broke;
      }
      out.models.push_back(std::move(model));
    }
    return out;
  }

  void forget_old_death() {
    {
      std::lock_guard lock(mutex_);
      if (!self_death_ || !remote::is_over(keeper_.newest().models, *self_death_)) return;
      self_death_.reset();
    }
    keeper_.avoid(std::nullopt);
    if (auto removed = env_.fs.remove(death_path_); !removed)
      env_.log.warn("death_not_removed", {{"path", death_path_}, {"error", removed.error().message}});
  }

  // Once all that is wanted is in memory, nothing else is needed on the disk.
  void drop_old_artifacts() {
    for (const auto& state : predictor_.states()) {
      if (!state.error.empty()) return;
    }
    const auto needed = remote::artifacts_of(keeper_.newest());
    const auto all = blobs_.list();
    if (!all) return;
    for (const auto& one : *all) {
      if (!std::ranges::binary_search(needed, one.digest)) (void)blobs_.remove(one.digest);
    }
  }

  Env& env_;
  const remote::FleetClient& client_;
  blob::Store& blobs_;
  remote::WishKeeper& keeper_;
  serve::Predictor& predictor_;
  serve::PredictionLog& log_;
  Wakeup& looks_;  // said when a look may find something else
  api::PredictorReport self_;
  std::string death_path_;
  mutable std::mutex mutex_;  // the next five
  std::condition_variable woken_;
  bool stopping_ = false;
  bool report_now_ = true;
  std::optional<api::PredictorDeath> self_death_;
  std::string trouble_;
  SteadyPoint sync_at_{};
  remote::LogShipper shipper_;
  std::thread wishes_, reports_, lines_;
};

std::string served_text(const serve::Predictor& predictor, const remote::WishKeeper& keeper) {
  std::string out;
  for (const auto& state : predictor.states()) {
    if (state.serving) out += std::format("{}{}:{}", out.empty() ? "" : ", ", state.name, *state.serving);
    if (!state.error.empty()) out += std::format("{}not {}", out.empty() ? "" : ", ", state.error);
  }
  const auto number = keeper.served().first;
  return number < 0 ? std::string() : std::format("serves    {}   (wish {})\n", out.empty() ? "nothing" : out, number);
}

// Where a dying process leaves its last words, and what an earlier one left there: once it is kept in a file of its
// own, the words are free for the next.
class LastWordsHere {
 public:
  LastWordsHere(const std::string& data_dir, Env& env) : path_(join_path(data_dir, "death.json")) {
    death_ = remote::kept_death(env, path_);
    auto opened = serve::LastWords::open(env, join_path(data_dir, "last_words"));
    if (!opened) {  // a full disk: it serves all the same
      env.log.warn("no_last_words", {{"error", opened.error().message}});
      return;
    }
    words_ = *std::move(opened);
    if (const auto died = words_->death(died_of())) {
      death_ = remote::to_wire(*died);
      env.log.error("version_ended_process",
                    {{"model", death_->model}, {"version", death_->version}, {"signal", death_->name}});
      auto kept = remote::keep_death(env, path_, *death_);
      if (kept) kept = words_->clear();
      if (!kept) env.log.warn("death_not_kept", {{"path", path_}, {"error", kept.error().message}});
    }
    tell_last_words(words_.get());
  }
  ~LastWordsHere() { tell_last_words(nullptr); }
  LastWordsHere(const LastWordsHere&) = delete;
  LastWordsHere& operator=(const LastWordsHere&) = delete;

  serve::LastWords* words() const { return words_.get(); }
  const std::optional<api::PredictorDeath>& death() const { return death_; }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
  std::unique_ptr<serve::LastWords> words_;
  std::optional<api::PredictorDeath> death_;
};

std::string death_text(const api::PredictorDeath& death) {
  return std::format(
      "not       {}:{}, which ended an earlier process with {} at {}; it is not loaded again by itself\n", death.model,
      death.version, death.name, death.at);
}

}  // namespace

Result<cli::Output> fleet_predictor(const cli::PredictorOptions& options, const std::string& version, Env& env) {
  catch_signals();
  TRY(auto edge_of, edge_config(options));
  TRY_VOID(env.fs.make_dirs(options.data_dir));
  const auto data_dir = absolute(options.data_dir);
  TRY(const auto lock, env.fs.lock(join_path(data_dir, "lock"), std::format("millrace predictor {}\n", getpid())));
  TRY(auto own_log, open_log({.file = join_path(data_dir, "millrace.log")}, env.clock));
  Env own{env.fs, env.clock, env.rng, env.faults, *own_log};
  TRY(const auto id, id_in(data_dir, own));
  TRY(const auto token, token_of(options, own));
  const remote::FleetClient client(own, options.admin, token, id,
                                   {.user_agent = "millrace-predictor", .ca_file = options.ca});
  TRY(const auto blobs, blob::open_local(own, {.dir = join_path(data_dir, "models")}));
  TRY(const auto unshipped_max, parse_size(options.unshipped_max));
  constexpr std::int64_t unshipped_min = 16'000'000;
  if (unshipped_max < unshipped_min)
    return fail(Code::invalid_argument, "cli.bad_unshipped_max",
                std::format("--unshipped-max {} is too little: at least 16MB", options.unshipped_max));
  constexpr std::uint64_t segment_bytes = 4u << 20;  // small ones go sooner; the longest line has room
  TRY(const auto log, serve::PredictionLog::open({.dir = join_path(data_dir, "log"),
                                                  .segment_bytes = segment_bytes,
                                                  .bound_text = "--unshipped-max",
                                                  .room_text = "the server takes their lines"},
                                                 own));
  log->set_bytes_max(static_cast<std::uint64_t>(unshipped_max));
  remote::WishKeeper keeper(own, join_path(data_dir, "wish.json"));
  remote::FetchedVersions versions(client, *blobs);

  const LastWordsHere last(data_dir, own);
  keeper.avoid(last.death());
  auto config = predictor_config(options, edge_of.cores);
  config.last_words = last.words();
  serve::Predictor predictor(config, own, keeper, versions, log.get());

  TRY(const auto wakeup, Wakeup::open());
  FleetPredictor fleet(own, client, *blobs, keeper, predictor, *log, *wakeup);
  if (last.death()) fleet.tell_death(*last.death(), last.path());
  edge_of.temp_dir = join_path(data_dir, "tmp");
  edge_of.http_token = token;
  if (token.empty() && edge_of.open_to_others()) {
    TRY(edge_of.http_token, net::load_or_make_token(join_path(data_dir, "token"), own));
  }
  edge_of.grpc_token = edge_of.http_token;
  edge_of.before_metrics = [&](Metrics& metrics) {
    metrics.gauge({"millrace_fleet_wish", "Number of the wish that is served.", {}})
        .set(static_cast<double>(keeper.served().first));
    metrics.gauge({"millrace_fleet_unshipped_bytes", "Of the prediction log, that the server has not taken yet.", {}})
        .set(static_cast<double>(fleet.unshipped_bytes()));
    for (const auto& state : predictor.states()) {
      metrics
          .gauge({"millrace_serve_not_logged",
                  "Rows answered whose line the prediction log could not keep.",
                  {{"model", state.name}}})
          .set(static_cast<double>(state.not_logged));
    }
  };
  Metrics metrics;
  TRY(auto edge, PredictorEdge::open(std::move(edge_of), version, predictor, metrics, own));
  TRY_VOID(edge->start());
  const auto address = edge->address();
  api::PredictorReport self;
  self.name = options.name.empty() ? std::format("{}:{}", host_name(), address.port) : options.name;
  self.address = address.url;
  self.grpc = edge->grpc_address();
  self.program = version;
  self.process = IdMaker(own.clock, own.rng).make().text();
  TRY_VOID(write_file(own.fs, join_path(data_dir, "address"), address.url + "\n"));
  tell(std::format("predictor {}     {}, models of {}, data in {}\n", address.url, self.name, client.url(), data_dir));
  if (!self.grpc.empty()) tell(std::format("grpc      {}\n", self.grpc));
  if (const auto warning = edge->certificate_warning(own.clock.now()); !warning.empty())
    tell("warning   " + warning + "\n");
  if (last.death()) tell(death_text(*last.death()));
  // Loads and proofs give way to the threads that answer, which are there already.
  lower_thread_priority();
  const std::jthread log_ahead([&](std::stop_token stop) { log->prepare_until(stop); });
  fleet.start(std::move(self));
  std::string served, trouble;
  while (!interrupted()) {
    fleet.look();
    if (auto now = served_text(predictor, keeper); now != served) tell(served = std::move(now));
    if (auto now = fleet.trouble(); now != trouble) {
      trouble = std::move(now);
      tell(trouble.empty() ? std::string("admin     is there again\n")
                           : std::format("admin     {}; what is here is served\n", trouble));
    }
    wakeup->wait(fleet.next_look() - own.clock.steady());
  }
  tell("stopping: requests in flight are answered first; Ctrl-C again stops at once\n");
  edge->stop();
  fleet.stop();
  edge.reset();
  return cli::Output{};
}

}  // namespace millrace::app
