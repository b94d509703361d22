// The loop itself: data comes in, trainings start, workers take their jobs through, the server looks at what is due.
#include "loop/records.hpp"
#include "loop/service.hpp"
#include "sim/facts.hpp"
#include "sim/worker.hpp"

namespace millrace::simulator {

namespace {

std::vector<std::string> loop_kinds() {
  namespace kind = loop::job_kind;
  std::vector<std::string> out;
  for (const auto one : {kind::ingest, kind::assemble, kind::train, kind::evaluate, kind::live, kind::roll})
    out.emplace_back(one);
  return out;
}

bool is_loop(const Attempt& attempt) { return attempt.lease.kind != "chore"; }

void ingest(Sim& sim) {
  std::string content;
  if (!sim.raw.empty() && sim.one_in(4)) {
    content = sim.raw[sim.below(sim.raw.size())];  // the same file again
  } else {
    content = sim.unique("raw") + std::string(sim.below(2'000), 'r');
    sim.raw.push_back(content);
  }
  const auto stored = sim.m().blobs->put(content);
  if (!stored) {
    sim.blobs.perhaps_stored(content);
    return sim.failed("ingest", stored.error());
  }
  sim.blobs.stored(content, sim.now());
  const auto by = sim.unique("person");
  const auto cause = "by hand: " + by;
  const auto job = sim.m().service->ingest(std::string(source_name), stored->digest.hex(), "file", by);
  if (!job) {
    sim.asked.unknown({cause});
    return sim.failed("ingest", job.error());
  }
  const auto made = sim.m().jobs->find(*job);
  if (!made) {
    sim.asked.unknown({cause});
    return sim.failed("ingest", made.error());
  }
  if (made->cause == cause) sim.asked.acknowledged(cause);
  sim.note("ingest", *job);
}

void start_training(Sim& sim) {
  const auto cause = sim.unique("rule");
  const auto run = sim.m().service->start_training(cause, cause, {});
  if (run) {
    sim.trainings.acknowledged(cause);
    return sim.note("training", *run);
  }
  const auto& reason = run.error().reason;
  if (reason == "loop.run_under_way" || reason == "loop.no_data") {
    sim.trainings.refused(cause);
    return sim.note("training", reason);
  }
  sim.trainings.unknown({cause});
  sim.failed("training", run.error());
}

void claim(Sim& sim) {
  if (sim.attempts.size() >= 6) sim.attempts.erase(sim.attempts.begin());
  const auto claimed = sim.m().service->claim("w" + std::to_string(sim.below(3)), loop_kinds());
  if (!claimed) return sim.failed("claim", claimed.error());
  if (!*claimed) return;
  sim.attempts.push_back({**claimed});
  sim.note("claim " + (*claimed)->kind, effect_fact((*claimed)->job, (*claimed)->token));
}

// What the completion of an evaluation leaves in the registry, as the rules say.
void expect_evaluation(Sim& sim, const Worked& worked, const std::string& rule, bool answered) {
  const auto number = sim.release.newest() + 1;
  std::vector<std::string> moves;
  const auto current = sim.release.current;
  const bool same_opponent = current.value_or(0) == worked.opponent;
  const bool same_bytes = current && worked.artifact == worked.opponent_artifact;
  const bool moved = worked.passed && same_opponent && !same_bytes;
  if (moved) {
    if (current) moves.push_back(move_fact(registry::previous_alias, *current, "rule: " + rule));
    moves.push_back(move_fact(registry::current_alias, number, "rule: " + rule));
  }
  const auto version = version_fact(worked.run, worked.artifact);
  if (!answered) {
    sim.versions.unknown({version});
    sim.moves.unknown(moves);
    return;
  }
  sim.versions.acknowledged(version);
  for (const auto& fact : moves) sim.moves.acknowledged(fact);
  sim.release.versions[number] = {worked.run, worked.passed, false, true, worked.artifact};
  if (moved) {
    if (current) sim.release.previous = current;
    sim.release.current = number;
  }
}

void expect(Sim& sim, const train::JobLease& lease, const Worked& worked, const std::string& rule, bool answered) {
  if (lease.kind == loop::job_kind::ingest && !worked.part.empty())
    answered ? sim.parts.acknowledged(worked.part) : sim.parts.unknown({worked.part});
  if (lease.kind == loop::job_kind::evaluate) expect_evaluation(sim, worked, rule, answered);
}

// The rule that a run names; "" for other jobs.
Result<std::string> rule_of(Sim& sim, const std::string& run) {
  if (run.empty()) return std::string();
  return sim.m().store->read([&](meta::Reader& reader) -> Result<std::string> {
    TRY(const auto training, loop::training_of(reader, run));
    if (!training) return std::string();
    TRY(const auto plan, loop::parse_plan(training->plan));
    return plan.rule;
  });
}

void drop(Sim& sim, const train::JobLease& lease, bool for_good) {
  if (!for_good && sim.one_in(4)) return;  // it comes back late
  std::erase_if(sim.attempts,
                [&](const Attempt& one) { return one.lease.job == lease.job && one.lease.token == lease.token; });
}

// ---- planted faults

void remove_segments(Sim& sim, const train::JobLease& lease) {
  const auto job = loop::parse_job<loop::RollJob>(lease.input);
  if (!job) return;
  const auto segments = serve::list_segments(sim.world.disk, job->dir, job->after);
  if (!segments) return;
  for (const auto& one : *segments) {
    if (one.number <= job->through) (void)sim.world.disk.remove(one.path);
  }
}

std::string passed_text(const std::string& text) {
  auto result = loop::parse_job<loop::EvaluateResult>(text);
  if (!result) return text;
  result->passed = true;
  return loop::render_job(*result);
}

Result<void> fail_newest(Sim& sim) {
  return sim.m().store->write([&](meta::Tx& tx) -> Result<void> {
    TRY_VOID(
        tx.exec("UPDATE registry_versions SET verdict = 'failed' WHERE number = (SELECT MAX(number) FROM "
                "registry_versions)"));
    return {};
  });
}

Result<void> write_late(Sim& sim) {
  for (const auto& content : std::exchange(sim.late_blobs, {})) {
    const auto done = sim.m().job_blobs->put(content);
    sim.blobs.perhaps_stored(content);
    if (!done) return fail(done.error());
    sim.blobs.stored(content, sim.now());
  }
  return {};
}

void finish(Sim& sim, const train::JobLease lease) {
  const auto before = sim.m().jobs->find(lease.job);
  if (!before) {
    if (before.error().reason == "flow.no_job") return drop(sim, lease, true);
    return sim.failed("finish", before.error());
  }
  const bool valid = holds(*before, lease.token);
  const bool repeated = before->state == flow::JobState::done && before->token == lease.token;
  const auto worked = work(sim, lease);
  if (!worked) {
    if (!valid) return drop(sim, lease, true);  // what it needs may be gone
    return sim.failed("work at " + lease.kind, worked.error());
  }
  const auto rule = rule_of(sim, worked->run);
  if (!rule) return sim.failed("finish", rule.error());
  if (sim.has(Plant::segment_removed_before_commit) && lease.kind == loop::job_kind::roll) remove_segments(sim, lease);
  auto result = worked->result;
  const bool early = sim.has(Plant::alias_before_verdict) && lease.kind == loop::job_kind::evaluate && !worked->passed;
  if (early) result = passed_text(result);
  auto done = sim.m().service->complete(lease, result, {});
  if (early && done) done = fail_newest(sim);
  if (auto late = write_late(sim); !late && done) done = late;
  const auto what = "finish " + lease.kind;
  if (done) {
    if (!valid && !repeated) return sim.say("jobs: a stale token committed: " + effect_fact(lease.job, lease.token));
    if (valid) expect(sim, lease, *worked, *rule, true);
    sim.note(what, effect_fact(lease.job, lease.token));
    return drop(sim, lease, false);
  }
  const auto& reason = done.error().reason;
  if (reason == "flow.stale_token") {
    sim.refused(what, done.error(), !valid);
    return drop(sim, lease, true);
  }
  if (reason == "data.parent_moved" && valid) {  // somebody else's rows came first
    sim.note(what, reason);
    const auto given_up = sim.m().service->fail(lease, {"data", "read again", false}, {});
    if (!given_up) sim.failed(what, given_up.error());
    return drop(sim, lease, true);
  }
  if (valid) expect(sim, lease, *worked, *rule, false);
  sim.failed(what, done.error());
}

void work_on(Sim& sim) {
  std::vector<Attempt*> own;
  for (auto& one : sim.attempts) {
    if (is_loop(one)) own.push_back(&one);
  }
  if (own.empty()) return claim(sim);
  auto& attempt = *own[sim.below(own.size())];
  const auto lease = attempt.lease;
  switch (sim.below(12)) {
    case 0: {
      const auto done = sim.m().service->give_back(lease, "");
      if (!done && done.error().reason != "flow.stale_token" && done.error().reason != "flow.no_job")
        return sim.failed("give back", done.error());
      return drop(sim, lease, false);
    }
    case 1: {
      const auto done = sim.m().service->fail(lease, {"code", "simulated", true}, {});
      if (!done && done.error().reason != "flow.stale_token" && done.error().reason != "flow.no_job")
        return sim.failed("fail", done.error());
      return drop(sim, lease, false);
    }
    case 2:
    case 3: {  // a checkpoint: stored, then named
      const auto digest = store_as_job(sim, sim.unique("checkpoint"));
      if (!digest) return sim.failed("checkpoint", digest.error());
      attempt.lease.checkpoint.clear();  // whoever made a newer one has read it, and the record names the newer one
      const auto beat = sim.m().service->heartbeat(lease, {{}, digest->hex()});
      if (const auto late = write_late(sim); !late) return sim.failed("checkpoint", late.error());
      if (!beat && beat.error().reason != "flow.lease_lost" && beat.error().reason != "flow.no_job")
        return sim.failed("checkpoint", beat.error());
      return;
    }
    case 4:
      return;  // silent
    default:
      return finish(sim, lease);
  }
}

void look_around(Sim& sim) {
  auto& service = *sim.m().service;
  if (const auto done = service.look_at_pipelines(); !done) return sim.failed("look at pipelines", done.error());
  if (sim.one_in(3)) {
    if (const auto done = service.look_at_live(); !done) return sim.failed("look at live", done.error());
  }
}

constexpr Operation operations[] = {{"ingest", 6, ingest},
                                    {"training", 6, start_training},
                                    {"claim work", 8, claim},
                                    {"work", 22, work_on},
                                    {"look around", 5, look_around}};

}  // namespace

std::span<const Operation> loop_operations() { return operations; }

}  // namespace millrace::simulator
