// Jobs, true in meta: asked for, claimed under a lease with a fencing token, finished once.
//
// A job may run twice; its effects are committed once. Each claim gets a token higher than any before it of that job,
// and only the newest may finish: a worker that was stopped and comes back late is refused, and the refusal is written
// down.
//
// Leases are measured by the steady clock of the server that owns the metadata, from the last sign of life that it got;
// so a jump of the calendar ends no lease, and after a restart of the server each running job has one full lease from
// then on. What is stored of them (heard_at) is for people. The pause after a failed attempt runs by the steady clock
// too; a restart of the server ends it (attempts are bounded). Only run_after, "not before" as asked, is calendar;
// what was asked for at once is due at once, also after the calendar was set back.
//
// Events: job.queued, job.done, job.failed, job.cancelled; key = the job's id, payload {id, kind, key, state,
// pipeline_run, step}. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/env.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "flow/decide.hpp"
#include "flow/job.hpp"
#include "meta/meta.hpp"

namespace millrace::flow {

std::vector<meta::Migration> migrations();

// The right to work on a job, until it is lost.
struct Lease {
  std::string job;
  std::int64_t token = 0;
  std::string worker;
};

struct Claimed {
  Job job;
  Lease lease;
  int attempt = 0;  // from 1
};

struct Beat {
  bool cancel_asked = false;  // stop, then fail() with whatever cause
};

struct JobFilter {
  std::optional<JobState> state;
  std::optional<std::string> kind;
  std::optional<std::string> pipeline_run;
  std::optional<std::string> run_key;  // of the pipeline runs that the jobs belong to
  std::size_t max = 100;
};

struct JobsConfig {
  RetryPolicy retry;
  Duration lease_min = std::chrono::seconds(1);
};

class Jobs {
 public:
  Jobs(Env env, meta::Store& store, JobsConfig config = {});

  // ---- for those who want work done ----

  // In the caller's transaction. The id of the new job, or of the unfinished one with that kind and key.
  Result<std::string> enqueue(meta::Tx& tx, const NewJob& job);
  Result<std::string> enqueue(const NewJob& job);
  // A queued job is over at once; a running one is told at its next heartbeat. Over already: nothing happens.
  // not_found `flow.no_job`.
  Result<void> cancel(meta::Tx& tx, std::string_view id, std::string_view by);
  Result<void> cancel(std::string_view id, std::string_view by);

  // ---- for workers ----

  // The first queued job of these kinds that may run now: by priority, then by age. Nothing when there is none.
  Result<std::optional<Claimed>> claim(const std::string& worker, const std::vector<std::string>& kinds,
                                       Duration lease);
  // A sign of life. Progress (JSON) and checkpoint are stored when given, in one transaction with `effects`: what an
  // attempt that goes on from the checkpoint will not tell again. Without any of them it costs no write.
  // aborted `flow.lease_lost`: stop the work, its outcome would be refused.
  Result<Beat> heartbeat(const Lease& lease, const std::optional<std::string>& progress = {},
                         const std::optional<std::string>& checkpoint = {},
                         const std::function<Result<void>(meta::Tx&)>& effects = {});
  // Finishes the job: `effects` and the completion are one transaction. An error of `effects` undoes both and the job
  // goes on running. Repeating after success changes nothing. aborted `flow.stale_token` when the token is not the
  // newest of a running job: nothing was changed but a line in the job's history.
  Result<void> complete(const Lease& lease, const std::string& result,
                        const std::function<Result<void>(meta::Tx&)>& effects = {});
  // The attempt ended badly: tried again after a pause when that makes sense, else failed; cancelled when that was
  // asked. aborted `flow.stale_token` as above. The answer is the job's state after it.
  Result<JobState> fail(const Lease& lease, const Failure& failure, bool retryable);
  // The worker stops in good order: queued again from the checkpoint, and the attempt does not count.
  Result<void> give_back(const Lease& lease, const std::optional<std::string>& checkpoint = {});

  // ---- for the server ----

  // Takes jobs away from workers that were not heard of for a lease: queued again from the last checkpoint, or failed
  // when attempts are used up; past their timeout, failed. Call it about every second. How many it took.
  Result<int> expire();
  // The worker is known to be gone (its process ended, or another one with its name begins): its leases end now.
  Result<int> worker_gone(const std::string& worker);
  // Jobs that wait after a failed attempt, by id, and how much longer.
  std::map<std::string, Duration, std::less<>> pauses_left();

  // ---- for people: with any Reader, a transaction too ----

  Result<Job> find(meta::Reader& reader, std::string_view id) const;  // not_found `flow.no_job`
  Result<Job> find(std::string_view id) const;
  Result<std::vector<Job>> list(meta::Reader& reader, const JobFilter& filter = {}) const;  // newest first
  Result<std::vector<Job>> list(const JobFilter& filter = {}) const;
  Result<std::vector<JobEvent>> history(meta::Reader& reader, std::string_view id) const;  // oldest first
  Result<std::vector<JobEvent>> history(std::string_view id) const;

 private:
  struct Seen {
    std::int64_t token = 0;
    SteadyPoint heard{};
    SteadyPoint claimed{};
  };
  struct Settled {  // what became of a call that may be refused inside of a committed transaction
    bool refused = false;
    JobState state = JobState::running;
  };

  void saw(const Lease& lease, bool claimed);
  Result<std::vector<Watched>> watched();
  Result<bool> expire_one(const Expiry& expiry, std::string_view what, const std::string& why);
  Result<void> end(meta::Tx& tx, const Job& job, JobState state, const std::optional<std::string>& result,
                   const std::optional<Failure>& failure);
  Result<void> requeue(meta::Tx& tx, const Job& job, const std::optional<Failure>& failure, int attempts);
  Result<void> record(meta::Tx& tx, const std::string& id, std::string_view what, std::int64_t token,
                      const std::string& worker, const std::string& note);
  Result<void> refuse(meta::Tx& tx, const Job& job, const Lease& lease, std::string_view what);
  Error stale(const Lease& lease) const;

  Env env_;
  meta::Store& store_;
  const JobsConfig config_;
  IdMaker ids_;
  std::mutex seen_mutex_;
  std::map<std::string, Seen, std::less<>> seen_;           // running jobs, by id
  std::map<std::string, SteadyPoint, std::less<>> pauses_;  // until when, after a failed attempt, by id
};

}  // namespace millrace::flow
