// Events on their way: from the outbox into the queue, and to two consumers. "audit" sees everything; "counter" does
// something with each event in the records, once, though it may be handed it again.
#include "flow/relay.hpp"
#include "sim/sim.hpp"

namespace millrace::simulator {

namespace {

constexpr std::string_view counter = "counter";

void follow(Sim& sim) {
  sim.note_missed();
  const auto messages = sim.m().queue->fetch("audit", 10'000);
  if (!messages) return sim.failed("follow", messages.error());
  sim.say(sim.events.delivered(*messages));
  if (messages->empty() || !sim.ok()) return;
  const auto done = sim.m().queue->ack("audit", messages->back().seq);
  if (!done) return sim.failed("ack", done.error());
  sim.events.acknowledged(messages->back().seq);
}

void relay(Sim& sim) {
  sim.world.relay_work.run_all();
  const auto done = sim.m().relay->run_once();
  if (!done) return sim.failed("relay", done.error());
  if (*done > 0) sim.note("relay", std::to_string(*done));
  follow(sim);
}

// Counts an event in the transaction that remembers its number.
Result<void> handle(Sim& sim, const queue::Message& message) {
  TRY(const auto event, flow::parse_relayed(message.payload));
  return sim.m().store->write([&](meta::Tx& tx) -> Result<void> {
    std::string sql =
        "INSERT INTO sim_handled (subject, seq, total) VALUES ($1, $2, 1) ON CONFLICT (subject) DO UPDATE SET seq = "
        "excluded.seq, total = sim_handled.total + 1";
    if (!sim.has(Plant::event_handled_twice)) sql += " WHERE sim_handled.seq < excluded.seq";
    TRY_VOID(tx.exec(sql, {message.subject, event.seq}));
    return {};
  });
}

void count(Sim& sim) {
  sim.note_missed();
  const auto messages = sim.m().queue->fetch(counter, 1 + sim.below(12));
  if (!messages) return sim.failed("count", messages.error());
  if (sim.has(Plant::ack_before_handling) && !messages->empty()) {
    if (const auto done = sim.m().queue->ack(counter, messages->back().seq); !done)
      return sim.failed("count", done.error());
  }
  for (const auto& message : *messages) {
    if (const auto done = handle(sim, message); !done) return sim.failed("count", done.error());
  }
  if (messages->empty() || sim.one_in(5)) return;  // it dies before it says so
  if (const auto done = sim.m().queue->ack(counter, messages->back().seq); !done)
    return sim.failed("count", done.error());
}

void trim(Sim& sim) {
  const auto done = sim.m().queue->trim();
  if (!done) sim.failed("trim", done.error());
}

constexpr Operation operations[] = {{"relay", 8, relay}, {"count", 9, count}, {"trim", 1, trim}};

}  // namespace

std::span<const Operation> queue_operations() { return operations; }

}  // namespace millrace::simulator
