#include "train/worker.hpp"

#include <algorithm>
#include <format>

#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"

namespace millrace::train {

struct Worker::Attempt {
  JobLease lease;
  std::string dir;
  std::string output;
  ProcessLimits limits;
  std::unique_ptr<Process> process;
  std::optional<ProcessExit> exit;
  std::uint64_t progress_read = 0;
  JobProgress unsent;
  std::string checkpoint;
  SteadyPoint next_heartbeat{};
  bool lost = false;
};

JobFailure failure_of(const ProcessExit& exit, const ProcessLimits& limits, std::string_view failure_file) {
  using Cause = ProcessExit::Cause;
  if (exit.cause == Cause::memory) return {"memory", describe(exit, limits), false};
  if (exit.cause == Cause::wall_time) return {"time", describe(exit, limits), false};
  if (!failure_file.empty()) {
    if (auto failure = parse_failure(failure_file)) {
      bool again = failure->cause == "dependency" || failure->cause == "disk";
      return {failure->cause, failure->message, again};
    }
  }
  if (exit.cause == Cause::signalled || exit.cause == Cause::terminated)
    return {"killed", describe(exit, limits), true};
  return {"code", "the job process " + describe(exit, limits) + " without saying why; see its output", false};
}

std::string Worker::slot_name(const Config& config, std::size_t slot) {
  return std::format("{}-{}", config.name, slot + 1);
}

Worker::Worker(Config config, Env& env, JobSource& source, Processes& processes)
    : config_(std::move(config)), env_(env), source_(source), processes_(processes) {}

Worker::~Worker() { stop(); }

void Worker::start() {
  for (std::size_t slot = 0; slot < config_.slots.size(); ++slot)
    threads_.emplace_back([this, slot] { run_slot(slot); });
}

void Worker::wake() {
  {
    std::lock_guard lock(mutex_);
    ++wakes_;
  }
  wake_.notify_all();
}

void Worker::stop() {
  stopping_ = true;
  wake();
  for (auto& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void Worker::run_slot(std::size_t slot) {
  auto name = slot_name(config_, slot);
  while (!stopping_) {
    std::uint64_t seen;
    {
      std::lock_guard lock(mutex_);
      seen = wakes_;
    }
    auto lease = source_.claim(name, config_.slots[slot].kinds);
    if (!lease) env_.log.warn("claim_failed", {{"worker", name}, {"error", lease.error().message}});
    if (lease && *lease) {
      run(**lease);
      continue;
    }
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, config_.look_every, [&] { return stopping_ || wakes_ != seen; });
  }
}

Result<void> Worker::prepare(Attempt& attempt) {
  const auto& lease = attempt.lease;
  TRY_VOID(env_.fs.remove_all(attempt.dir));
  TRY_VOID(env_.fs.make_dirs(attempt.dir));
  TRY_VOID(env_.fs.make_dirs(config_.output_dir));
  JobSpec spec{lease.job,
               lease.kind,
               lease.input,
               lease.checkpoint,
               config_.data_dir,
               attempt.dir,
               std::max(1, static_cast<int>(lease.cpu_cores)),
               lease.memory_bytes};
  TRY_VOID(write_file(env_.fs, join_path(attempt.dir, "spec.json"), render(spec)));
  ProcessSpec process;
  process.argv = config_.program;
  process.argv.push_back(join_path(attempt.dir, "spec.json"));
  process.stdout_path = attempt.output;
  process.stderr_path = attempt.output;
  if (lease.memory_bytes > 0) attempt.limits.memory_bytes = static_cast<std::uint64_t>(lease.memory_bytes);
  if (lease.cpu_cores > 0) attempt.limits.cpu_cores = lease.cpu_cores;
  if (lease.duration_max > Duration(0)) attempt.limits.wall_max = lease.duration_max;
  process.limits = attempt.limits;
  TRY(attempt.process, processes_.spawn(process));
  return {};
}

void Worker::run(const JobLease& lease) {
  Attempt attempt;
  attempt.lease = lease;
  attempt.dir = join_path(config_.scratch_dir, std::format("{}-{}", lease.job, lease.token));
  attempt.output = join_path(config_.output_dir, lease.job + ".txt");
  attempt.checkpoint = lease.checkpoint;
  env_.log.info("job_started", {{"job", lease.job}, {"kind", lease.kind}, {"attempt", lease.attempt}});
  if (auto prepared = prepare(attempt); !prepared) {
    const auto& error = prepared.error();
    (void)source_.fail(lease, {cause_of(error), error.message, error.code == Code::unavailable}, {});
    return;
  }
  while (watch(attempt)) {
  }
  settle(attempt);
  if (auto removed = env_.fs.remove_all(attempt.dir); !removed) {
    env_.log.warn("scratch_not_removed", {{"dir", attempt.dir}, {"error", removed.error().message}});
  }
}

// One look at the child; false when it has ended.
bool Worker::watch(Attempt& attempt) {
  attempt.exit = attempt.process->wait(config_.poll_every);
  read_progress(attempt);
  if (attempt.exit) return false;
  if (stopping_) attempt.process->terminate();
  auto now = env_.clock.steady();
  if (!attempt.lost && (now >= attempt.next_heartbeat || !attempt.unsent.checkpoint.empty())) {
    attempt.next_heartbeat = now + config_.heartbeat_every;
    auto beat = source_.heartbeat(attempt.lease, attempt.unsent);
    if (beat) {
      attempt.unsent = {};
      if (*beat) attempt.process->terminate();
    } else if (beat.error().code == Code::aborted) {
      attempt.lost = true;  // somebody else has the job now
      attempt.process->kill();
    }
    // Any other error: the source is out of reach; the work goes on, and what is unsent is sent later.
  }
  return true;
}

void Worker::read_progress(Attempt& attempt) {
  auto path = join_path(attempt.dir, "progress.jsonl");
  if (auto file = env_.fs.open_read(path)) {
    std::string text((*file)->size() - std::min((*file)->size(), attempt.progress_read), '\0');
    if (auto got = (*file)->read(attempt.progress_read, std::as_writable_bytes(std::span(text)))) {
      text.resize(*got);
      auto whole = text.rfind('\n');  // the last line may still be on its way
      if (whole != std::string::npos) {
        attempt.progress_read += whole + 1;
        for (std::size_t at = 0; at <= whole;) {
          auto end = text.find('\n', at);
          attempt.unsent.lines.push_back(text.substr(at, end - at));
          at = end + 1;
        }
      }
    }
  }
  if (auto checkpoint = read_file(env_.fs, join_path(attempt.dir, "checkpoint"));
      checkpoint && *checkpoint != attempt.checkpoint) {
    attempt.checkpoint = *checkpoint;
    attempt.unsent.checkpoint = *std::move(checkpoint);
  }
}

void Worker::settle(Attempt& attempt) {
  const auto& lease = attempt.lease;
  const auto& exit = *attempt.exit;
  JobUsage usage;
  usage.wall_seconds = std::chrono::duration<double>(exit.wall).count();
  usage.cpu_seconds = std::chrono::duration<double>(exit.user_cpu + exit.system_cpu).count();
  usage.memory_bytes_peak = static_cast<std::int64_t>(exit.memory_peak_bytes);
  usage.limited_by = exit.limited_by.memory;
  if (!attempt.lost && !attempt.unsent.lines.empty()) (void)source_.heartbeat(lease, attempt.unsent);
  Result<void> done;
  auto result =
      exit.ok() ? read_file(env_.fs, join_path(attempt.dir, "result.json")) : Result<std::string>(std::string());
  if (exit.ok() && result) {
    if (auto fault = env_.faults.reach("train.worker.before_complete"); !fault) return;
    done = source_.complete(lease, *result, usage);
  } else if (stopping_ && exit.cause == ProcessExit::Cause::terminated) {
    done = source_.give_back(lease, attempt.checkpoint);
  } else {
    if (auto output = read_file(env_.fs, attempt.output)) {
      usage.output_tail = output->substr(output->size() - std::min<std::size_t>(output->size(), 16384));
    }
    auto failure =
        failure_of(exit, attempt.limits, read_file(env_.fs, join_path(attempt.dir, "failure.json")).value_or(""));
    env_.log.warn("job_failed",
                  {{"job", lease.job}, {"kind", lease.kind}, {"cause", failure.cause}, {"error", failure.message}});
    done = source_.fail(lease, failure, usage);
  }
  if (!done) {
    env_.log.warn(
        "job_end_refused",
        {{"job", lease.job}, {"token", lease.token}, {"reason", done.error().reason}, {"error", done.error().message}});
  }
}

}  // namespace millrace::train
