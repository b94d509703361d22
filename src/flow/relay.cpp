#include "flow/relay.hpp"

#include <mutex>

#include "base/fault.hpp"
#include "base/json.hpp"
#include "base/log.hpp"

namespace millrace::flow {

namespace {

constexpr std::size_t batch_max = 256;

struct Wire {
  std::int64_t seq = 0;
  std::string time;
  std::string key;
  glz::raw_json payload;
};

}  // namespace

Result<RelayedEvent> parse_relayed(std::string_view message) {
  auto wire = json::parse_lenient<Wire>(message, "an event");
  if (!wire || wire->seq < 1)
    return fail(Code::data_loss, "flow.bad_event", "not an event of the relay: " + std::string(message.substr(0, 200)));
  TRY(auto time, parse_time(wire->time));
  return RelayedEvent{wire->seq, time, std::move(wire->key), std::move(wire->payload.str)};
}

struct Relay::State {
  State(Env e, meta::Store& s, queue::Queue& q, Executor& x) : env(e), store(s), queue(q), executor(x) {}

  Env env;
  meta::Store& store;
  queue::Queue& queue;
  Executor& executor;
  std::mutex round;  // one round at a time, so that the order holds
  std::atomic<bool> asked = false;
  std::atomic<bool> closed = false;
  bool compared = false;

  Result<std::size_t> run() {
    const std::lock_guard lock(round);
    if (!compared) TRY_VOID(store.outbox_continue_above(static_cast<std::int64_t>(queue.stats().dedup_id)));
    compared = true;
    std::size_t published = 0;
    for (;;) {
      if (closed) return published;
      TRY(auto waiting, store.outbox_after(0, batch_max));
      if (waiting.empty()) return published;
      std::vector<queue::Event> events;
      events.reserve(waiting.size());
      for (const auto& each : waiting)
        events.push_back({each.event.subject,
                          json::render(Wire{each.seq, format_time(each.time), each.event.key, {each.event.payload}}),
                          static_cast<std::uint64_t>(each.seq)});
      TRY_VOID(env.faults.reach("flow.relay.before_publish"));
      TRY_VOID(queue.publish_batch(events));
      TRY_VOID(env.faults.reach("flow.relay.after_publish"));
      TRY_VOID(store.outbox_forget(waiting.back().seq));
      TRY_VOID(env.faults.reach("flow.relay.after_forget"));
      published += waiting.size();
    }
  }
};

Relay::Relay(Env env, meta::Store& store, queue::Queue& queue, Executor& executor)
    : state_(std::make_shared<State>(env, store, queue, executor)), store_(store) {
  auto wake = [state = state_] {
    if (state->asked.exchange(true)) return;  // a round that has not begun will see this event too
    auto posted = state->executor.post([state] {
      state->asked = false;
      if (state->closed) return;
      if (auto done = state->run(); !done)
        state->env.log.warn("events_wait", {{"reason", done.error().reason}, {"message", done.error().message}});
    });
    if (!posted) state->asked = false;
  };
  store_.on_event(wake);
  wake();
}

Relay::~Relay() {
  store_.on_event({});
  state_->closed = true;
  const std::lock_guard lock(state_->round);
}

Result<std::size_t> Relay::run_once() { return state_->run(); }

}  // namespace millrace::flow
