// Carries events from meta's outbox to the queue: in order, none left out, none doubled.
//
// The outbox's sequence is the queue's dedup id, so a crash between publishing and forgetting repeats nothing. The
// event's key and time travel with it: what is published is a RelayedEvent as JSON, under the event's own subject.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/env.hpp"
#include "base/executor.hpp"
#include "base/result.hpp"
#include "meta/meta.hpp"
#include "queue/queue.hpp"

namespace millrace::flow {

struct RelayedEvent {
  std::int64_t seq = 0;  // meta's, from 1
  TimePoint time{};
  std::string key;
  std::string payload;  // JSON
};

// Of a message that a Relay published. data_loss `flow.bad_event` for anything else.
Result<RelayedEvent> parse_relayed(std::string_view message);

// One per store. Thread-safe.
class Relay {
 public:
  // Events go on `executor`, woken by the store (its on_event is the relay's): not the store's writer and not an inline
  // one, for a round writes to the store. Begins with what an earlier process left. When the queue is ahead of the
  // store (an older copy of the metadata was restored), the store's numbers go on above the queue's.
  Relay(Env env, meta::Store& store, queue::Queue& queue, Executor& executor);
  ~Relay();  // waits for a round that is under way
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // Publishes all that waits, here and now; how many. What failed stays in the outbox: the next event, or the next
  // call, tries again. Call it every few seconds too, for a queue that was full.
  Result<std::size_t> run_once();

 private:
  struct State;
  std::shared_ptr<State> state_;
  meta::Store& store_;
};

}  // namespace millrace::flow
