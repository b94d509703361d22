#include "sim/expect_events.hpp"

namespace millrace::simulator {

std::string ExpectEvents::know(std::int64_t seq, Event event) {
  const auto [known, fresh] = events_.try_emplace(seq, event);
  if (fresh) {
    ++by_subject_[event.subject];
    return {};
  }
  if (known->second == event) return {};
  return "events: number " + std::to_string(seq) + " was " + known->second.subject + " " + known->second.payload +
         " and is " + event.subject + " " + event.payload;
}

std::string ExpectEvents::waiting(const std::vector<meta::OutboxEvent>& events) {
  for (const auto& one : events) {
    if (auto problem = know(one.seq, {one.event.subject, one.event.key, one.event.payload}); !problem.empty())
      return problem;
  }
  return {};
}

std::string ExpectEvents::delivered(const std::vector<queue::Message>& messages) {
  for (const auto& message : messages) {
    const auto relayed = flow::parse_relayed(message.payload);
    if (!relayed) return "events: " + relayed.error().message;
    if (message.seq <= acknowledged_) return "events: an acknowledged one came again: " + std::to_string(message.seq);
    if (auto problem = know(relayed->seq, {message.subject, relayed->key, relayed->payload}); !problem.empty())
      return problem;
    if (message.seq <= queue_seq_) {
      if (relayed->seq > carried_) return "events: the queue changed number " + std::to_string(message.seq);
      continue;
    }
    if (relayed->seq <= carried_) return "events: carried twice: " + std::to_string(relayed->seq);
    if (relayed->seq != carried_ + 1 && !incomplete_)
      return "events: left out: " + std::to_string(carried_ + 1) + " to " + std::to_string(relayed->seq - 1);
    carried_ = relayed->seq;
    queue_seq_ = message.seq;
  }
  return {};
}

void ExpectEvents::acknowledged(std::uint64_t seq) { acknowledged_ = std::max(acknowledged_, seq); }

std::string ExpectEvents::stays(std::uint64_t last_seq) const {
  if (last_seq >= queue_seq_) return {};
  return "events: the queue ends at " + std::to_string(last_seq) + ", and " + std::to_string(queue_seq_) +
         " was delivered";
}

std::string ExpectEvents::whole(std::int64_t last) const {
  if (incomplete_) return {};
  std::int64_t expected = 1;
  for (const auto& [seq, event] : events_) {
    if (seq != expected) return "events: number " + std::to_string(expected) + " is lost";
    ++expected;
  }
  if (expected != last + 1)
    return "events: " + std::to_string(last) + " were committed, " + std::to_string(expected - 1) + " are known";
  return {};
}

std::uint64_t ExpectEvents::count(const std::string& subject) const {
  const auto found = by_subject_.find(subject);
  return found == by_subject_.end() ? 0 : found->second;
}

}  // namespace millrace::simulator
