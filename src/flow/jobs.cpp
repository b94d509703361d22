#include "flow/jobs.hpp"

#include "base/clock.hpp"
#include "base/fault.hpp"
#include "base/log.hpp"
#include "base/rng.hpp"
#include "flow/job_rows_internal.hpp"

namespace millrace::flow {

namespace {

constexpr std::size_t detail_bytes_max = 64 << 10;
constexpr std::size_t message_bytes_max = 4 << 10;

using meta::value;

std::int64_t micros(Duration duration) { return duration.count(); }

std::string select_jobs(const std::string& rest) {
  return std::string("SELECT ") + job_columns + " FROM flow_jobs " + rest;
}

std::string failure_note(const Failure& failure) { return std::string(to_text(failure.kind)) + ": " + failure.message; }

meta::Value maybe(const std::optional<Failure>& failure, std::string Failure::* member, std::size_t bytes_max) {
  return failure ? meta::Value(tail((*failure).*member, bytes_max)) : meta::Value();
}

meta::Value maybe_kind(const std::optional<Failure>& failure) {
  return failure ? meta::Value(std::string(to_text(failure->kind))) : meta::Value();
}

}  // namespace

Jobs::Jobs(Env env, meta::Store& store, JobsConfig config)
    : env_(env), store_(store), config_(config), ids_(env.clock, env.rng) {}

// ---- for those who want work done ----

Result<std::string> Jobs::enqueue(meta::Tx& tx, const NewJob& wanted) {
  if (wanted.kind.empty() || wanted.attempts_max < 1)
    return millrace::fail(Code::invalid_argument, "flow.bad_job", "a job needs a kind and at least one attempt");
  if (!wanted.key.empty()) {
    TRY(auto there,
        tx.query_one("SELECT id FROM flow_jobs WHERE kind = $1 AND job_key = $2 AND state IN ('queued', 'running')",
                     {wanted.kind, wanted.key}));
    if (there) return there->text(0);
  }
  Job job;
  job.id = ids_.make().text();
  job.kind = wanted.kind;
  job.key = wanted.key.empty() ? job.id : wanted.key;
  job.pipeline_run = wanted.pipeline_run;
  job.step = wanted.step;
  const auto now = env_.clock.now();
  TRY_VOID(
      tx.exec("INSERT INTO flow_jobs (id, kind, job_key, state, input, priority, attempts, attempts_max, timeout_us, "
              "resources, "
              "cause, pipeline_run, step, queued_at, run_after, token, lease_us, checkpoint) "
              "VALUES ($1, $2, $3, 'queued', $4, $5, 0, $6, $7, $8, $9, $10, $11, $12, $13, 0, 0, $14)",
              {job.id, job.kind, job.key, wanted.input, wanted.priority, wanted.attempts_max, micros(wanted.timeout),
               wanted.resources, wanted.cause, value(job.pipeline_run), value(job.step), value(now),
               value(wanted.run_after.value_or(TimePoint())), value(wanted.checkpoint)}));
  TRY_VOID(record(tx, job.id, "queued", 0, "", wanted.cause));
  TRY_VOID(tx.emit({"job.queued", job.id, event_payload(job, JobState::queued)}));
  return job.id;
}

Result<std::string> Jobs::enqueue(const NewJob& wanted) {
  return store_.write([&](meta::Tx& tx) { return enqueue(tx, wanted); });
}

Result<void> Jobs::cancel(meta::Tx& tx, std::string_view id, std::string_view by) {
  TRY(auto job, find(tx, id));
  if (is_over(job.state) || job.cancel_by) return {};
  TRY_VOID(tx.exec("UPDATE flow_jobs SET cancel_by = $2 WHERE id = $1", {job.id, std::string(by)}));
  TRY_VOID(record(tx, job.id, "cancel_asked", job.token, job.worker.value_or(""), std::string(by)));
  if (job.state == JobState::queued) TRY_VOID(end(tx, job, JobState::cancelled, {}, {}));
  return {};
}

Result<void> Jobs::cancel(std::string_view id, std::string_view by) {
  return store_.write([&](meta::Tx& tx) { return cancel(tx, id, by); });
}

// ---- for workers ----

Result<std::optional<Claimed>> Jobs::claim(const std::string& worker, const std::vector<std::string>& kinds,
                                           Duration lease) {
  if (kinds.empty() || worker.empty() || lease < config_.lease_min)
    return millrace::fail(Code::invalid_argument, "flow.bad_claim",
                          "a claim needs a worker's name, the kinds of job it can do, and a lease of at least " +
                              format_duration(config_.lease_min));
  std::string list;
  const auto now = env_.clock.now();
  meta::Params params{value(now)};
  for (const auto& kind : kinds) {
    params.emplace_back(kind);
    list += (list.empty() ? "$" : ", $") + std::to_string(params.size());
  }
  // What was asked for at once is due, also when the calendar was set back since.
  const std::string due = "(run_after <= $1 OR run_after = queued_at)";
  const auto chosen =
      select_jobs("WHERE state = 'queued' AND " + due + " AND kind IN (" + list +
                  ") ORDER BY priority DESC, queued_at, id LIMIT $" + std::to_string(params.size() + 1));
  const auto first = [&](meta::Reader& reader) -> Result<std::optional<Job>> {
    const auto pauses = pauses_left();
    auto limited = params;
    limited.emplace_back(static_cast<std::int64_t>(pauses.size() + 1));
    TRY(auto rows, reader.query(chosen, limited));
    for (const auto& row : rows) {
      auto job = read_job(row);
      if (!pauses.contains(job.id)) return job;
    }
    return std::nullopt;
  };
  // Looked for on a snapshot first: a worker that finds nothing costs no write.
  TRY(auto there, store_.read(first));
  if (!there) return std::nullopt;
  TRY(auto claimed, store_.write([&](meta::Tx& tx) -> Result<std::optional<Claimed>> {
    TRY(auto found, first(tx));
    if (!found) return std::nullopt;  // another worker was quicker
    auto job = *std::move(found);
    const auto now = env_.clock.now();
    job.state = JobState::running;
    job.attempts += 1;
    job.token += 1;
    job.worker = worker;
    job.lease = lease;
    job.started_at = job.heard_at = now;
    job.progress.reset();
    TRY_VOID(
        tx.exec("UPDATE flow_jobs SET state = 'running', attempts = $2, token = $3, worker = $4, lease_us = $5, "
                "started_at = $6, "
                "heard_at = $6, progress = NULL WHERE id = $1",
                {job.id, job.attempts, job.token, worker, micros(lease), value(now)}));
    TRY_VOID(record(tx, job.id, "claimed", job.token, worker,
                    "attempt " + std::to_string(job.attempts) + (job.checkpoint ? " from its checkpoint" : "")));
    Lease held{job.id, job.token, worker};
    TRY_VOID(env_.faults.reach("flow.claim.before_commit"));
    return Claimed{job, std::move(held), job.attempts};
  }));
  if (!claimed) return claimed;
  TRY_VOID(env_.faults.reach("flow.claim.after_commit"));
  saw(claimed->lease, true);
  return claimed;
}

Result<Beat> Jobs::heartbeat(const Lease& lease, const std::optional<std::string>& progress,
                             const std::optional<std::string>& checkpoint,
                             const std::function<Result<void>(meta::Tx&)>& effects) {
  const auto look = [&](meta::Reader& reader) -> Result<Job> {
    TRY(auto job, find(reader, lease.job));
    if (judge_lease(job.state, job.token, lease.token) == LeaseVerdict::valid) return job;
    return millrace::fail(Code::aborted, "flow.lease_lost",
                          "job " + lease.job + " is no longer " + lease.worker + "'s (token " +
                              std::to_string(lease.token) + ", the newest is " + std::to_string(job.token) +
                              "; it is " + std::string(to_text(job.state)) + ")");
  };
  Result<Job> job = store_.read(look);
  if (job && (progress || checkpoint || effects)) {
    job = store_.write([&](meta::Tx& tx) -> Result<Job> {
      TRY(auto seen, look(tx));
      TRY_VOID(
          tx.exec("UPDATE flow_jobs SET heard_at = $2, progress = COALESCE($3, progress), checkpoint = COALESCE($4, "
                  "checkpoint) "
                  "WHERE id = $1",
                  {seen.id, value(env_.clock.now()), value(progress), value(checkpoint)}));
      if (checkpoint) TRY_VOID(record(tx, seen.id, "checkpoint", lease.token, lease.worker, ""));
      if (effects) TRY_VOID(effects(tx));
      TRY_VOID(env_.faults.reach("flow.heartbeat.before_commit"));
      return seen;
    });
    if (job) TRY_VOID(env_.faults.reach("flow.heartbeat.after_commit"));
  }
  if (!job) return millrace::fail(std::move(job).error());
  saw(lease, false);
  return Beat{job->cancel_by.has_value()};
}

Result<void> Jobs::complete(const Lease& lease, const std::string& result,
                            const std::function<Result<void>(meta::Tx&)>& effects) {
  TRY(auto settled, store_.write([&](meta::Tx& tx) -> Result<Settled> {
    TRY(auto job, find(tx, lease.job));
    switch (judge_lease(job.state, job.token, lease.token)) {
      case LeaseVerdict::repeated:
        return Settled{false, job.state};
      case LeaseVerdict::stale:
        TRY_VOID(refuse(tx, job, lease, "its result"));
        return Settled{true, job.state};
      case LeaseVerdict::valid:
        break;
    }
    if (effects) TRY_VOID(effects(tx));
    TRY_VOID(env_.faults.reach("flow.complete.before_commit"));
    TRY_VOID(end(tx, job, JobState::done, result, {}));
    return Settled{false, JobState::done};
  }));
  if (settled.refused) return millrace::fail(stale(lease));
  return env_.faults.reach("flow.complete.after_commit");
}

Result<JobState> Jobs::fail(const Lease& lease, const Failure& failure, bool retryable) {
  const auto jitter = env_.rng.unit();
  auto failed = store_.write_urgent([&](meta::Tx& tx) -> Result<Settled> {
    TRY(auto job, find(tx, lease.job));
    if (judge_lease(job.state, job.token, lease.token) != LeaseVerdict::valid) {
      TRY_VOID(refuse(tx, job, lease, "its failure (" + failure_note(failure) + ")"));
      return Settled{true, job.state};
    }
    if (job.cancel_by) {
      TRY_VOID(end(tx, job, JobState::cancelled, {}, {}));
      return Settled{false, JobState::cancelled};
    }
    const auto pause = next_attempt(job.attempts, job.attempts_max, retryable, config_.retry, jitter);
    if (!pause) {
      TRY_VOID(end(tx, job, JobState::failed, {}, failure));
      return Settled{false, JobState::failed};
    }
    // Before the commit: nobody finds the job queued and not paused.
    {
      const std::lock_guard lock(seen_mutex_);
      pauses_[job.id] = env_.clock.steady() + *pause;
    }
    TRY_VOID(requeue(tx, job, failure, job.attempts));
    TRY_VOID(record(
        tx, job.id, "retry", job.token, lease.worker,
        "again in " + format_duration(std::chrono::ceil<std::chrono::seconds>(*pause)) + ": " + failure_note(failure)));
    TRY_VOID(env_.faults.reach("flow.fail.before_commit"));
    return Settled{false, JobState::queued};
  });
  if (!failed || failed->refused || failed->state != JobState::queued) {
    const std::lock_guard lock(seen_mutex_);
    pauses_.erase(lease.job);
  }
  TRY(const auto settled, std::move(failed));
  if (settled.refused) return millrace::fail(stale(lease));
  TRY_VOID(env_.faults.reach("flow.fail.after_commit"));
  return settled.state;
}

Result<void> Jobs::give_back(const Lease& lease, const std::optional<std::string>& checkpoint) {
  TRY(auto settled, store_.write_urgent([&](meta::Tx& tx) -> Result<Settled> {
    TRY(auto job, find(tx, lease.job));
    if (judge_lease(job.state, job.token, lease.token) != LeaseVerdict::valid) {
      TRY_VOID(refuse(tx, job, lease, "giving it back"));
      return Settled{true, job.state};
    }
    if (checkpoint) TRY_VOID(tx.exec("UPDATE flow_jobs SET checkpoint = $2 WHERE id = $1", {job.id, *checkpoint}));
    if (job.cancel_by) {
      TRY_VOID(end(tx, job, JobState::cancelled, {}, {}));
    } else {
      TRY_VOID(requeue(tx, job, job.failure, job.attempts - 1));
      TRY_VOID(record(tx, job.id, "given_back", job.token, lease.worker, ""));
    }
    TRY_VOID(env_.faults.reach("flow.give_back.before_commit"));
    return Settled{};
  }));
  if (settled.refused) return millrace::fail(stale(lease));
  return env_.faults.reach("flow.give_back.after_commit");
}

// ---- for the server ----

void Jobs::saw(const Lease& lease, bool claimed) {
  const auto now = env_.clock.steady();
  const std::lock_guard lock(seen_mutex_);
  auto& seen = seen_[lease.job];
  if (lease.token < seen.token) return;
  if (claimed || lease.token > seen.token) seen.claimed = now;
  seen.token = lease.token;
  seen.heard = now;
}

std::map<std::string, Duration, std::less<>> Jobs::pauses_left() {
  const auto now = env_.clock.steady();
  const std::lock_guard lock(seen_mutex_);
  std::erase_if(pauses_, [&](const auto& pause) { return pause.second <= now; });
  std::map<std::string, Duration, std::less<>> out;
  for (const auto& [job, until] : pauses_) out.emplace(job, until - now);
  return out;
}

Result<std::vector<Watched>> Jobs::watched() {
  TRY(auto running,
      store_.read([&](meta::Reader& reader) { return reader.query(select_jobs("WHERE state = 'running'")); }));
  const auto now = env_.clock.steady();
  const std::lock_guard lock(seen_mutex_);
  std::map<std::string, Seen, std::less<>> still;
  std::vector<Watched> out;
  for (const auto& row : running) {
    const auto job = read_job(row);
    const auto known = seen_.find(job.id);
    // Not known: claimed before this server began, so watching begins now.
    const auto seen =
        known != seen_.end() && known->second.token >= job.token ? known->second : Seen{job.token, now, now};
    still.emplace(job.id, seen);
    out.push_back({job.id, job.token, seen.heard, seen.claimed, job.lease, job.timeout, job.attempts, job.attempts_max,
                   job.cancel_by.has_value()});
  }
  seen_ = std::move(still);
  return out;
}

Result<int> Jobs::expire() {
  TRY(auto running, watched());
  int taken = 0;
  for (const auto& expiry : what_to_expire(running, env_.clock.steady())) {
    TRY(auto job, find(expiry.id));
    const bool late = expiry.action == ExpiryAction::fail_time;
    const auto why = late ? "not finished within " + format_duration(job.timeout)
                          : "worker " + job.worker.value_or("?") + " last heard " +
                                format_time(job.heard_at.value_or(job.queued_at));
    TRY(auto took, expire_one(expiry, late ? "timed_out" : "lost", why));
    taken += took ? 1 : 0;
  }
  return taken;
}

Result<int> Jobs::worker_gone(const std::string& worker) {
  TRY(auto rows, store_.read([&](meta::Reader& reader) {
    return reader.query(select_jobs("WHERE state = 'running' AND worker = $1"), {worker});
  }));
  int taken = 0;
  for (const auto& row : rows) {
    const auto job = read_job(row);
    const Watched ended{job.id, job.token, {}, {}, {}, {}, job.attempts, job.attempts_max, job.cancel_by.has_value()};
    const auto expiry = what_to_expire({&ended, 1}, {});
    TRY(auto took, expire_one(expiry.at(0), "lost", "worker " + worker + " is gone"));
    taken += took ? 1 : 0;
  }
  return taken;
}

Result<bool> Jobs::expire_one(const Expiry& expiry, std::string_view what, const std::string& why) {
  TRY(auto taken, store_.write_urgent([&](meta::Tx& tx) -> Result<bool> {
    TRY(auto job, find(tx, expiry.id));
    if (judge_lease(job.state, job.token, expiry.token) != LeaseVerdict::valid) return false;  // it finished meanwhile
    const Failure failure{expiry.action == ExpiryAction::fail_time ? FailureKind::time : FailureKind::lost, why, ""};
    TRY_VOID(record(tx, job.id, what, job.token, job.worker.value_or(""), why));
    switch (expiry.action) {
      case ExpiryAction::requeue:
        TRY_VOID(requeue(tx, job, failure, job.attempts));
        break;
      case ExpiryAction::cancel:
        TRY_VOID(end(tx, job, JobState::cancelled, {}, failure));
        break;
      case ExpiryAction::fail_lost:
      case ExpiryAction::fail_time:
        TRY_VOID(end(tx, job, JobState::failed, {}, failure));
        break;
    }
    env_.log.warn("job_taken_away", {{"job", job.id}, {"kind", job.kind}, {"what", what}, {"why", why}});
    TRY_VOID(env_.faults.reach("flow.recover.before_commit"));
    return true;
  }));
  TRY_VOID(env_.faults.reach("flow.recover.after_commit"));
  return taken;
}

// ---- steps of the above, inside a transaction ----

Result<void> Jobs::end(meta::Tx& tx, const Job& job, JobState state, const std::optional<std::string>& result,
                       const std::optional<Failure>& failure) {
  TRY_VOID(tx.exec(
      "UPDATE flow_jobs SET state = $2, ended_at = $3, result = $4, failure_kind = $5, failure_message = $6, "
      "failure_detail = $7 WHERE id = $1",
      {job.id, std::string(to_text(state)), value(env_.clock.now()), value(result), maybe_kind(failure),
       maybe(failure, &Failure::message, message_bytes_max), maybe(failure, &Failure::detail, detail_bytes_max)}));
  TRY_VOID(
      record(tx, job.id, to_text(state), job.token, job.worker.value_or(""), failure ? failure_note(*failure) : ""));
  return tx.emit({"job." + std::string(to_text(state)), job.id, event_payload(job, state)});
}

Result<void> Jobs::requeue(meta::Tx& tx, const Job& job, const std::optional<Failure>& failure, int attempts) {
  TRY_VOID(tx.exec(
      "UPDATE flow_jobs SET state = 'queued', run_after = $2, attempts = $3, failure_kind = $4, failure_message = $5, "
      "failure_detail = $6 WHERE id = $1",
      {job.id, value(TimePoint()), attempts, maybe_kind(failure), maybe(failure, &Failure::message, message_bytes_max),
       maybe(failure, &Failure::detail, detail_bytes_max)}));
  return tx.emit({"job.queued", job.id, event_payload(job, JobState::queued)});
}

Result<void> Jobs::record(meta::Tx& tx, const std::string& id, std::string_view what, std::int64_t token,
                          const std::string& worker, const std::string& note) {
  TRY_VOID(
      tx.exec("INSERT INTO flow_job_events (job, n, at, what, token, worker, note) VALUES "
              "($1, (SELECT COALESCE(MAX(n), 0) + 1 FROM flow_job_events WHERE job = $1), $2, $3, $4, $5, $6)",
              {id, value(env_.clock.now()), std::string(what), token, worker, tail(note, message_bytes_max)}));
  return {};
}

Result<void> Jobs::refuse(meta::Tx& tx, const Job& job, const Lease& lease, std::string_view what) {
  const auto note = std::string(what) + " came with token " + std::to_string(lease.token) + ", the newest is " +
                    std::to_string(job.token) + " and the job is " + std::string(to_text(job.state));
  env_.log.warn("job_token_refused",
                {{"job", job.id}, {"worker", lease.worker}, {"token", lease.token}, {"newest", job.token}});
  return record(tx, job.id, "refused", lease.token, lease.worker, note);
}

Error Jobs::stale(const Lease& lease) const {
  return {Code::aborted, "flow.stale_token",
          "job " + lease.job + " was taken from " + lease.worker +
              " or is over; this result was not used, nothing was changed"};
}

// ---- for people ----

Result<Job> Jobs::find(meta::Reader& reader, std::string_view id) const {
  TRY(auto row, reader.query_one(select_jobs("WHERE id = $1"), {std::string(id)}));
  if (!row) return millrace::fail(Code::not_found, "flow.no_job", "there is no job " + std::string(id));
  return read_job(*row);
}

Result<Job> Jobs::find(std::string_view id) const {
  return store_.read([&](meta::Reader& reader) { return find(reader, id); });
}

Result<std::vector<Job>> Jobs::list(meta::Reader& reader, const JobFilter& filter) const {
  meta::Params params;
  std::string where;
  const auto equal = [&](const char* column, const std::optional<std::string>& wanted) {
    if (!wanted) return;
    params.emplace_back(*wanted);
    where += (where.empty() ? "WHERE " : " AND ") + std::string(column) + " = $" + std::to_string(params.size());
  };
  equal("state", filter.state ? std::optional(std::string(to_text(*filter.state))) : std::nullopt);
  equal("kind", filter.kind);
  equal("pipeline_run", filter.pipeline_run);
  if (filter.run_key) {
    params.emplace_back(*filter.run_key);
    where += (where.empty() ? "WHERE" : " AND") +
             std::string(" pipeline_run IN (SELECT id FROM flow_pipeline_runs WHERE run_key = $") +
             std::to_string(params.size()) + ")";
  }
  params.emplace_back(static_cast<std::int64_t>(filter.max));
  TRY(auto rows,
      reader.query(select_jobs(where + " ORDER BY id DESC LIMIT $" + std::to_string(params.size())), params));
  std::vector<Job> out;
  for (const auto& row : rows) out.push_back(read_job(row));
  return out;
}

Result<std::vector<Job>> Jobs::list(const JobFilter& filter) const {
  return store_.read([&](meta::Reader& reader) { return list(reader, filter); });
}

Result<std::vector<JobEvent>> Jobs::history(meta::Reader& reader, std::string_view id) const {
  TRY(auto rows, reader.query("SELECT at, what, token, worker, note FROM flow_job_events WHERE job = $1 ORDER BY n",
                              {std::string(id)}));
  std::vector<JobEvent> out;
  for (const auto& row : rows) out.push_back({row.time(0), row.text(1), row.integer(2), row.text(3), row.text(4)});
  return out;
}

Result<std::vector<JobEvent>> Jobs::history(std::string_view id) const {
  return store_.read([&](meta::Reader& reader) { return history(reader, id); });
}

}  // namespace millrace::flow
