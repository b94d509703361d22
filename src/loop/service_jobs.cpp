// Jobs as workers see them: claims, signs of life, results committed under their token.
#include <algorithm>
#include <format>
#include <map>
#include <variant>

#include "base/error_codes.hpp"
#include "base/fault.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/tracing.hpp"
#include "loop/service.hpp"
#include "train/job_files.hpp"

namespace millrace::loop {

namespace {

struct Resources {
  double cpu = 0;
  std::int64_t memory_bytes = 0;
};

// Numbers, and limits in words.
using Used = std::map<std::string, std::variant<double, std::string>>;

flow::Lease flow_lease(const train::JobLease& lease) { return {lease.job, lease.token, lease.worker}; }

}  // namespace

Result<std::optional<train::JobLease>> Service::claim(const std::string& worker,
                                                      const std::vector<std::string>& kinds) {
  TRY(auto claimed, jobs_.claim(worker, kinds, config_.lease));
  if (!claimed) return std::nullopt;
  const auto& job = claimed->job;
  train::JobLease lease;
  lease.worker = worker;
  lease.job = job.id;
  lease.token = claimed->lease.token;
  lease.kind = job.kind;
  lease.input = job.input;
  lease.checkpoint = job.checkpoint.value_or("");
  lease.attempt = claimed->attempt;
  if (auto resources = json::parse_lenient<Resources>(job.resources, "a job's resources")) {
    lease.cpu_cores = resources->cpu;
    lease.memory_bytes = resources->memory_bytes;
  }
  lease.duration_max = job.timeout;
  if (job.kind == job_kind::train && job.pipeline_run) {
    TRY(auto input, parse_job<TrainJob>(job.input));
    TRY_VOID(store_.write([&](meta::Tx& tx) -> Result<void> {
      TRY(auto run, track::get_run(tx, input.run));
      run.state = track::RunState::running;
      if (!run.started) run.started = env_.clock.now();
      run.output_path = "runs/" + job.id + ".txt";
      run.params = json::render(input.parameters);
      return track::update_run(tx, run);
    }));
    TRY_VOID(env_.faults.reach("loop.claim.after_note"));
  }
  return lease;
}

Result<bool> Service::heartbeat(const train::JobLease& lease, const train::JobProgress& progress) {
  std::optional<std::string> newest;
  std::vector<track::MetricPoint> points;
  auto now = env_.clock.now();
  for (const auto& line : progress.lines) {
    newest = line;
    if (lease.kind != job_kind::train) continue;
    auto parsed = train::parse_progress(line);
    if (!parsed) continue;
    const auto at = parsed->time_us > 0 ? TimePoint(Duration(parsed->time_us)) : now;
    for (const auto& [name, value] : parsed->metrics) {
      // Of a command these lines repeat what it told before; only its memory is new.
      if (parsed->phase == "command" && name != "memory_bytes") continue;
      points.push_back({name, parsed->step, value, at});
    }
  }
  std::optional<std::string> checkpoint;
  if (!progress.checkpoint.empty()) checkpoint = progress.checkpoint;
  std::function<Result<void>(meta::Tx&)> effects;
  if (!points.empty()) {
    TRY(auto input, parse_job<TrainJob>(lease.input));
    effects = [&points, run = input.run](meta::Tx& tx) { return track::log_metrics(tx, run, points); };
  }
  TRY(auto beat, jobs_.heartbeat(flow_lease(lease), newest, checkpoint, effects));
  if (checkpoint) TRY_VOID(env_.faults.reach("loop.checkpoint.after_commit"));
  if (effects) TRY_VOID(env_.faults.reach("loop.metrics.after_commit"));
  return beat.cancel_asked;
}

// One attempt, from its claim to its end.
void Service::trace_job(const flow::Job& job, std::string_view ended, const Result<void>& outcome) const {
  if (!config_.tracer) return;
  config_.tracer->note("job " + job.kind, job.started_at.value_or(job.queued_at), env_.clock.now(),
                       {{"millrace.job", job.id},
                        {"millrace.job.key", job.key},
                        {"millrace.job.cause", job.cause},
                        {"millrace.job.attempt", std::int64_t{job.attempts}},
                        {"millrace.job.ended", std::string(ended)}},
                       outcome);
}

Result<void> Service::complete(const train::JobLease& lease, const std::string& result, const train::JobUsage& usage) {
  TRY(auto job, jobs_.find(lease.job));
  TRY_VOID(env_.faults.reach("loop.complete.before_commit"));
  TRY_VOID(jobs_.complete(flow_lease(lease), result, [&](meta::Tx& tx) { return commit(tx, job, result, usage); }));
  TRY_VOID(env_.faults.reach("loop.complete.after_commit"));
  trace_job(job, "done", {});
  if (job.kind == job_kind::roll) TRY_VOID(env_.faults.reach("loop.roll.after_commit"));
  if (job.pipeline_run) TRY_VOID(pipelines_.advance(*job.pipeline_run));
  changed();
  return {};
}

Result<void> Service::commit(meta::Tx& tx, const flow::Job& job, const std::string& result,
                             const train::JobUsage& usage) {
  if (job.kind == job_kind::ingest) return commit_ingest(tx, job, result);
  if (job.kind == job_kind::evaluate) return commit_evaluation(tx, job, result);
  if (job.kind == job_kind::train) {
    TRY(const auto trained, parse_job<TrainResult>(result));
    TRY_VOID(note_usage(tx, job, usage, &trained));
    return env_.faults.reach("loop.train.before_commit");
  }
  if (job.kind == job_kind::roll) return commit_roll(tx, job, result);
  if (job.kind == job_kind::batch) return commit_batch(tx, job, result);
  if (job.kind == job_kind::live) {
    TRY(auto live, parse_job<LiveResult>(result));
    TRY_VOID(put_live(tx, {job.key, live.labels_seq, result, env_.clock.now()}));
    return env_.faults.reach("loop.live.before_commit");
  }
  return {};
}

// What a training used, over its attempts, and what its parameters came to.
Result<void> Service::note_usage(meta::Tx& tx, const flow::Job& job, const train::JobUsage& usage,
                                 const TrainResult* result) {
  TRY(auto input, parse_job<TrainJob>(job.input));
  TRY(auto run, track::get_run(tx, input.run));
  Used used;
  if (!run.resources.empty()) {
    if (auto before = json::parse<Used>(run.resources, "a run's resources")) used = *std::move(before);
  }
  const auto number = [&](const char* name) -> double {
    const auto found = used.find(name);
    const auto* value = found == used.end() ? nullptr : std::get_if<double>(&found->second);
    return value ? *value : 0;
  };
  if (job.started_at) used["queue_seconds"] = std::chrono::duration<double>(*job.started_at - job.queued_at).count();
  used["wall_seconds"] = number("wall_seconds") + usage.wall_seconds;
  used["cpu_seconds"] = number("cpu_seconds") + usage.cpu_seconds;
  used["memory_bytes_peak"] = std::max(number("memory_bytes_peak"), static_cast<double>(usage.memory_bytes_peak));
  std::int64_t bytes = 0;
  for (const auto* parts : {&input.rows.parts, &input.rows.feedback}) {
    for (const auto& part : *parts) bytes += part.bytes;
  }
  used["bytes_read"] = static_cast<double>(bytes);
  if (usage.memory_bytes_max > 0) {
    used["memory_bytes_max"] = static_cast<double>(usage.memory_bytes_max);
    used["memory limit"] = std::format("{}: {}{}", format_size(usage.memory_bytes_max), usage.memory_from,
                                       usage.limited_by.empty() ? "" : ", enforced by " + usage.limited_by);
  }
  if (job.timeout > Duration(0))
    used["time limit"] = format_duration(job.timeout) + ": [retrain] resources.max_duration";
  if (result) {
    run.params = json::render(result->parameters);
    used["rounds"] = static_cast<double>(result->rounds);
    used["rows"] = static_cast<double>(result->rows);
    if (result->resumed_at > 0) used["resumed_after_round"] = static_cast<double>(result->resumed_at);
  }
  run.resources = json::render(used);
  return track::update_run(tx, run);
}

Result<void> Service::fail(const train::JobLease& lease, const train::JobFailure& failure,
                           const train::JobUsage& usage) {
  TRY(auto job, jobs_.find(lease.job));
  flow::Failure why{flow::parse_failure_kind(failure.cause).value_or(flow::FailureKind::code), failure.message,
                    usage.output_tail};
  TRY(auto state, jobs_.fail(flow_lease(lease), why, failure.retry));
  trace_job(job, flow::to_text(state), millrace::fail(Code::unknown, failure.cause, failure.message));
  if (job.kind == job_kind::train && job.pipeline_run) {
    TRY_VOID(store_.write([&](meta::Tx& tx) { return note_usage(tx, job, usage, nullptr); }));
  }
  if (job.pipeline_run && flow::is_over(state)) {
    TRY_VOID(pipelines_.advance(*job.pipeline_run));
    TRY(auto record, pipelines_.find(*job.pipeline_run));
    auto ended = state == flow::JobState::cancelled ? track::RunState::cancelled : track::RunState::failed;
    TRY_VOID(store_.write([&](meta::Tx& tx) {
      return end_run(tx, record.run.key, ended, std::format("{}: {}", failure.cause, failure.message));
    }));
  }
  changed();
  return {};
}

Result<void> Service::give_back(const train::JobLease& lease, const std::string& checkpoint) {
  std::optional<std::string> kept;
  if (!checkpoint.empty()) kept = checkpoint;
  return jobs_.give_back(flow_lease(lease), kept);
}

}  // namespace millrace::loop
