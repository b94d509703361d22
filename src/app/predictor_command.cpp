// `predictor`: a folder of model files, served. No project, no database; what it knows is the folder.
#include <algorithm>
#include <cstdlib>
#include <format>
#include <map>
#include <mutex>
#include <thread>

#include "app/compute_threads.hpp"
#include "app/local_commands.hpp"
#include "app/predictor_edge.hpp"
#include "app/wakeup.hpp"
#include "base/build_id.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/memory.hpp"
#include "base/metrics.hpp"
#include "base/priority.hpp"
#include "base/tracing.hpp"
#include "model/flat_cache.hpp"
#include "net/auth.hpp"
#include "serve/folder_source.hpp"

namespace millrace::app {

namespace {

constexpr auto kPendingLook = std::chrono::milliseconds(100);  // while a file is being written
constexpr auto kLookPause = std::chrono::milliseconds(20);     // between two looks

std::unexpected<Error> not_yet(std::string_view option, std::string_view instead) {
  return fail(Code::unimplemented, "cli.not_available",
              std::format("{} is not available yet{}{}", option, instead.empty() ? "" : "; ", instead));
}

// "NAME=high".
Result<std::map<std::string, Urgency, std::less<>>> parse_urgency(const std::vector<std::string>& texts) {
  constexpr std::pair<std::string_view, Urgency> words[] = {
      {"high", Urgency::high}, {"normal", Urgency::normal}, {"low", Urgency::low}};
  std::map<std::string, Urgency, std::less<>> out;
  for (const auto& text : texts) {
    const auto sign = text.rfind('=');
    const auto word = sign == text.npos ? std::string_view() : std::string_view(text).substr(sign + 1);
    const auto at = std::ranges::find(words, word, &std::pair<std::string_view, Urgency>::first);
    if (sign == 0 || at == std::end(words)) {
      return fail(Code::invalid_argument, "cli.bad_priority",
                  std::format("--priority {}: write NAME=high, NAME=normal or NAME=low", text));
    }
    out[text.substr(0, sign)] = at->second;
  }
  return out;
}

struct TempFolder {
  Env& env;
  std::string path;
  ~TempFolder() { (void)env.fs.remove_all(path); }
};

// What each model said last, so that only what changed is told.
class News {
 public:
  std::string changes(const std::vector<serve::Predictor::ModelState>& states) {
    constexpr std::size_t kLinesMax = 20;
    std::vector<std::string> lines;
    std::map<std::string, std::pair<std::int64_t, std::string>> now;
    for (const auto& state : states) {
      const std::pair<std::int64_t, std::string> mine{state.serving.value_or(-1), state.error};
      now[state.name] = mine;
      const auto known = before_.find(state.name);
      const auto was = known == before_.end() ? std::pair<std::int64_t, std::string>{-1, ""} : known->second;
      if (mine.first != was.first && state.serving)
        lines.push_back(std::format("serves    {}:{}\n", state.name, *state.serving));
      if (mine.second != was.second && !mine.second.empty()) lines.push_back("not       " + mine.second + "\n");
    }
    for (const auto& [name, was] : before_) {
      if (!now.contains(name)) lines.push_back("gone      " + name + "\n");
    }
    before_ = std::move(now);
    std::string out;
    for (std::size_t i = 0; i < std::min(kLinesMax, lines.size()); ++i) out += lines[i];
    if (lines.size() > kLinesMax) out += std::format("          and {} more models\n", lines.size() - kLinesMax);
    return out;
  }

 private:
  std::map<std::string, std::pair<std::int64_t, std::string>> before_;
};

class FolderServer {
 public:
  FolderServer(serve::FolderSource& source, serve::Predictor& predictor, bool uploads, Env& env)
      : source_(source), predictor_(predictor), uploads_(uploads), env_(env) {}

  // One look, and what it asks for unless that shall wait. True: the next one should come soon.
  bool look(bool only_look = false) {
    auto seen = source_.look();
    if (!seen) {
      // What serves goes on; said once, and again when it is another reason.
      if (std::exchange(unread_, seen.error().message) != seen.error().message)
        env_.log.error("folder_not_read", {{"reason", seen.error().reason}, {"error", seen.error().message}});
      return false;
    }
    if (!std::exchange(unread_, "").empty()) env_.log.info("folder_read_again", {});
    if (only_look) return seen->pending;
    const auto due = predictor_.next_retry();
    if (seen->changed || (due && *due <= env_.clock.steady())) reconcile();
    return seen->pending;
  }
  void reconcile() {
    if (auto done = predictor_.reconcile(); !done)
      env_.log.error("models_not_loaded", {{"error", done.error().message}});
  }

  // What POST /v2/repository/models/MODEL/load and unload do.
  Result<void> repository(const api::v2::LoadRequest& ask) {
    std::lock_guard one_at_a_time(mutex_);
    const auto& model = ask.model;
    if (!ask.load) {
      TRY_VOID(source_.take_out(model));
      reconcile();
      return {};
    }
    TRY_VOID(put(ask));
    TRY_VOID(source_.look(true));
    TRY_VOID(source_.take_in(model));
    TRY_VOID(source_.look(true));
    reconcile();
    const auto states = predictor_.states();
    const auto at = std::ranges::find(states, model, &serve::Predictor::ModelState::name);
    if (at == states.end()) return fail(Code::not_found, "serve.no_model", "no model '" + model + "' in the folder");
    if (!at->error.empty()) return fail(Code::invalid_argument, "serve.not_loaded", at->error);
    return {};
  }

 private:
  Result<void> put(const api::v2::LoadRequest& ask) {
    if (ask.files.empty()) return {};
    if (!uploads_) {
      return fail(
          Code::permission_denied, "serve.no_uploads",
          "files in a load request are not taken here: start the predictor with --allow-upload, or put the file "
          "into the folder, then load it");
    }
    std::vector<std::pair<std::string, std::string_view>> files;
    for (const auto& file : ask.files) files.emplace_back(file.path, file.bytes);
    TRY_VOID(source_.put(ask.model, files));
    env_.log.info("model_uploaded", {{"model", ask.model}, {"files", ask.files.size()}});
    return {};
  }

  serve::FolderSource& source_;
  serve::Predictor& predictor_;
  const bool uploads_;
  Env& env_;
  std::string unread_;
  std::mutex mutex_;
};

// A library that was named is opened at once, so that a wrong file is told before anything is served.
Result<void> check_engines(const model::Libraries& libraries) {
  auto opened = model::check_libraries(libraries);
  if (opened) return opened;
  return fail(Code::invalid_argument, opened.error().reason, opened.error().message);
}

Result<void> check_folder(const std::string& dir, Env& env) {
  const auto info = env.fs.info(dir);
  if (!info && info.error().code == Code::not_found) {
    return fail(Code::not_found, "cli.no_folder",
                std::format("--models {}: there is no such folder; make it, and put model files into it", dir));
  }
  if (!info) return fail(info.error());
  if (!info->is_dir) {
    return fail(Code::invalid_argument, "cli.no_folder",
                std::format("--models {}: this is a file; name the folder that it is in", dir));
  }
  TRY_VOID(env.fs.list(dir));
  return {};
}

std::string summary(const serve::FolderSource& source, const serve::Predictor& predictor) {
  constexpr std::size_t kShown = 10;
  const auto states = predictor.states();
  std::string serving, text;
  std::size_t count = 0;
  for (const auto& state : states) {
    if (!state.serving) continue;
    if (++count <= kShown) serving += std::format("{}{}:{}", count > 1 ? ", " : "", state.name, *state.serving);
  }
  if (count > kShown) serving += std::format(" and {} more", count - kShown);
  text += count == 0 ? std::string("models    none serves yet: a file that is put into the folder is picked up\n")
                     : std::format("models    {} {}: {}\n", count, count == 1 ? "serves" : "serve", serving);
  std::size_t shown = 0;
  for (const auto& state : states) {
    if (!state.error.empty() && shown++ < kShown) text += "not       " + state.error + "\n";
  }
  for (const auto& problem : source.problems()) {
    if (shown++ < kShown) text += std::format("not       {}: {}\n", problem.path, problem.why);
  }
  if (shown > kShown)
    text += std::format("          and {} more; POST /v2/repository/index lists all\n", shown - kShown);
  return text;
}

}  // namespace

Result<cli::Output> predictor(const cli::PredictorOptions& options, const std::string& version, Env& env) {
  if (!options.admin.empty()) return fleet_predictor(options, version, env);
  if (options.models.empty())
    return fail(Code::invalid_argument, "cli.no_models",
                "name what to serve: --models FOLDER of model files, or --admin URL of a Millrace server");
  catch_signals();
  if (!options.log.empty()) return not_yet("--log", "millrace up keeps a log of predictions");
  TRY_VOID(check_folder(options.models, env));
  const auto folder = absolute(options.models);
  TRY(auto edge_of, edge_config(options));
  TRY(const auto poll, parse_duration(options.poll));
  auto config = predictor_config(options, edge_of.cores);
  if (!options.memory.empty()) {
    TRY(const auto bytes, parse_size(options.memory));
    if (bytes <= 0) return fail(Code::invalid_argument, "cli.bad_memory", "--memory is more than 0 bytes");
    config.memory_bytes_max = static_cast<std::uint64_t>(bytes);
  }
  TRY_VOID(check_engines(config.runtime.libraries));
  TRY(auto urgency, parse_urgency(options.priorities));
  serve::BatchPolicy batching{.rows_max = static_cast<std::size_t>(options.batch_rows)};
  TRY(batching.delay_max, parse_duration(options.batch_delay));
  const int threads = compute_threads(edge_of.cores, batching.rows_max > 0);
  config.batch_waiters = batch_waiters(threads);

  TRY(auto log, open_log({}, env.clock));
  Env own{env.fs, env.clock, env.rng, env.faults, *log};
  std::unique_ptr<model::FlatCache> cache;
  if (options.cache != "none") {
    const auto dir = options.cache.empty() ? join_path(folder, ".millrace-cache") : options.cache;
    auto opened = model::FlatCache::open(dir, program_build() + version + options.xgboost, own);
    // A folder that can't be written is no reason not to serve it, unless it was named.
    if (!opened && !options.cache.empty()) return fail(std::move(opened).error());
    if (!opened) own.log.warn("model_cache_not_opened", {{"path", dir}, {"error", opened.error().message}});
    if (opened) cache = *std::move(opened);
    config.runtime.cache = cache.get();
  }
  Metrics metrics;
  std::unique_ptr<Tracer> tracer;
  if (!options.otlp.empty()) {
    TRY_VOID(Tracer::check_url(options.otlp));
    tracer = std::make_unique<Tracer>(
        Tracer::Config{
            .url = options.otlp, .sample = options.otlp_sample, .source = {.version = version, .instance = folder}},
        own, metrics);
    config.tracer = tracer.get();
  }
  serve::FolderSource source({.dir = folder,
                              .pinned = {options.pins.begin(), options.pins.end()},
                              .memory_bytes_max = config.memory_bytes_max,
                              .urgency = std::move(urgency),
                              .batching = std::move(batching)},
                             own);
  serve::Predictor predictor(config, own, source, source, nullptr);
  FolderServer serving(source, predictor, options.allow_upload, own);

  const TempFolder temp{env, temp_folder(env)};
  edge_of.temp_dir = temp.path;
  edge_of.compute_threads = threads;
  edge_of.tracer = tracer.get();
  const auto token_file = options.token_file.empty() ? join_path(folder, ".millrace-token") : options.token_file;
  const auto token = [&] {
    auto made = net::load_or_make_token(token_file, own);
    if (!made) made.error().message += "; another place: --token-file FILE";
    return made;
  };
  if (!net::is_loopback(edge_of.http.host)) {
    TRY(edge_of.http_token, token());
  }
  edge_of.grpc_token = edge_of.http_token;
  if (edge_of.grpc && !net::is_loopback(edge_of.grpc->host)) {
    TRY(edge_of.grpc_token, token());
  }
  const bool open_to_others = edge_of.open_to_others();
  edge_of.repository = [&](const api::v2::LoadRequest& ask) { return serving.repository(ask); };
  constexpr std::uint64_t kUploadBytesMax = 128u << 20;  // in base64
  if (options.allow_upload) edge_of.upload_bytes_max = kUploadBytesMax;
  TRY(const auto wakeup, Wakeup::open());
  TRY(auto edge, PredictorEdge::open(std::move(edge_of), version, predictor, metrics, own));
  TRY_VOID(edge->start());
  tell(std::format("predictor {}     models from {}{}\n", edge->address().url, folder,
                   poll > Duration::zero() ? ", looked at every " + format_duration(poll)
                                           : std::string(", looked at when a client asks")));
  if (const auto grpc = edge->grpc_address(); !grpc.empty()) tell(std::format("grpc      {}\n", grpc));
  if (open_to_others)
    tell(
        std::format("          open to other machines: all but the health checks needs the token in {}\n", token_file));
  if (const auto warning = edge->certificate_warning(own.clock.now()); !warning.empty())
    tell("warning   " + warning + "\n");
  // Loads and proofs give way to the threads that answer, which are there already.
  lower_thread_priority();
  // Files that were just put there need a second look; ready is who has them too.
  bool pending = serving.look(true);
  for (int looks = 0; pending && looks < 5 && !interrupted(); ++looks) {
    wakeup->wait(kPendingLook);
    pending = serving.look(true);
  }
  serving.reconcile();
  return_free_memory();  // what proofs took
  News news;
  (void)news.changes(predictor.states());
  tell(summary(source, predictor));
  auto next = own.clock.steady() + (pending ? Duration(kPendingLook) : poll);
  while (!interrupted()) {
    // With no looks by the clock and no file that is being written, only a signal ends the wait.
    const bool by_clock = pending || poll > Duration::zero();
    wakeup->wait(by_clock ? std::optional<Duration>(next - own.clock.steady()) : std::nullopt);
    if (!by_clock || own.clock.steady() < next) continue;
    pending = serving.look();
    next =
        own.clock.steady() + (pending ? std::min<Duration>(kPendingLook, std::max<Duration>(poll, kLookPause)) : poll);
    tell(news.changes(predictor.states()));
  }
  tell("stopping: requests in flight are answered first; Ctrl-C again stops at once\n");
  edge->stop();
  edge.reset();
  return cli::Output{};
}

}  // namespace millrace::app
