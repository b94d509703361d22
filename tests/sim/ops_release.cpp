// Aliases moved by hand: forward with and without a reason, and back.
#include "loop/service.hpp"
#include "registry/registry.hpp"
#include "sim/facts.hpp"
#include "sim/sim.hpp"

namespace millrace::simulator {

namespace {

// What moving `current` leaves; nothing when it is there already.
std::vector<std::string> moves_to(const Sim& sim, std::int64_t version, const std::string& by) {
  std::vector<std::string> facts;
  if (sim.release.current == version) return facts;
  if (sim.release.current) facts.push_back(move_fact(registry::previous_alias, *sim.release.current, by));
  facts.push_back(move_fact(registry::current_alias, version, by));
  return facts;
}

void take(Sim& sim, std::string_view what, const Result<registry::Promotion>& done, std::int64_t to,
          const std::vector<std::string>& facts, bool overrides) {
  if (!done) {
    sim.moves.unknown(facts);
    return sim.failed(what, done.error());
  }
  for (const auto& fact : facts) sim.moves.acknowledged(fact);
  if (sim.release.current != to) {
    sim.release.previous = sim.release.current;
    sim.release.current = to;
  }
  if (overrides) sim.release.versions[to].overridden = true;
  if (done->current != to) sim.say("release: the answer names another version");
  sim.note(what, std::to_string(to));
}

void promote(Sim& sim) {
  if (sim.release.newest() == 0) return;
  const auto any = [&] {
    return 1 + static_cast<std::int64_t>(sim.below(static_cast<std::uint64_t>(sim.release.newest())));
  };
  auto to = any();
  if (to == sim.release.current) to = any();  // so that it more often moves
  const auto& version = sim.release.versions[to];
  const registry::Actor by{sim.unique("hand"), sim.one_in(2) ? "because" : ""};
  const bool already = sim.release.current == to;
  const bool failed = !version.passed && !version.overridden && !already;
  auto facts = moves_to(sim, to, by.name);
  if (failed) facts.push_back(override_fact(to));
  const auto done = sim.m().service->promote(std::string(model_name), to, by);
  if (!done && (done.error().reason == "registry.gate_not_passed" || done.error().reason == "registry.bytes_gone")) {
    for (const auto& fact : moves_to(sim, to, by.name)) sim.moves.refused(fact);
    const bool expected = done.error().reason == "registry.bytes_gone" ? !version.kept : failed && by.reason.empty();
    return sim.refused("promote", done.error(), expected);
  }
  if (done && failed && by.reason.empty()) return sim.say("release: a version that failed its gates took over");
  if (done && !version.kept) return sim.say("release: a version without its bytes took over");
  take(sim, "promote", done, to, facts, failed);
}

void roll_back(Sim& sim) {
  const registry::Actor by{sim.unique("hand"), "worse"};
  const auto to = sim.release.previous;
  const auto done = sim.m().service->rollback(std::string(model_name), by);
  if (!done && done.error().reason == "registry.no_previous") return sim.refused("rollback", done.error(), !to);
  if (!to) {
    if (done) sim.say("release: went back to nothing");
    if (!done) sim.failed("rollback", done.error());
    return;
  }
  take(sim, "rollback", done, *to, moves_to(sim, *to, by.name), false);
}

constexpr Operation operations[] = {{"promote", 4, promote}, {"rollback", 2, roll_back}};

}  // namespace

std::span<const Operation> release_operations() { return operations; }

}  // namespace millrace::simulator
