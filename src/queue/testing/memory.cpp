#include "queue/testing/memory.hpp"

#include <algorithm>
#include <utility>

namespace millrace::queue {

void MemoryQueue::fail_next_publish(Error error, bool kept, int nth) {
  std::lock_guard lock(mutex_);
  next_error_ = std::move(error);
  next_error_keeps_ = kept;
  next_error_in_ = nth;
}

void MemoryQueue::retain(std::size_t events) {
  std::lock_guard lock(mutex_);
  retain_ = events;
}

Result<std::vector<std::uint64_t>> MemoryQueue::publish_batch(std::span<const Event> events) {
  for (const Event& event : events) {
    if (!valid_subject(event.subject)) {
      return fail(Code::invalid_argument, "queue.bad_subject", "'" + event.subject + "' is not a subject");
    }
    if (event.payload.size() > (1u << 20)) {
      return fail(Code::invalid_argument, "queue.too_large", "an event of more than 1 MiB");
    }
  }
  std::vector<std::uint64_t> seqs;
  {
    std::lock_guard lock(mutex_);
    std::optional<Error> error;
    if (next_error_ && --next_error_in_ <= 0) error = std::exchange(next_error_, std::nullopt);
    if (error && !next_error_keeps_) return fail(*error);
    for (const Event& event : events) {
      if (event.dedup_id != 0 && event.dedup_id <= dedup_id_) {
        seqs.push_back(0);
        continue;
      }
      dedup_id_ = std::max(dedup_id_, event.dedup_id);
      seqs.push_back(++last_seq_);
      messages_.push_back({last_seq_, event.subject, clock_.now(), event.payload});
    }
    if (error) return fail(*error);
  }
  TRY_VOID(trim());
  subscribers_.notify();
  return seqs;
}

Result<std::uint64_t> MemoryQueue::trim() {
  std::lock_guard lock(mutex_);
  std::uint64_t dropped = 0;
  for (; messages_.size() > retain_; ++dropped) messages_.pop_front();
  return dropped;
}

Result<MemoryQueue::Consumer*> MemoryQueue::find(std::string_view name) {
  const auto found = consumers_.find(name);
  if (found != consumers_.end()) return &found->second;
  return fail(Code::not_found, "queue.no_consumer", "there is no consumer '" + std::string(name) + "'");
}

Result<void> MemoryQueue::add_consumer(std::string_view name, const ConsumerOptions& options) {
  if (!valid_name(name)) return fail(Code::invalid_argument, "queue.bad_name", "not a consumer's name");
  if (!valid_filter(options.filter)) return fail(Code::invalid_argument, "queue.bad_filter", "not a filter");
  std::lock_guard lock(mutex_);
  const auto position = options.start == Start::now ? last_seq_ : first_seq() - 1;
  const auto [entry, fresh] = consumers_.try_emplace(std::string(name), Consumer{options.filter, position});
  if (fresh || entry->second.filter == options.filter) return ok();
  return fail(Code::failed_precondition, "queue.consumer_differs", "the consumer has another filter");
}

Result<void> MemoryQueue::remove_consumer(std::string_view name) {
  std::lock_guard lock(mutex_);
  if (const auto found = consumers_.find(name); found != consumers_.end()) consumers_.erase(found);
  return ok();
}

std::vector<ConsumerInfo> MemoryQueue::consumers() {
  std::lock_guard lock(mutex_);
  std::vector<ConsumerInfo> out;
  for (const auto& [name, c] : consumers_)
    out.push_back({name, c.filter, c.position, last_seq_ - c.position, c.missed});
  return out;
}

Result<std::vector<Message>> MemoryQueue::fetch(std::string_view name, std::size_t max) {
  std::lock_guard lock(mutex_);
  TRY(Consumer * consumer, find(name));
  if (consumer->position + 1 < first_seq()) {
    consumer->missed += first_seq() - 1 - consumer->position;
    consumer->position = first_seq() - 1;
  }
  std::vector<Message> out;
  for (auto i = consumer->position + 1 - first_seq(); i < messages_.size() && out.size() < max; ++i) {
    if (matches(consumer->filter, messages_[i].subject)) out.push_back(messages_[i]);
  }
  return out;
}

Result<void> MemoryQueue::ack(std::string_view name, std::uint64_t seq) {
  std::lock_guard lock(mutex_);
  TRY(Consumer * consumer, find(name));
  if (seq > last_seq_) return fail(Code::out_of_range, "queue.bad_seq", "beyond the newest event");
  consumer->position = std::max(consumer->position, seq);
  return ok();
}

Stats MemoryQueue::stats() {
  std::lock_guard lock(mutex_);
  Stats stats{.first_seq = first_seq(), .last_seq = last_seq_, .dedup_id = dedup_id_};
  for (const Message& m : messages_) stats.bytes += m.subject.size() + m.payload.size();
  return stats;
}

}  // namespace millrace::queue
