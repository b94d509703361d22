#include "app/server.hpp"

#include <algorithm>
#include <atomic>
#include <format>
#include <thread>

#include "api/mlflow/routes.hpp"
#include "api/native/routes.hpp"
#include "api/v2/grpc_methods.hpp"
#include "api/v2/routes.hpp"
#include "app/compute_threads.hpp"
#include "app/last_signal.hpp"
#include "app/page.hpp"
#include "app/process_metrics.hpp"
#include "app/sealing.hpp"
#include "base/executor.hpp"
#include "base/fault.hpp"
#include "base/log.hpp"
#include "base/metrics.hpp"
#include "base/process.hpp"
#include "base/tracing.hpp"
#include "blob/local.hpp"
#include "flow/relay.hpp"
#include "loop/care.hpp"
#include "loop/controller.hpp"
#include "loop/fleet.hpp"
#include "loop/log_intake.hpp"
#include "loop/log_records.hpp"
#include "loop/notes.hpp"
#include "meta/sqlite.hpp"
#include "net/grpc.hpp"
#include "net/limits.hpp"
#include "net/server.hpp"
#include "queue/local.hpp"
#include "serve/statistics_text.hpp"
#include "train/failure_text.hpp"
#include "train/worker.hpp"

namespace millrace::app {

namespace {

struct NoWishes final : serve::WantedSource {
  Result<std::vector<serve::WantedModel>> wanted() override { return std::vector<serve::WantedModel>(); }
};

}  // namespace

// In the order of construction; destroyed in reverse.
struct Server::Impl {
  Impl(const ServerConfig& c, Env& e) : config(c), env(e), processes(e.clock) {}
  ServerConfig config;
  Env& env;
  ThreadExecutor writer{"meta writer"};
  ThreadExecutor relay_thread{"relay"};
  Metrics metrics;
  std::unique_ptr<Tracer> tracer;
  SystemProcesses processes;
  std::unique_ptr<meta::Store> store;
  std::unique_ptr<blob::Keys> keys;
  std::unique_ptr<blob::Store> blobs;
  std::unique_ptr<queue::Queue> queue;
  std::unique_ptr<flow::Relay> relay;
  std::unique_ptr<flow::Jobs> jobs;
  std::unique_ptr<loop::Service> service;
  std::unique_ptr<serve::PredictionLog> log;
  std::jthread log_ahead;
  std::unique_ptr<serve::BlobVersions> versions;
  std::unique_ptr<serve::LastWords> last_words;
  NoWishes no_wishes;
  std::unique_ptr<serve::Predictor> predictor;
  std::unique_ptr<train::Worker> worker;
  std::unique_ptr<loop::Fleet> fleet;
  std::unique_ptr<loop::LogIntake> intake;
  std::unique_ptr<loop::Controller> controller;
  const std::shared_ptr<net::LiveTokens> tokens = std::make_shared<net::LiveTokens>();
  std::unique_ptr<api::Context> context;
  std::unique_ptr<api::v2::Context> v2;
  std::unique_ptr<api::mlflow::Context> mlflow;
  std::shared_ptr<net::LiveTls> tls;  // null: none
  std::unique_ptr<net::Server> server;
  std::unique_ptr<net::GrpcServer> grpc;
  std::atomic<bool> stop_asked{false};
  std::string url;
  std::int64_t dataset_seen = 0;
  std::int64_t version_seen = 0;
  std::int64_t current_seen = -1;
  std::string run_failed_seen, run_said;
  bool rules_said = false;
  std::vector<std::string> unread_seen;

  // Of an earlier process, before anything is loaded.
  Result<void> listen_to_last_words() {
    auto opened = serve::LastWords::open(env, join_path(config.data_dir, "last_words"));
    if (!opened) {  // a full disk: it serves all the same
      env.log.warn("no_last_words", {{"error", opened.error().message}});
      return {};
    }
    last_words = *std::move(opened);
    if (const auto death = last_words->death(config.died_of)) {
      TRY_VOID(service->note_death(*death));
      TRY_VOID(last_words->clear());
    }
    tell_last_words(last_words.get());
    return {};
  }
  ~Impl() { tell_last_words(nullptr); }
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() { stop(std::chrono::seconds(0)); }

Result<std::unique_ptr<Server>> Server::open(const ServerConfig& config, Env& env) {
  auto impl = std::make_unique<Impl>(config, env);
  const loop::Paths paths{config.data_dir, config.project_dir};
  if (!config.otlp.empty()) {
    impl->tracer =
        std::make_unique<Tracer>(Tracer::Config{.url = config.otlp,
                                                .sample = config.otlp_sample,
                                                .source = {.version = config.version, .instance = config.data_dir}},
                                 env, impl->metrics);
  }
  auto migrations = loop::all_migrations();
  constexpr std::int64_t reserve_bytes = 4 << 20;  // hundreds of rollbacks on a disk that stays full
  TRY(impl->store,
      meta::open_sqlite(
          env, {.folder = config.data_dir, .program = "millrace " + config.version, .reserve_bytes = reserve_bytes},
          impl->writer, migrations));
  TRY(impl->keys, open_keys(config.data_dir, config.master_key, env));
  TRY(impl->blobs, blob::open_local(env, {.dir = paths.blob_dir(), .keys = impl->keys.get(), .forget_keys = true}));
  TRY(impl->queue, queue::open_local(env, {join_path(config.data_dir, "queue")}));
  impl->relay = std::make_unique<flow::Relay>(env, *impl->store, *impl->queue, impl->relay_thread);
  impl->jobs = std::make_unique<flow::Jobs>(env, *impl->store);
  impl->service = std::make_unique<loop::Service>(
      loop::Service::Config{
          .paths = paths, .cores = config.cores, .tracer = impl->tracer.get(), .processes = &impl->processes},
      env, *impl->store, *impl->blobs, *impl->jobs);
  serve::PredictionLog::Config log{paths.log_dir()};
  TRY_VOID(impl->store->read([&](meta::Reader& reader) -> Result<void> {
    TRY(log.rolled_through, loop::rolled_through(reader));
    TRY(log.numbers_used, loop::segment_numbers_used(reader));
    return {};
  }));
  TRY(impl->log, serve::PredictionLog::open(log, env));
  impl->service->use_log(*impl->log);
  TRY(impl->intake, loop::LogIntake::open(env, *impl->store, *impl->log));
  impl->versions = std::make_unique<serve::BlobVersions>(*impl->blobs);
  TRY_VOID(impl->listen_to_last_words());
  impl->predictor = std::make_unique<serve::Predictor>(
      serve::Predictor::Config{.queue_max = config.queue_max,
                               .concurrency = static_cast<std::size_t>(config.cores),
                               .batch_waiters = batch_waiters(compute_threads(config.cores, config.batching)),
                               .tracer = impl->tracer.get(),
                               .last_words = impl->last_words.get()},
      env, config.serves ? static_cast<serve::WantedSource&>(*impl->service) : impl->no_wishes, *impl->versions,
      impl->log.get());
  train::Worker::Config worker;
  worker.data_dir = config.data_dir;
  worker.scratch_dir = paths.scratch_dir();
  worker.output_dir = paths.output_dir();
  worker.program = self_program("millrace-job");
  worker.environment[master_key_variable] = config.master_key;
  // A question takes far less than its share, so that some is left for the server and for everybody else.
  const auto memory = machine_memory_bytes();
  worker.slots = {{loop::slow_kinds(), train::share_of_memory(memory, 3)},
                  {loop::quick_kinds(), train::share_of_memory(memory, 1)},
                  {loop::asked_kinds(), train::share_of_memory(memory, 1)}};
  if (config.worker) impl->worker = std::make_unique<train::Worker>(worker, env, *impl->service, impl->processes);
  impl->controller =
      std::make_unique<loop::Controller>(env, *impl->service, *impl->predictor, *impl->log, impl->worker.get());
  impl->controller->also("events", [relay = impl->relay.get()]() -> Result<void> {
    TRY_VOID(relay->run_once());
    return {};
  });
  TRY(impl->fleet, loop::Fleet::open(env, *impl->store, *impl->service));
  impl->service->use_fleet(*impl->fleet, config.serves);
  impl->controller->also("the fleet's wish", [fleet = impl->fleet.get()]() -> Result<void> {
    TRY_VOID(fleet->look());
    return {};
  });
  auto* controller = impl->controller.get();
  impl->service->on_change([controller] { controller->wake(); });
  TRY_VOID(impl->service->load_project());
  // This process holds the folder's lock, so whoever worked in it before is gone: their jobs go on at once.
  for (std::size_t slot = 0; slot < worker.slots.size(); ++slot) {
    TRY(auto freed, impl->jobs->worker_gone(train::Worker::slot_name(worker, slot)));
    (void)freed;
  }
  TRY_VOID(env.faults.reach("app.start.before_scratch"));
  TRY_VOID(env.fs.remove_all(paths.scratch_dir()));
  TRY_VOID(env.faults.reach("app.start.after_scratch"));
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Result<std::string> Server::sealing() {
  TRY(const auto seen, impl_->keys->look());
  if (!seen.problem.empty())
    impl_->env.log.error("blob_keys_damaged", {{"path", impl_->config.data_dir + "/keys"}, {"why", seen.problem}});
  if (!impl_->config.master_key.empty())
    return std::format("sealing   new blobs; master key {}\n", impl_->config.master_key);
  if (seen.held == 0) return std::string();
  impl_->env.log.warn("blobs_sealed_without_master_key", {{"keys", seen.held}});
  return std::format(
      "sealed    {} blobs are, and no master key is named: what needs them fails until the profile has "
      "seal = \"file:...\"; the rest goes on\n",
      seen.held);
}

Result<std::string> Server::apply(const std::string& text, const std::string& profile) {
  TRY(auto applied, impl_->service->apply(text, profile, false, "up"));
  if (!applied.changed) return std::string();
  std::string out;
  for (const auto& change : applied.changes)
    out += std::format("changed   {}: {} -> {}   causes: {}\n", change.path, change.before, change.after,
                       loop::effect_name(change.effect));
  for (const auto& note : applied.notes) out += "note      " + note + "\n";
  return out;
}

Result<std::string> Server::start() {
  auto& impl = *impl_;
  net::Config config;
  config.host = impl.config.host;
  config.port = impl.config.port;
  config.compute_threads = compute_threads(impl.config.cores, impl.config.batching);
  config.io_threads = impl.config.cores;
  config.temp_dir = join_path(impl.config.data_dir, "tmp");
  config.auth.hosts = impl.config.hosts;
  config.origins = impl.config.origins;
  config.tracer = impl.tracer.get();
  config.access_log = impl.config.access_log;
  config.access_log_file = join_path(impl.config.data_dir, "access.log");
  TRY_VOID(net::set_limits(impl.config.http_limits, config));
  if (impl.config.files_open_max > 0) net::fit_open_files(impl.config.files_open_max, config);
  TRY_VOID(impl.env.fs.make_dirs(config.temp_dir));
  TRY(config.auth.token, net::load_or_make_token(join_path(impl.config.data_dir, "token"), impl.env));
  TRY_VOID(api::look_at_tokens(*impl.store, *impl.tokens));
  config.auth.tokens = impl.tokens;
  if (impl.config.tls.named()) {
    TRY(impl.tls, net::LiveTls::open(impl.config.tls, impl.env));
  }
  config.tls = impl.tls;
  TRY(impl.server, net::Server::open(config, impl.env, &impl.metrics));
  impl.context = std::make_unique<api::Context>(api::Context{
      *impl.service, *impl.predictor, *impl.controller, impl.config.version, impl.env.clock.now(),
      [this] { impl_->stop_asked = true; }, *impl.tokens, impl.fleet.get(), impl.config.serves, impl.intake.get()});
  api::add_routes(*impl.server, *impl.context);
  impl.v2 = std::make_unique<api::v2::Context>(api::v2::Context{*impl.predictor, impl.config.version});
  impl.mlflow = std::make_unique<api::mlflow::Context>(api::mlflow::Context{*impl.predictor, impl.config.version});
  if (impl.config.serves) {
    api::v2::add_routes(*impl.server, *impl.v2);
    api::mlflow::add_routes(*impl.server, *impl.mlflow);
  }
  impl.server->fast("GET", "/", [](const net::Request&) {
    auto page = net::text_response(std::string(status_page()));
    page.content_type = "text/html; charset=utf-8";
    return page;
  });
  impl.server->pooled(
      "GET", "/metrics",
      [this](const net::Request&) {
        std::size_t labelled = 0;
        for (const auto& state : impl_->predictor->states()) {
          if (++labelled > serve::kLabelledModels_max) break;
          Labels labels = {{"model", state.name}};
          impl_->metrics.gauge({"millrace_serve_version", "Version that answers.", labels})
              .set(static_cast<double>(state.serving.value_or(-1)));
          impl_->metrics.gauge({"millrace_serve_requests", "Predict requests since the start.", labels})
              .set(static_cast<double>(state.requests));
          impl_->metrics.gauge({"millrace_serve_rows", "Rows predicted since the start.", labels})
              .set(static_cast<double>(state.rows));
          impl_->metrics
              .gauge(
                  {"millrace_serve_not_logged", "Rows answered whose line the prediction log could not keep.", labels})
              .set(static_cast<double>(state.not_logged));
          impl_->metrics
              .gauge({"millrace_serve_not_sampled", "Rows answered that [serve.log] share wants no line of.", labels})
              .set(static_cast<double>(state.not_sampled));
          impl_->metrics
              .gauge(
                  {"millrace_serve_shadow_dropped", "Requests that a shadow had no room for since the start.", labels})
              .set(static_cast<double>(state.shadow_dropped));
          impl_->metrics
              .gauge({"millrace_serve_unseen_categories", "Values of categories that training had not seen.", labels})
              .set(static_cast<double>(state.unseen));
        }
        auto text = net::text_response(impl_->metrics.render() +
                                       serve::prometheus_text(impl_->predictor->statistics()) + process_metrics_text());
        text.content_type = "text/plain; version=0.0.4";
        return text;
      },
      {.right = net::Right::metrics});
  if (!impl.config.grpc_host.empty()) {
    net::GrpcConfig grpc{.host = impl.config.grpc_host,
                         .port = impl.config.grpc_port,
                         .handshake_seconds_max = config.handshake_seconds_max,
                         .tls = config.tls,
                         .auth = config.auth,
                         .tracer = impl.tracer.get()};
    grpc.pool = &impl.server->compute();
    grpc.pool_on = serve::kOnDisk;
    auto methods = api::v2::grpc_methods(*impl.v2, [server = impl.server.get()] { return server->ready(); });
    TRY(impl.grpc, net::GrpcServer::open(std::move(grpc), std::move(methods), impl.env));
  }
  TRY_VOID(impl.predictor->reconcile());
  TRY_VOID(impl.fleet->look());
  TRY_VOID(impl.server->start());
  if (impl.grpc) TRY_VOID(impl.grpc->start());
  const auto address = impl.server->addresses().front();
  // Of "all addresses" the one that every caller on this machine can use.
  const auto* scheme = impl.tls ? "https" : "http";
  impl.url = address.host == "0.0.0.0" ? std::format("{}://127.0.0.1:{}", scheme, address.port)
             : address.host == "::"    ? std::format("{}://[::1]:{}", scheme, address.port)
                                       : address.url;
  // Before the other: who has seen that one finds this one too.
  const auto grpc_file = join_path(impl.config.data_dir, "grpc_address");
  if (impl.grpc) {
    TRY_VOID(write_file(impl.env.fs, grpc_file, impl.grpc->address() + "\n"));
  } else if (exists(impl.env.fs, grpc_file)) {
    TRY_VOID(impl.env.fs.remove(grpc_file));  // of a server that was killed
  }
  const auto certificate_file = join_path(impl.config.data_dir, "certificate");
  if (impl.tls) {
    TRY_VOID(write_file(impl.env.fs, certificate_file, impl.config.tls.certificate + "\n"));
  } else if (exists(impl.env.fs, certificate_file)) {
    TRY_VOID(impl.env.fs.remove(certificate_file));
  }
  TRY_VOID(impl.env.faults.reach("app.address.before_write"));
  TRY_VOID(write_file(impl.env.fs, join_path(impl.config.data_dir, "address"), impl.url + "\n"));
  TRY_VOID(impl.env.faults.reach("app.address.after_write"));
  if (impl.worker) impl.worker->start();
  impl.log_ahead = std::jthread([&impl](std::stop_token stop) { impl.log->prepare_until(stop); });
  impl.controller->start();
  impl.env.log.info("started", {{"url", impl.url}, {"version", impl.config.version}});
  return impl.url;
}

std::string Server::certificate_warning() const {
  return impl_->tls ? net::certificate_warning(impl_->tls->now()->facts, impl_->env.clock.now()) : std::string();
}

std::string Server::grpc_address() const { return impl_->grpc ? impl_->grpc->address() : std::string(); }

bool Server::stop_asked() const { return impl_->stop_asked; }

void Server::stop(Duration patience) {
  auto& impl = *impl_;
  if (impl.server) {
    // Both at once: while HTTP drains, readiness has fallen for both.
    std::thread grpc([&] {
      if (impl.grpc) (void)impl.grpc->stop(patience);
    });
    (void)impl.server->stop(patience);
    grpc.join();
    (void)impl.env.faults.reach("app.stop.before_address");
    (void)impl.env.fs.remove(join_path(impl.config.data_dir, "address"));
    if (impl.grpc) (void)impl.env.fs.remove(join_path(impl.config.data_dir, "grpc_address"));
    (void)impl.env.faults.reach("app.stop.after_address");
  }
  if (impl.controller) impl.controller->stop();
  if (impl.worker) impl.worker->stop();
  impl.grpc.reset();
  impl.server.reset();
}

std::string Server::news() {
  auto& impl = *impl_;
  auto project = impl.service->project();
  if (!project) return "";
  std::string out;
  (void)impl.service->store().read([&](meta::Reader& reader) -> Result<void> {
    TRY(auto head, data::newest_head(reader, project->model.target.source));
    if (head && head->number > impl.dataset_seen) {
      impl.dataset_seen = head->number;
      TRY(auto data, data::newest_version(reader, head->dataset));
      const auto& checks = data->content.analysis.checks.results;
      auto ok_count = std::count_if(checks.begin(), checks.end(), [](const auto& c) { return c.level != "error"; });
      out += std::format("data      {}@{}   {} rows{}\n", data->dataset, data->number, data->rows,
                         checks.empty() ? "" : std::format("   checks {}/{} ok", ok_count, checks.size()));
      for (const auto& check : checks) {
        if (check.level == "error")
          out += std::format("  check   {}  {}: {}\n", check.column, check.rule, check.message);
      }
      if (data->state == data::VersionState::failed) {
        out += std::format("  next    millrace data show {}@{}\n          millrace data accept {}@{} --reason ...\n",
                           data->dataset, data->number, data->dataset, data->number);
      }
    }
    TRY(const auto versions, registry::list_heads(reader, project->name));
    if (!versions.empty() && versions.front().number > impl.version_seen) {
      TRY(const auto version, registry::get_version(reader, project->name, versions.front().number));
      impl.version_seen = version.number;
      TRY(auto result, loop::parse_job<loop::EvaluateResult>(version.report));
      auto metric = result.metrics.find(result.primary);
      out += std::format("train     {}:{}   {} {}   on {} test rows\n", project->name, version.number, result.primary,
                         metric == result.metrics.end() ? "-" : std::format("{:.4f}", metric->second), result.rows);
      out += std::format("gates     {}\n", result.summary);
      if (!result.passed) {
        out += std::format("  next    millrace models show {}:{}\n          millrace promote {}:{} --reason \"...\"\n",
                           project->name, version.number, project->name, version.number);
      }
    }
    TRY(auto unread, impl.service->failed_readings(reader));
    if (unread != impl.unread_seen) {
      for (const auto& line : unread) out += "failed    " + line + "\n";
      impl.unread_seen = std::move(unread);
    }
    TRY(auto runs, track::list_runs(reader, project->name, 1, 0));
    if (!runs.empty() && runs.front().state == track::RunState::running && runs.front().id != impl.run_said) {
      impl.run_said = runs.front().id;
      out += std::format("run       {} began: {}\n", runs.front().id, runs.front().cause);
    }
    if (!runs.empty() && runs.front().state == track::RunState::failed && runs.front().id != impl.run_failed_seen) {
      impl.run_failed_seen = runs.front().id;
      const auto why = train::read_failure_text(runs.front().failure);
      out += std::format("failed    run {}: {}\n", runs.front().id, why.what);
      if (!why.where.empty()) out += "  where   " + why.where + "\n";
      if (!why.next.empty()) out += "  mend    " + why.next + "\n";
      out += std::format("  next    millrace runs show {}\n", runs.front().id);
    }
    return {};
  });
  for (const auto& state : impl.predictor->states()) {
    if (state.name == project->name && state.serving && *state.serving != impl.current_seen) {
      impl.current_seen = *state.serving;
      out +=
          std::format("serving   {}:{}   POST {}/predict/{}\n", project->name, *state.serving, impl.url, project->name);
    }
  }
  if (impl.current_seen >= 0 && !impl.rules_said) {
    const bool by_hand = project->retrain.when.empty() && !project->retrain.schedule;
    std::string rules;
    for (const auto& line : impl.controller->waiting()) rules += (rules.empty() ? "" : "; ") + line;
    impl.rules_said = by_hand || (!rules.empty() && rules != "a run is under way");
    if (impl.rules_said) out += "retrain   " + (by_hand ? "by hand: millrace retrain" : rules) + "\n";
  }
  return out;
}

bool Server::settled() {
  return impl_->current_seen >= 0 || impl_->version_seen > 0 || !impl_->run_failed_seen.empty();
}

}  // namespace millrace::app
