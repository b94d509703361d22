#include "train/worker.hpp"

#include <algorithm>
#include <format>

#include "base/error_codes.hpp"
#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "train/failure_text.hpp"

namespace millrace::train {

struct Worker::Attempt {
  JobLease lease;
  std::string dir;
  std::string output;
  ProcessLimits limits;
  std::string memory_from;
  std::unique_ptr<Process> process;
  std::optional<ProcessExit> exit;
  std::uint64_t progress_read = 0;
  JobProgress unsent;
  std::string checkpoint;
  SteadyPoint next_heartbeat{}, next_progress{};
  bool lost = false;
};

namespace {

constexpr std::size_t kOutputTail = 16'384;
constexpr std::size_t kUnsentMax = 10'000;
constexpr std::uint64_t kShareLeast = 1'000'000'000;  // the libraries alone take a tenth of it

bool trains(std::string_view kind) { return kind == "train" || kind == "rebuild"; }

// `text` may bring more than what happened: where, and what was printed.
std::string memory_message(const AttemptEnd& end, std::string_view said) {
  auto text = read_failure_text(said);
  if (end.exit.memory_peak_bytes > 0)
    text.what +=
        std::format("; at most {} were seen in use", format_size(static_cast<long long>(end.exit.memory_peak_bytes)));
  if (!end.memory_from.empty()) text.what += std::format(". The limit is {}", end.memory_from);
  text.next = trains(end.kind)
                  ? "allow more with [retrain] resources = { memory = \"...\" }, or let it need less (fewer rows with "
                    "[retrain] data, a smaller model.trainer.max_bin or depth); then: millrace apply, millrace train"
                  : "it needs a machine with more memory, or less data";
  return render(text);
}

std::string disk_message(const AttemptEnd& end, std::string_view said) {
  auto text = read_failure_text(said);
  if (text.where.empty()) text.where = std::string(end.scratch_dir);
  text.next =
      "make room on that disk (df -h tells how much there is); it is tried again by itself, later with: "
      "millrace train";
  return render(text);
}

// A name that is not there stays away; a service that is not there may be back.
bool passes(const JobFailure& failure, std::string_view reason) {
  if (failure.cause == "disk") return true;
  return failure.cause == "dependency" && reason != "train.command_needs" && !reason.starts_with("process.no");
}

// The last part of a file that may be large.
std::string tail_of_file(Fs& fs, const std::string& path, std::size_t bytes) {
  auto file = fs.open_read(path);
  if (!file) return "";
  const auto size = (*file)->size(), from = size - std::min<std::uint64_t>(size, bytes);
  std::string text(size - from, '\0');
  const auto got = (*file)->read(from, std::as_writable_bytes(std::span(text)));
  text.resize(got.value_or(0));
  return printable(text);
}

}  // namespace

MemoryCap share_of_memory(std::uint64_t machine_bytes, int fifths) {
  if (machine_bytes == 0) return {};
  const auto all = format_size(static_cast<long long>(machine_bytes));
  const auto share = machine_bytes / 5 * static_cast<std::uint64_t>(fifths),
             least = std::min(kShareLeast, machine_bytes);
  if (share < least)
    return {static_cast<std::int64_t>(least), std::format("the least of this machine's {} that a job gets", all)};
  return {static_cast<std::int64_t>(share), std::format("{}/5 of this machine's {}", fifths, all)};
}

JobFailure failure_of(const AttemptEnd& end) {
  using Cause = ProcessExit::Cause;
  const auto& exit = end.exit;
  if (exit.cause == Cause::memory) return {"memory", memory_message(end, describe(exit, end.limits)), false};
  if (exit.cause == Cause::wall_time) {
    FailureText text{.what = describe(exit, end.limits)};
    if (trains(end.kind))
      text.next =
          "allow more with [retrain] resources = { max_duration = \"...\" }, or let it need less; then: "
          "millrace apply, millrace train";
    return {"time", render(text), false};
  }
  if (!end.failure_file.empty()) {
    if (auto failure = parse_failure(end.failure_file)) {
      if (failure->cause == "memory") return {"memory", memory_message(end, failure->message), false};
      if (failure->cause == "disk") return {"disk", disk_message(end, failure->message), true};
      JobFailure out{failure->cause, failure->message, false};
      out.retry = passes(out, failure->reason);
      return out;
    }
  }
  if (exit.status == status_cannot_write) {
    return {"disk", disk_message(end, "the job could not write its files, not even its failure; see its output"), true};
  }
  if (exit.cause == Cause::signalled || exit.cause == Cause::terminated)
    return {"killed",
            render({.what = describe(exit, end.limits) + ", which this server did not send",
                    .next = "nothing: it is tried again by itself, from its last checkpoint; after its last attempt: "
                            "millrace train"}),
            true};
  return {"code", "the job process " + describe(exit, end.limits) + " without saying why; see its output", false};
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
      run(**lease, config_.slots[slot]);
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
  TRY_VOID(env_.faults.reach("train.worker.after_folder"));
  JobSpec spec{lease.job,
               lease.kind,
               lease.input,
               lease.checkpoint,
               config_.data_dir,
               attempt.dir,
               std::max(1, static_cast<int>(lease.cpu_cores)),
               static_cast<std::int64_t>(attempt.limits.memory_bytes.value_or(0)),
               attempt.output};
  if (lease.attempt > 1) {  // the file goes on from the attempt before
    TRY(auto output, env_.fs.open_write(attempt.output, WriteMode::append));
    TRY_VOID(
        output->append(as_bytes(std::format("-- attempt {}, {} --\n", lease.attempt, format_time(env_.clock.now())))));
  }
  TRY_VOID(write_file(env_.fs, join_path(attempt.dir, "spec.json"), render(spec)));
  TRY_VOID(env_.faults.reach("train.worker.after_spec"));
  ProcessSpec process;
  process.argv = config_.program;
  process.argv.push_back(join_path(attempt.dir, "spec.json"));
  process.stdout_path = attempt.output;
  process.stderr_path = attempt.output;
  process.env = config_.environment;
  process.limits = attempt.limits;
  TRY(attempt.process, processes_.spawn(process));
  return env_.faults.reach("train.worker.after_spawn");
}

void Worker::run(const JobLease& lease, const Slot& slot) {
  Attempt attempt;
  const bool own = lease.memory_bytes > 0;
  attempt.memory_from = own ? "[retrain] resources.memory" : slot.memory.from;
  if (const auto bytes = own ? lease.memory_bytes : slot.memory.bytes; bytes > 0)
    attempt.limits.memory_bytes = static_cast<std::uint64_t>(bytes);
  if (lease.cpu_cores > 0) attempt.limits.cpu_cores = lease.cpu_cores;
  if (lease.duration_max > Duration(0)) attempt.limits.wall_max = lease.duration_max;
  attempt.lease = lease;
  attempt.dir = join_path(config_.scratch_dir, std::format("{}-{}", lease.job, lease.token));
  attempt.output = join_path(config_.output_dir, lease.job + ".txt");
  attempt.checkpoint = lease.checkpoint;
  env_.log.info("job_started", {{"job", lease.job}, {"kind", lease.kind}, {"attempt", lease.attempt}});
  if (auto prepared = prepare(attempt); !prepared) {
    const auto& error = prepared.error();
    JobFailure failure{cause_of(error), error.message, false};
    if (error.reason == "fs.too_many_open") {
      failure.message = render({.what = error.message,
                                .next = "allow this server's process more open files (ulimit -n) and start it again; "
                                        "it is tried again by itself"});
    } else if (error.reason.starts_with("fs.")) {
      failure = {"disk", disk_message({{}, {}, lease.kind, "", "", attempt.dir}, error.message), true};
    }
    failure.retry = failure.retry || error.code == Code::unavailable || passes(failure, error.reason);
    env_.log.warn("job_failed",
                  {{"job", lease.job}, {"kind", lease.kind}, {"cause", failure.cause}, {"error", failure.message}});
    (void)deliver([&] { return source_.fail(lease, failure, {}); });
    return;
  }
  while (watch(attempt)) {
  }
  settle(attempt);
  (void)env_.faults.reach("train.worker.before_cleanup");
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
  const bool news = !attempt.unsent.lines.empty() && now >= attempt.next_progress;
  if (!attempt.lost && (now >= attempt.next_heartbeat || news || !attempt.unsent.checkpoint.empty())) {
    attempt.next_heartbeat = now + config_.heartbeat_every;
    attempt.next_progress = now + config_.progress_every;
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

// The checkpoint first: the lines of what it covers were written before it, so they are read with it and sent with it.
void Worker::read_progress(Attempt& attempt) {
  if (auto checkpoint = read_file(env_.fs, join_path(attempt.dir, "checkpoint"));
      checkpoint && *checkpoint != attempt.checkpoint) {
    attempt.checkpoint = *checkpoint;
    attempt.unsent.checkpoint = *std::move(checkpoint);
  }
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
        // While the source is out of reach the oldest go.
        auto& lines = attempt.unsent.lines;
        if (lines.size() > kUnsentMax)
          lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(kUnsentMax));
      }
    }
  }
}

// An attempt's end is worth more than a moment without a source, which may be starting again: told until it is heard,
// refused, or the worker stops.
Result<void> Worker::deliver(const std::function<Result<void>()>& tell) {
  const auto until = env_.clock.steady() + config_.deliver_for;
  for (;;) {
    auto told = tell();
    const bool unheard =
        !told && (told.error().code == Code::unavailable || told.error().code == Code::deadline_exceeded);
    if (!unheard || stopping_ || env_.clock.steady() >= until) return told;
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, config_.look_every, [&] { return stopping_.load(); });
  }
}

void Worker::settle(Attempt& attempt) {
  const auto& lease = attempt.lease;
  const auto& exit = *attempt.exit;
  JobUsage usage;
  usage.wall_seconds = std::chrono::duration<double>(exit.wall).count();
  usage.cpu_seconds = std::chrono::duration<double>(exit.user_cpu + exit.system_cpu).count();
  usage.memory_bytes_peak = static_cast<std::int64_t>(exit.memory_peak_bytes);
  usage.memory_bytes_max = static_cast<std::int64_t>(attempt.limits.memory_bytes.value_or(0));
  usage.memory_from = attempt.memory_from;
  usage.limited_by = exit.limited_by.memory;
  if (!attempt.lost && (!attempt.unsent.lines.empty() || !attempt.unsent.checkpoint.empty()))
    (void)source_.heartbeat(lease, attempt.unsent);
  Result<void> done;
  auto result =
      exit.ok() ? read_file(env_.fs, join_path(attempt.dir, "result.json")) : Result<std::string>(std::string());
  if (exit.ok() && result) {
    if (auto fault = env_.faults.reach("train.worker.before_complete"); !fault) return;
    done = deliver([&] { return source_.complete(lease, *result, usage); });
    if (!done && is_disk_full(done.error())) {
      // What it made can't be recorded; with room it is made again, from the last checkpoint.
      env_.log.warn("job_failed",
                    {{"job", lease.job}, {"kind", lease.kind}, {"cause", "disk"}, {"error", done.error().message}});
      done = deliver([&] { return source_.fail(lease, {"disk", done.error().message, true}, usage); });
    }
  } else if (stopping_ && exit.cause == ProcessExit::Cause::terminated) {
    done = source_.give_back(lease, attempt.checkpoint);
  } else {
    usage.output_tail = tail_of_file(env_.fs, attempt.output, kOutputTail);
    const auto file = read_file(env_.fs, join_path(attempt.dir, "failure.json")).value_or("");
    auto failure = failure_of({exit, attempt.limits, lease.kind, attempt.memory_from, file, attempt.dir});
    env_.log.warn("job_failed",
                  {{"job", lease.job}, {"kind", lease.kind}, {"cause", failure.cause}, {"error", failure.message}});
    done = deliver([&] { return source_.fail(lease, failure, usage); });
  }
  if (!done) {
    env_.log.warn(
        "job_end_refused",
        {{"job", lease.job}, {"token", lease.token}, {"reason", done.error().reason}, {"error", done.error().message}});
  }
}

}  // namespace millrace::train
