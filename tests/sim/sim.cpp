#include "sim/sim.hpp"

namespace millrace::simulator {

Sim::Sim(std::uint64_t seed, Plant plant) : world(seed, plant) { ids.emplace(world.clock, world.story_rng); }

void Sim::note(std::string_view what, std::string_view how) {
  trace +=
      std::to_string(world.raw_disk.operations()) + " " + format_time(now()).substr(0, 19) + " " + std::string(what);
  if (!how.empty()) trace += " " + std::string(how);
  trace += "\n";
}

void Sim::say(std::string text) {
  if (text.empty()) return;
  note("WRONG", text);
  if (wrong.empty()) wrong = std::move(text);
}

void Sim::failed(std::string_view what, const Error& error) {
  note(what, error.reason);
  unsettled = true;
  if (error.code == Code::data_loss) return say(std::string(what) + ": " + error.reason + ": " + error.message);
  if (!fault_set) say(std::string(what) + " failed without a fault: " + error.reason + ": " + error.message);
}

void Sim::note_missed() {
  const auto first = m().queue->stats().first_seq;
  for (const auto& one : m().queue->consumers()) {
    if (one.position + 1 >= first) continue;
    if (one.name == "audit") events.missed_some();
    if (one.name == "counter") counter_missed = true;
  }
}

void Sim::refused(std::string_view what, const Error& error, bool expected) {
  note(what, error.reason);
  if (!expected) say(std::string(what) + " was refused: " + error.reason + ": " + error.message);
}

}  // namespace millrace::simulator
