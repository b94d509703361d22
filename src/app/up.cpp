// `up`: one server on this machine, from a project file or from a data file alone.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <format>
#include <thread>

#include "app/last_signal.hpp"
#include "app/listen.hpp"
#include "app/local_commands.hpp"
#include "app/once_free.hpp"
#include "app/sealing.hpp"
#include "app/server.hpp"
#include "base/fs.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "net/auth.hpp"

namespace millrace::app {

namespace {

// Of something that exists.
void say(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

// A data folder that goes with the process, also when the start fails.
struct EphemeralFolder {
  Env& env;
  std::string path;  // empty: the folder stays
  ~EphemeralFolder() {
    if (!path.empty()) (void)env.fs.remove_all(path);
  }
};

// Opens `url` in a browser where there is one; whether it could be tried.
bool open_browser(const std::string& url) {
  const bool display = std::getenv("DISPLAY") || std::getenv("WAYLAND_DISPLAY");
  if (!display || std::system("command -v xdg-open >/dev/null 2>&1") != 0) return false;
  return std::system(("xdg-open " + url + " >/dev/null 2>&1 &").c_str()) == 0;
}

// Where it is reached, and what commands in other terminals need to be told.
void say_where(const std::string& url, const std::string& grpc, const ServerConfig& config, bool found_by_itself,
               bool open) {
  say(std::format("console   {}     admin token: in {}\n", url, join_path(config.data_dir, "token")));
  if (!grpc.empty()) say(std::format("grpc      {}\n", grpc));
  if (!net::is_loopback(config.host) || (!grpc.empty() && !net::is_loopback(config.grpc_host)))
    say("          open to other machines: every request but the health checks needs the token\n");
  if (!config.tls.named() && !net::is_loopback(config.host))
    say("          without TLS: tokens and rows cross the network as they are; [profile.*] tls mends that\n");
  if (!found_by_itself)
    say(std::format("commands  need to be told: millrace --server-data {} status\n", config.data_dir));
  if (open && !open_browser(url)) say(std::format("open      {}   (no browser could be started here)\n", url));
}

// `up FILE --target X` beside a project file that is there already: it must be about the same.
Result<void> goes_with(const cli::UpOptions& options, Env& env) {
  TRY(const auto text, read_file(env.fs, options.project_file));
  TRY(const auto project, loop::parse_project(text, options.profile, options.project_file));
  const auto folder = absolute(parent_path(options.project_file));
  const auto asked = absolute(options.files.front());
  const bool known = std::ranges::any_of(project.sources, [&](const auto& source) {
    const auto path = source.path();
    return !path.empty() && absolute(path.starts_with('/') ? path : join_path(folder, path)) == asked;
  });
  const auto& target = project.model.target.column;
  if (known && (options.target.empty() || options.target == target)) return {};
  return fail(Code::failed_precondition, "app.other_project",
              std::format("{} is there already and {}; serve it with: millrace up; take another folder, or replace it: "
                          "millrace init {}{} --force",
                          options.project_file,
                          known ? std::format("predicts '{}', not '{}'", target, options.target)
                                : "does not read " + options.files.front(),
                          options.files.front(), options.target.empty() ? "" : " --target " + options.target));
}

}  // namespace

std::string temp_folder(Env& env) {
  const char* tmp = std::getenv("TMPDIR");
  return join_path(tmp && *tmp ? tmp : "/tmp", "millrace-" + IdMaker(env.clock, env.rng).make().text());
}

Result<cli::Output> up(const cli::UpOptions& options, const std::string& version, Env& env) {
  catch_signals();
  if (!exists(env.fs, options.project_file)) {
    if (options.files.empty()) {
      return fail(Code::not_found, "cli.no_project",
                  std::format("there is no {} here; begin with a data file: millrace up customers.csv --target churned",
                              options.project_file));
    }
    TRY(auto made, init({options.files.front(), options.target, options.project_file, false, false}, env));
    say(made.text);
  } else if (!options.files.empty()) {
    TRY_VOID(goes_with(options, env));
    say(std::format("using {}, which is there already; to make a new one: millrace init {}{} --force\n",
                    options.project_file, options.files.front(),
                    options.target.empty() ? "" : " --target " + options.target));
  }
  TRY(auto text, read_file(env.fs, options.project_file));
  TRY(auto project, loop::parse_project(text, options.profile, options.project_file));

  ServerConfig config;
  config.version = version;
  config.project_dir = parent_path(options.project_file);
  config.data_dir =
      options.data_dir.empty() ? join_path(config.project_dir, project.profile.data_dir) : options.data_dir;
  if (options.ephemeral) config.data_dir = temp_folder(env);
  TRY(auto listen, parse_listen(options.listen.empty() ? project.profile.listen : options.listen));
  config.serves = options.serves;
  if (!options.serves && !options.grpc.empty())
    return fail(Code::invalid_argument, "cli.bad_grpc",
                "an admin server answers no predictions: --grpc is for predictors");
  const auto& grpc = options.grpc.empty() ? project.profile.grpc : options.grpc;
  if (!grpc.empty() && options.serves) {
    TRY(auto where, parse_listen(grpc, "--grpc"));
    config.grpc_host = where.host;
    config.grpc_port = where.port;
  }
  const EphemeralFolder ephemeral{env, options.ephemeral ? config.data_dir : ""};
  TRY_VOID(env.fs.make_dirs(config.data_dir));
  config.data_dir = absolute(config.data_dir);
  config.project_dir = absolute(config.project_dir);
  config.master_key = project.profile.master_key();
  if (!config.master_key.empty() && !config.master_key.starts_with('/'))
    config.master_key = join_path(config.project_dir, config.master_key);
  if (config.master_key.empty()) config.master_key = master_key_from_environment();
  if (!config.master_key.empty()) config.master_key = absolute(config.master_key);
  config.host = listen.host;
  config.port = listen.port;
  const auto beside_project = [&](const std::string& path) {
    return path.empty() || path.starts_with('/') ? path : join_path(config.project_dir, path);
  };
  config.tls = {beside_project(project.profile.tls.certificate), beside_project(project.profile.tls.key)};
  config.hosts = project.profile.hosts;
  config.origins = project.serve.origins;
  config.access_log = project.serve.access_log;
  config.otlp = project.telemetry.otlp;
  config.otlp_sample = project.telemetry.sample;
  config.queue_max = static_cast<std::size_t>(project.serve.queue);
  config.batching = project.serve.batching.rows_max > 0;
  if (const char* limits = std::getenv("MILLRACE_HTTP_LIMITS")) config.http_limits = limits;
  config.files_open_max = raise_open_files();
  config.worker = !options.no_worker;
  config.died_of = died_of();
  config.cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));

  TRY(auto log, open_log({.file = join_path(config.data_dir, "millrace.log")}, env.clock));
  Env server_env{env.fs, env.clock, env.rng, env.faults, *log};
  {
    TRY(auto server, once_free(config.data_dir, env, [&] { return Server::open(config, server_env); }));
    TRY(auto changes, server->apply(text, options.profile));
    say(changes);
    TRY(const auto sealing, server->sealing());
    say(sealing);
    TRY(auto url, server->start());
    // Commands look for .millrace here and in the folders above.
    bool found_by_itself = absolute(".millrace") == config.data_dir;
    say_where(url, server->grpc_address(), config, found_by_itself, options.open);
    if (const auto warning = server->certificate_warning(); !warning.empty()) say("warning   " + warning + "\n");
    while (!interrupted() && !server->stop_asked()) {
      auto news = server->news();
      if (!news.empty()) say(news);
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    say(std::format("stopping: requests in flight are answered first; Ctrl-C{} stops at once\n",
                    interrupted() ? " again" : ""));
    next_signal_ends();
    server->stop(std::chrono::seconds(10));
  }
  return cli::Output{};
}

}  // namespace millrace::app
