// Garbage collection, often days later, and sometimes while another process does something to the same blobs.
#include "blob/local.hpp"
#include "flow/housekeeping.hpp"
#include "loop/garbage.hpp"
#include "loop/service.hpp"
#include "registry/registry.hpp"
#include "sim/sim.hpp"

namespace millrace::simulator {

namespace {

// Somebody else, at a moment in the middle of it: writes an old content again, or pins it.
void meanwhile(Sim& sim) {
  const auto old = sim.blobs.some_old(sim.below(1'000));
  if (!old) return;
  const auto content = *sim.blobs.content(*old);
  if (sim.one_in(2)) {
    const auto done = sim.m().job_blobs->put(content);
    if (!done) return sim.failed("meanwhile put", done.error());
    sim.blobs.stored(content, sim.now());
    return sim.note("meanwhile put", old->hex().substr(0, 8));
  }
  const auto done = sim.m().job_blobs->pin(*old);
  if (!done && done.error().reason == "blob.not_found") return;
  if (!done) return sim.failed("meanwhile pin", done.error());
  sim.blobs.stored(content, sim.now());
  sim.note("meanwhile pin", old->hex().substr(0, 8));
}

// What was over long ago is forgotten first, so that its blobs are known to be free here as they are to the collection.
bool forget(Sim& sim, TimePoint before) {
  const auto done = sim.m().store->write([&](meta::Tx& tx) -> Result<void> {
    TRY(const auto jobs, sim.m().jobs->list(tx, {.max = 100'000}));
    for (const auto& job : jobs) {
      if (job.ended_at && *job.ended_at < before) sim.asked.released(job.cause);
    }
    TRY(const auto gone, flow::forget_over(tx, before, 1'000));
    sim.counts["jobs forgotten"] += static_cast<std::uint64_t>(gone.jobs);
    return {};
  });
  if (!done) sim.failed("forget", done.error());
  return done.has_value();
}

void collect(Sim& sim) {
  if (sim.one_in(3)) sim.world.clock.advance(std::chrono::hours(sim.below(60)));
  if (sim.one_in(25)) sim.world.clock.advance(std::chrono::days(95));
  const bool dry_run = sim.one_in(6);
  // Retention first, so that what it lets go is known here as it is to the collection.
  if (const auto done = sim.m().service->look_at_retention(); !done) return sim.failed("retention", done.error());
  const auto now = sim.now();
  const loop::GarbagePolicy policy;
  if (!forget(sim, now - policy.history)) return;
  std::set<Digest> needed;
  const auto read = sim.m().store->read([&](meta::Reader& reader) -> Result<void> {
    TRY(const auto all, loop::NeededBlobs::collect(reader, policy, now));
    for (const auto& digest : sim.blobs.digests()) {
      if (all.why(digest)) needed.insert(digest);
    }
    TRY(const auto versions, registry::list_heads(reader, model_name));
    for (const auto& one : versions) {
      if (one.number > 0) sim.release.versions[one.number].kept = one.bytes_kept;
    }
    return {};
  });
  if (!read) return sim.failed("collect", read.error());
  if (!dry_run) sim.blobs.collected(needed, now, policy.grace);
  if (!sim.fault_set && sim.one_in(2)) {
    const auto moment = static_cast<Disk::Moment>(sim.below(4));
    sim.world.disk.between(moment, 1 + static_cast<unsigned>(sim.below(2)), [&sim] { meanwhile(sim); });
  }
  if (sim.has(Plant::gc_by_old_records)) {
    const auto before = std::exchange(sim.needed_before, needed);
    if (!before) return;
    const auto done =
        sim.m().blobs->collect_garbage([&](const Digest& one) { return before->contains(one); }, policy.grace, false);
    if (!done) sim.failed("collect", done.error());
    return;
  }
  if (sim.has(Plant::gc_ignores_open_upload)) {
    const auto other = blob::open_local(sim.world.env, {"data/blobs"});
    if (!other) return sim.failed("collect", other.error());
    const auto done = (*other)->collect_garbage([](const Digest&) { return true; }, policy.grace, false);
    if (!done) return sim.failed("collect", done.error());
  }
  const auto done = sim.m().service->collect_garbage(dry_run);
  sim.world.disk.between({}, 0, {});
  if (!done) return sim.failed("collect", done.error());
  sim.counts["blobs collected"] += static_cast<std::uint64_t>(done->blobs);
  sim.note("collect", std::to_string(done->blobs));
}

constexpr Operation operations[] = {{"collect", 4, collect}};

}  // namespace

std::span<const Operation> garbage_operations() { return operations; }

}  // namespace millrace::simulator
