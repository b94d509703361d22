// millrace-job: runs one job in a process of its own and ends. Its input is a spec file, its output files beside it
// (train/job_files.hpp); started by a worker, or by `millrace init` for a look at a file.
#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <format>
#include <new>

#include "app/sealing.hpp"
#include "app/test_time.hpp"
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

// The same for a person who reads the job's output: each new phase, and then a line a second.
class Teller {
 public:
  explicit Teller(millrace::Clock& clock) : clock_(clock) {}
  void tell(const millrace::TaskProgress& step) {
    if (step.phase == "command") return;  // it prints for itself
    const auto now = clock_.steady();
    if (step.phase == phase_ && step.done < 1 && now < next_) return;
    phase_ = step.phase;
    next_ = now + std::chrono::seconds(1);
    auto line = std::format("{} {}", millrace::format_time(clock_.now()).substr(0, 19), step.phase);
    if (step.done >= 0) line += std::format(" {:.0f}%", step.done * 100);
    if (step.step > 0) line += std::format(" {}", step.step);
    for (const auto& [name, value] : step.metrics) line += std::format(" {}={:.6g}", name, value);
    if (!step.note.empty()) line += " " + step.note;
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);  // kept, whatever happens to us next
  }

 private:
  millrace::Clock& clock_;
  std::string phase_;
  millrace::SteadyPoint next_{};
};

}  // namespace

int main(int argc, char** argv) {
  using namespace millrace;
  if (argc != 2) {
    std::fprintf(stderr, "usage: millrace-job SPEC_FILE (started by millrace, not by hand)\n");
    return 64;
  }
  // Predictions come first: where the processors are short, a job waits for the server and not the other way round.
  // What a job starts (a training's own command) inherits it. One that can't be had changes nothing.
  constexpr int jobs_nice = 10;
  (void)::setpriority(PRIO_PROCESS, 0, jobs_nice);
  std::signal(SIGTERM, [](int) { stop_asked = 1; });
  std::signal(SIGINT, SIG_IGN);              // Ctrl-C in the terminal is the server's; it asks us by SIGTERM
  auto time = app::time_from_environment();  // the server's: what it records of a run is by one calendar
  if (!time) {
    std::fprintf(stderr, "millrace-job: %s\n", time.error().message.c_str());
    return 64;
  }
  Fs& fs = *time->fs;
  Clock& clock = *time->clock;
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
  const auto reserve = join_path(spec->scratch_dir, "reserve");
  auto failed = [&](const Error& error) {
    train::FailureFile failure{train::cause_of(error), "", error.reason, error.message};
    std::fprintf(stderr, "millrace-job: %s: %s (%s)\n", spec->kind.c_str(), error.message.c_str(),
                 error.reason.c_str());
    (void)fs.remove(reserve);
    const auto told = write_file(fs, join_path(spec->scratch_dir, "failure.json"), train::render(failure));
    return told ? 1 : train::status_cannot_write;
  };
  // Room to say that the disk is full.
  if (auto kept = write_file(fs, reserve, std::string(16'384, ' ')); !kept) return failed(kept.error());
  if (auto fault = env.faults.reach("app.job.after_reserve"); !fault) return failed(fault.error());
  auto keys = app::open_keys(spec->data_dir, app::master_key_from_environment(), env);
  if (!keys) return failed(keys.error());
  ::unsetenv(app::master_key_variable);  // no business of what the job starts
  auto blobs = blob::open_local(env, {.dir = join_path(spec->data_dir, "blobs"), .keys = keys->get()});
  if (!blobs) return failed(blobs.error());
  auto progress = fs.open_write(join_path(spec->scratch_dir, "progress.jsonl"), WriteMode::append);
  if (!progress) return failed(progress.error());
  SystemProcesses processes(clock);
  Teller teller(clock);
  loop::JobContext context{
      {env, spec->scratch_dir,
       [&](const TaskProgress& step) {
         auto stamped = step;
         stamped.time_us = clock.now().time_since_epoch().count();
         (void)(*progress)->append(as_bytes(train::render(stamped) + "\n"));
         teller.tell(step);
       },
       [] { return stop_asked != 0; }},
      **blobs,
      &processes,
      {},
      spec->threads,
      spec->memory_bytes,
      spec->checkpoint,
      [&](const std::string& text) { return write_file(fs, join_path(spec->scratch_dir, "checkpoint"), text); },
      spec->output};
  auto result = [&]() -> Result<std::string> {
    try {
      return loop::run_job(spec->kind, spec->input, context);
    } catch (const std::bad_alloc&) {
      return fail(Code::resource_exhausted, "job.memory", "there was not enough memory for a " + spec->kind + " job");
    }
  }();
  if (!result) return failed(result.error());
  if (auto fault = env.faults.reach("app.job.before_result"); !fault) return failed(fault.error());
  if (auto written = write_file(fs, join_path(spec->scratch_dir, "result.json"), *result); !written)
    return failed(written.error());
  if (auto fault = env.faults.reach("app.job.after_result"); !fault) return failed(fault.error());
  return 0;
}
