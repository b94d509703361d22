// `worker`: runs jobs of a server in this process. It reads blobs directly, so it shares the server's data folder.
#include <unistd.h>

#include <cstdio>

#include <format>
#include <thread>

#include "app/local_commands.hpp"
#include "app/sealing.hpp"
#include "base/fs.hpp"
#include "base/process.hpp"
#include "cli/client.hpp"
#include "loop/jobs.hpp"
#include "remote/job_source.hpp"
#include "train/worker.hpp"

namespace millrace::app {

Result<cli::Output> worker(const cli::WorkerOptions& options, Env& env) {
  const auto& [server, data_dir, name, ca] = options;
  catch_signals();
  if (data_dir.empty()) {
    return fail(Code::invalid_argument, "cli.no_data_dir",
                "name the server's data folder with --server-data: a worker reads and writes its blobs there");
  }
  auto environment = [](const char* variable) -> std::optional<std::string> {
    const char* value = std::getenv(variable);
    return value ? std::optional<std::string>(value) : std::nullopt;
  };
  TRY(auto address, cli::find_server(env.fs, environment, ".", server, data_dir, ca));
  const auto master_key = master_key_from_environment();
  TRY(const auto keys, open_keys(data_dir, master_key, env));
  TRY(const auto seen, keys->look());
  if (master_key.empty() && seen.held > 0) {
    return fail(
        Code::failed_precondition, "cli.no_master_key",
        std::format("the blobs of {} are sealed; name the file of their master key: {}=FILE millrace worker ...",
                    data_dir, master_key_variable));
  }
  remote::RemoteJobSource source(env, address.url, address.token, cli::http_config(env.fs, address, "millrace-worker"));
  SystemProcesses processes(env.clock);
  train::Worker::Config config;
  config.data_dir = absolute(data_dir);
  config.name = name.empty() ? std::format("worker-{}", getpid()) : name;
  config.scratch_dir = join_path(config.data_dir, "scratch-" + config.name);
  config.output_dir = join_path(config.data_dir, "runs");
  config.program = self_program("millrace-job");
  if (!master_key.empty()) config.environment[master_key_variable] = absolute(master_key);
  auto kinds = loop::quick_kinds();
  for (const auto& some : {loop::slow_kinds(), loop::asked_kinds()})
    kinds.insert(kinds.end(), some.begin(), some.end());
  config.slots = {{kinds, train::share_of_memory(machine_memory_bytes(), 3)}};
  train::Worker worker(config, env, source, processes);
  worker.start();
  std::printf("worker %s takes jobs of %s; Ctrl-C gives back what is under way\n", config.name.c_str(),
              address.url.c_str());
  std::fflush(stdout);
  while (!interrupted()) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  worker.stop();
  (void)env.fs.remove_all(config.scratch_dir);
  return cli::Output{};
}

}  // namespace millrace::app
