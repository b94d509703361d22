// An in-memory queue with fault knobs, for tests of what publishes and consumes. Keeps the promises of
// testing/suite.hpp.
#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "queue/queue.hpp"

namespace millrace::queue {

class MemoryQueue final : public Queue {
 public:
  explicit MemoryQueue(Clock& clock) : clock_(clock) {}

  // Knobs. The n-th publishing call from now on (1: the next one) fails with this error, and nothing of it is kept, or,
  // with `kept`, everything although the publisher is told otherwise.
  void fail_next_publish(Error error, bool kept = false, int nth = 1);
  // At most so many events are kept.
  void retain(std::size_t events);

  Result<std::vector<std::uint64_t>> publish_batch(std::span<const Event> events) override;
  Result<void> add_consumer(std::string_view name, const ConsumerOptions& options) override;
  Result<void> remove_consumer(std::string_view name) override;
  std::vector<ConsumerInfo> consumers() override;
  Result<std::vector<Message>> fetch(std::string_view consumer, std::size_t max) override;
  Result<void> ack(std::string_view consumer, std::uint64_t seq) override;
  Subscription subscribe(std::function<void()> look_again) override { return subscribers_.add(std::move(look_again)); }
  Result<std::uint64_t> trim() override;
  Stats stats() override;

 private:
  struct Consumer {
    std::string filter;
    std::uint64_t position = 0;
    std::uint64_t missed = 0;
  };
  std::uint64_t first_seq() const { return last_seq_ + 1 - messages_.size(); }
  Result<Consumer*> find(std::string_view name);  // mutex_ held

  Clock& clock_;
  Subscribers subscribers_;
  std::mutex mutex_;
  std::deque<Message> messages_;
  std::uint64_t last_seq_ = 0;
  std::uint64_t dedup_id_ = 0;
  std::size_t retain_ = ~std::size_t{0};
  std::map<std::string, Consumer, std::less<>> consumers_;
  std::optional<Error> next_error_;
  bool next_error_keeps_ = false;
  int next_error_in_ = 0;
};

}  // namespace millrace::queue
