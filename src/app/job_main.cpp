// millrace-job: runs one job in a process of its own and ends. Its input is a spec file, its output files beside it
// (train/job_files.hpp); started by a worker, or by `millrace init` for a look at a file.
#include <csignal>
#include <cstdio>

#include "base/env.hpp"
#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/process.hpp"
#include "base/rng.hpp"
#include "blob/local.hpp"
#include "loop/job_run.hpp"
#include "train/job_files.hpp"

namespace {

volatile std::sig_atomic_t stop_asked = 0;

}  // namespace

int main(int argc, char** argv) {
  using namespace millrace;
  if (argc != 2) {
    std::fprintf(stderr, "usage: millrace-job SPEC_FILE (started by millrace, not by hand)\n");
    return 64;
  }
  std::signal(SIGTERM, [](int) { stop_asked = 1; });
  std::signal(SIGINT, SIG_IGN);  // Ctrl-C in the terminal is the server's; it asks us by SIGTERM
  RealFs fs;
  SystemClock clock;
  SystemRng rng;
  const char* fault_spec = std::getenv("MILLRACE_FAULT");
  auto faults = Faults::parse(fault_spec ? fault_spec : "");
  auto log = open_log({}, clock);
  if (!faults || !log) return 64;
  Env env{fs, clock, rng, **faults, **log};

  auto spec_text = read_file(fs, argv[1]);
  auto spec =
      spec_text ? train::parse_job_spec(*spec_text) : Result<train::JobSpec>(fail(std::move(spec_text).error()));
  if (!spec) {
    std::fprintf(stderr, "millrace-job: %s\n", spec.error().message.c_str());
    return 64;
  }
  auto failed = [&](const Error& error) {
    train::FailureFile failure{train::cause_of(error), "", error.reason, error.message};
    std::fprintf(stderr, "millrace-job: %s: %s (%s)\n", spec->kind.c_str(), error.message.c_str(),
                 error.reason.c_str());
    (void)write_file(fs, join_path(spec->scratch_dir, "failure.json"), train::render(failure));
    return 1;
  };
  auto blobs = blob::open_local(env, {join_path(spec->data_dir, "blobs")});
  if (!blobs) return failed(blobs.error());
  auto progress = fs.open_write(join_path(spec->scratch_dir, "progress.jsonl"), WriteMode::append);
  if (!progress) return failed(progress.error());
  SystemProcesses processes(clock);
  loop::JobContext context{
      {env, spec->scratch_dir,
       [&](const TaskProgress& step) { (void)(*progress)->append(as_bytes(train::render(step) + "\n")); },
       [] { return stop_asked != 0; }},
      **blobs,
      &processes,
      {},
      spec->threads,
      spec->memory_bytes,
      spec->checkpoint,
      [&](const std::string& text) { return write_file(fs, join_path(spec->scratch_dir, "checkpoint"), text); }};
  auto result = loop::run_job(spec->kind, spec->input, context);
  if (!result) return failed(result.error());
  if (auto written = write_file(fs, join_path(spec->scratch_dir, "result.json"), *result); !written)
    return failed(written.error());
  return 0;
}
