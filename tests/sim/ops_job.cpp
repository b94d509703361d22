// Jobs under leases, with the smallest effect there is: workers that finish, fail, fall silent and come back late.
#include "loop/service.hpp"
#include "sim/facts.hpp"
#include "sim/sim.hpp"

namespace millrace::simulator {

namespace {

constexpr std::string_view chore = "chore";

void ask(Sim& sim) {
  flow::NewJob job;
  job.kind = chore;
  if (sim.one_in(3)) job.key = "key-" + std::to_string(sim.below(4));
  job.cause = sim.unique("cause");
  job.priority = static_cast<int>(sim.below(3));
  job.attempts_max = 1 + static_cast<int>(sim.below(4));
  if (sim.one_in(4)) job.timeout = std::chrono::seconds(20 + sim.below(60));
  const auto id = sim.m().jobs->enqueue(job);
  if (!id) {
    sim.asked.unknown({job.cause});
    return sim.failed("ask", id.error());
  }
  const auto made = sim.m().jobs->find(*id);
  if (!made) {  // answered, and a fault keeps it from being read: one of its key, or this one
    sim.asked.unknown({job.cause});
    return sim.failed("ask", made.error());
  }
  if (made->cause == job.cause)
    sim.asked.acknowledged(job.cause);
  else if (job.key.empty() || made->key != job.key || flow::is_over(made->state))
    return sim.say("jobs: the answer to a question is another job");
  sim.note("ask", *id);
}

void claim(Sim& sim) {
  if (sim.attempts.size() >= 6) sim.attempts.erase(sim.attempts.begin());
  const auto worker = "w" + std::to_string(sim.below(3));
  const auto claimed = sim.m().jobs->claim(worker, {std::string(chore)}, std::chrono::seconds(2 + sim.below(30)));
  if (!claimed) return sim.failed("claim", claimed.error());
  if (!*claimed) return;
  const auto& job = (*claimed)->job;
  sim.say(sim.jobs.claimed(job));
  sim.attempts.push_back({{worker, job.id, job.token, job.kind}});
  sim.note("claim", effect_fact(job.id, job.token));
}

// Any attempt at a chore, late ones too.
Attempt* some_attempt(Sim& sim) {
  std::vector<Attempt*> own;
  for (auto& one : sim.attempts) {
    if (one.lease.kind == chore) own.push_back(&one);
  }
  return own.empty() ? nullptr : own[sim.below(own.size())];
}

flow::Lease lease_of(const Attempt& attempt) { return {attempt.lease.job, attempt.lease.token, attempt.lease.worker}; }

void forget(Sim& sim, const Attempt& attempt) {
  if (sim.one_in(3)) return;  // it goes on believing, and comes back late
  std::erase_if(sim.attempts, [&](const Attempt& one) { return &one == &attempt; });
}

Result<void> complete_with(Sim& sim, const flow::Lease& lease) {
  return sim.m().jobs->complete(lease, "{\"done\":1}", [&](meta::Tx& tx) -> Result<void> {
    TRY_VOID(tx.exec("INSERT INTO sim_effects (job, token) VALUES ($1, $2)", {lease.job, lease.token}));
    return {};
  });
}

void complete(Sim& sim) {
  auto* attempt = some_attempt(sim);
  if (attempt == nullptr) return;
  const auto lease = lease_of(*attempt);
  const auto fact = effect_fact(lease.job, lease.token);
  const auto before = sim.m().jobs->find(lease.job);
  const bool known = before.has_value();
  const bool valid = known && holds(*before, lease.token);
  const bool repeated = known && before->state == flow::JobState::done && before->token == lease.token;
  auto used = lease;
  if (sim.has(Plant::commit_without_token) && known) used.token = before->token;
  const auto done = complete_with(sim, used);
  if (done) {
    if (known && !valid && !repeated) return sim.say("jobs: a stale token committed: " + fact);
    sim.effects.acknowledged(fact);
    sim.note("complete", fact);
    return forget(sim, *attempt);
  }
  if (done.error().reason == "flow.stale_token") {
    sim.effects.refused(fact);
    sim.refused("complete " + fact, done.error(), !valid);
    return forget(sim, *attempt);
  }
  if (done.error().reason == "flow.no_job" && !known) return forget(sim, *attempt);
  if (!known || valid) sim.effects.unknown({fact});
  sim.failed("complete " + fact, done.error());
}

void beat(Sim& sim) {
  auto* attempt = some_attempt(sim);
  if (attempt == nullptr) return;
  const auto lease = lease_of(*attempt);
  const auto before = sim.m().jobs->find(lease.job);
  const auto text = sim.one_in(2) ? std::optional<std::string>(sim.unique("checkpoint")) : std::nullopt;
  const auto done = sim.m().jobs->heartbeat(lease, {}, text);
  if (done) {
    if (before && !holds(*before, lease.token)) sim.say("jobs: a heartbeat of a lost lease was taken");
    return;
  }
  if (done.error().reason == "flow.lease_lost") {
    sim.refused("heartbeat", done.error(), !before || !holds(*before, lease.token));
    return forget(sim, *attempt);
  }
  if (done.error().reason == "flow.no_job" && !before) return;
  sim.failed("heartbeat", done.error());
}

// It fails, or its worker stops in good order.
void leave(Sim& sim) {
  auto* attempt = some_attempt(sim);
  if (attempt == nullptr) return;
  const auto lease = lease_of(*attempt);
  const auto before = sim.m().jobs->find(lease.job);
  Result<void> done;
  if (sim.one_in(2)) {
    const auto state = sim.m().jobs->fail(lease, {flow::FailureKind::code, "simulated", ""}, !sim.one_in(3));
    if (!state) done = millrace::fail(state.error());
  } else {
    done = sim.m().jobs->give_back(lease);
  }
  if (done && before && !holds(*before, lease.token)) return sim.say("jobs: the end of a lost lease was taken");
  if (!done && done.error().reason == "flow.stale_token") {
    sim.refused("leave", done.error(), !before || !holds(*before, lease.token));
  } else if (!done && done.error().reason == "flow.no_job" && !before) {
  } else if (!done) {
    return sim.failed("leave", done.error());
  }
  forget(sim, *attempt);
}

void cancel(Sim& sim) {
  const auto jobs = sim.m().jobs->list({.state = flow::JobState::queued, .kind = std::string(chore), .max = 5});
  if (!jobs) return sim.failed("cancel", jobs.error());
  if (jobs->empty()) return;
  const auto done = sim.m().jobs->cancel((*jobs)[sim.below(jobs->size())].id, "somebody");
  if (!done) sim.failed("cancel", done.error());
}

void expire(Sim& sim) {
  if (sim.one_in(4)) {
    const auto taken = sim.m().jobs->worker_gone("w" + std::to_string(sim.below(3)));
    if (!taken) return sim.failed("worker gone", taken.error());
    return;
  }
  if (sim.one_in(3)) sim.world.clock.advance(std::chrono::seconds(sim.below(60)));
  const auto taken = sim.m().jobs->expire();
  if (!taken) return sim.failed("expire", taken.error());
  if (*taken > 0) sim.note("expire", std::to_string(*taken));
}

constexpr Operation operations[] = {{"ask", 8, ask},      {"claim", 8, claim}, {"complete", 10, complete},
                                    {"beat", 4, beat},    {"leave", 4, leave}, {"cancel", 1, cancel},
                                    {"expire", 6, expire}};

}  // namespace

std::span<const Operation> job_operations() { return operations; }

}  // namespace millrace::simulator
