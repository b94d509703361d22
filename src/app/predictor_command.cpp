// `predictor`: a folder of model files, served. No project, no database; what it knows is the folder.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <format>
#include <map>
#include <mutex>
#include <thread>

#include "api/mlflow/routes.hpp"
#include "api/native/routes_predict.hpp"
#include "api/v2/grpc_methods.hpp"
#include "api/v2/routes.hpp"
#include "app/compute_threads.hpp"
#include "app/listen.hpp"
#include "app/local_commands.hpp"
#include "app/predictor_metrics.hpp"
#include "app/process_metrics.hpp"
#include "base/build_id.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/memory.hpp"
#include "base/metrics.hpp"
#include "base/priority.hpp"
#include "base/tracing.hpp"
#include "model/flat_cache.hpp"
#include "net/grpc.hpp"
#include "net/limits.hpp"
#include "net/server.hpp"
#include "serve/folder_source.hpp"
#include "serve/statistics_text.hpp"

namespace millrace::app {

namespace {

constexpr auto kPendingLook = std::chrono::milliseconds(100);  // while a file is being written
constexpr auto kPatience = std::chrono::seconds(10);           // with requests in flight at the end
constexpr auto kPause = std::chrono::milliseconds(20);         // between two questions whether there is something to do

void tell(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

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
  TRY(const auto listen, parse_listen(options.http, "--http"));
  Listen grpc_listen;
  if (!options.grpc.empty()) {
    TRY(grpc_listen, parse_listen(options.grpc, "--grpc"));
  }
  TRY(const auto poll, parse_duration(options.poll));
  serve::Predictor::Config config;
  if (!options.memory.empty()) {
    TRY(const auto bytes, parse_size(options.memory));
    if (bytes <= 0) return fail(Code::invalid_argument, "cli.bad_memory", "--memory is more than 0 bytes");
    config.memory_bytes_max = static_cast<std::uint64_t>(bytes);
  }
  const auto cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  config.load_threads = cores;
  config.runtime.libraries = {.xgboost = options.xgboost, .onnxruntime = options.onnxruntime};
  TRY_VOID(check_engines(config.runtime.libraries));
  config.drop_unnamed = true;
  config.ready_with_failures = true;
  config.queue_max = static_cast<std::size_t>(options.queue);
  config.concurrency = static_cast<std::size_t>(options.concurrency > 0 ? options.concurrency : cores);
  TRY(auto urgency, parse_urgency(options.priorities));
  serve::BatchPolicy batching{.rows_max = static_cast<std::size_t>(options.batch_rows)};
  TRY(batching.delay_max, parse_duration(options.batch_delay));
  const int threads = compute_threads(cores, batching.rows_max > 0);
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
  net::Config http;
  http.host = listen.host;
  http.port = listen.port;
  http.io_threads = cores;
  http.compute_threads = threads;
  http.temp_dir = temp.path;
  TRY_VOID(own.fs.make_dirs(http.temp_dir));
  if (const char* limits = std::getenv("MILLRACE_HTTP_LIMITS")) TRY_VOID(net::set_limits(limits, http));
  if (const auto files = raise_open_files(); files > 0) net::fit_open_files(files, http);
  const auto token_file = options.token_file.empty() ? join_path(folder, ".millrace-token") : options.token_file;
  const auto token = [&] {
    auto made = net::load_or_make_token(token_file, own);
    if (!made) made.error().message += "; another place: --token-file FILE";
    return made;
  };
  if (!net::is_loopback(http.host)) {
    TRY(http.auth.token, token());
  }
  if (const net::TlsFiles tls{options.tls_certificate, options.tls_key}; tls.named()) {
    TRY(http.tls, net::LiveTls::open(tls, own));
  }
  http.tracer = tracer.get();
  TRY(auto server, net::Server::open(http, own, &metrics));
  api::add_predict_routes(*server, predictor);
  api::v2::Context v2{predictor, version, [&](const api::v2::LoadRequest& ask) { return serving.repository(ask); }};
  constexpr std::uint64_t kUploadBytesMax = 128u << 20;  // in base64
  if (options.allow_upload) v2.upload_bytes_max = kUploadBytesMax;
  api::v2::add_routes(*server, v2);
  api::mlflow::Context mlflow{predictor, version};
  api::mlflow::add_routes(*server, mlflow);
  server->pooled("GET", "/metrics",
                 [&](const net::Request&) {
                   auto text =
                       net::text_response(metrics.render() + model_metrics(predictor.states(), predictor.memory()) +
                                          serve::prometheus_text(predictor.statistics()) + process_metrics_text());
                   text.content_type = "text/plain; version=0.0.4";
                   return text;
                 },
                 {.right = net::Right::metrics});
  std::unique_ptr<net::GrpcServer> grpc;
  if (!options.grpc.empty()) {
    net::GrpcConfig grpc_config{.host = grpc_listen.host,
                                .port = grpc_listen.port,
                                .handshake_seconds_max = http.handshake_seconds_max,
                                .tls = http.tls,
                                .auth = http.auth,
                                .tracer = tracer.get()};
    grpc_config.pool = &server->compute();
    grpc_config.pool_on = serve::kOnDisk;
    if (!net::is_loopback(grpc_listen.host)) {
      TRY(grpc_config.auth.token, token());
    }
    auto methods = api::v2::grpc_methods(v2, [&server] { return server->ready(); });
    TRY(grpc, net::GrpcServer::open(std::move(grpc_config), std::move(methods), own));
  }
  TRY_VOID(server->start());
  if (grpc) TRY_VOID(grpc->start());
  tell(std::format("predictor {}     models from {}{}\n", server->addresses().front().url, folder,
                   poll > Duration::zero() ? ", looked at every " + format_duration(poll)
                                           : std::string(", looked at when a client asks")));
  if (grpc) tell(std::format("grpc      {}\n", grpc->address()));
  if (!net::is_loopback(http.host) || (grpc && !net::is_loopback(grpc_listen.host)))
    tell(
        std::format("          open to other machines: all but the health checks needs the token in {}\n", token_file));
  if (http.tls) {
    if (const auto warning = net::certificate_warning(http.tls->now()->facts, own.clock.now()); !warning.empty())
      tell("warning   " + warning + "\n");
  }
  // Loads and proofs give way to the threads that answer, which are there already.
  lower_thread_priority();
  // Files that were just put there need a second look; ready is who has them too.
  bool pending = serving.look(true);
  for (int looks = 0; pending && looks < 5 && !interrupted(); ++looks) {
    std::this_thread::sleep_for(kPendingLook);
    pending = serving.look(true);
  }
  serving.reconcile();
  return_free_memory();  // what proofs took
  News news;
  (void)news.changes(predictor.states());
  tell(summary(source, predictor));
  auto next = own.clock.steady() + (pending ? Duration(kPendingLook) : poll);
  while (!interrupted()) {
    std::this_thread::sleep_for(kPause);
    if (own.clock.steady() < next || (poll == Duration::zero() && !pending)) continue;
    pending = serving.look();
    next = own.clock.steady() + (pending ? std::min<Duration>(kPendingLook, std::max<Duration>(poll, kPause)) : poll);
    tell(news.changes(predictor.states()));
  }
  tell("stopping: requests in flight are answered first; Ctrl-C again stops at once\n");
  {
    // Both at once: while HTTP drains, readiness has fallen for both.
    std::jthread other([&] {
      if (grpc) (void)grpc->stop(kPatience);
    });
    server->stop(kPatience);
  }
  grpc.reset();
  server.reset();
  return cli::Output{};
}

}  // namespace millrace::app
