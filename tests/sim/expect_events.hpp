// Promise: every change has its event, committed with it; the relay brings all of them to the queue, in order, none
// left out and none doubled; what a consumer acknowledged does not come again, what it did not does.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "flow/relay.hpp"
#include "meta/meta.hpp"
#include "queue/queue.hpp"

namespace millrace::simulator {

class ExpectEvents {
 public:
  struct Event {
    std::string subject, key, payload;
    bool operator==(const Event&) const = default;
  };

  // In the outbox, not carried yet.
  std::string waiting(const std::vector<meta::OutboxEvent>& events);
  // What the consumer that follows everything was handed.
  std::string delivered(const std::vector<queue::Message>& messages);
  void missed_some() { incomplete_ = true; }        // the queue's own retention took them
  void acknowledged(std::uint64_t seq);             // of the queue
  std::string stays(std::uint64_t last_seq) const;  // the queue's newest, after opening

  // All that is known, from 1 to `last` without a hole.
  std::string whole(std::int64_t last) const;
  bool complete() const { return !incomplete_; }
  std::uint64_t count(const std::string& subject) const;
  const std::map<std::int64_t, Event>& events() const { return events_; }

 private:
  std::string know(std::int64_t seq, Event event);
  std::map<std::int64_t, Event> events_;  // by the outbox's number
  std::map<std::string, std::uint64_t> by_subject_;
  std::int64_t carried_ = 0;     // highest one seen in the queue
  std::uint64_t queue_seq_ = 0;  // and its number there
  std::uint64_t acknowledged_ = 0;
  bool incomplete_ = false;
};

}  // namespace millrace::simulator
