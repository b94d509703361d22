// Durable events, in order, at least once. A hint to look again, never the truth: what is true stands in `meta`.
//
// A subject is words joined by dots ("model.churn.promoted"; letters, digits, '_' and '-'). Events have one global
// order (seq, from 1), so each subject is in order too. A consumer has a name, a filter and a durable position; it
// fetches what lies after the position and acknowledges what it has dealt with. What was fetched and not acknowledged
// comes again. Thread-safe. Nothing here waits for events: subscribe() says when to look again.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace millrace::queue {

struct Event {
  std::string subject;
  std::string payload;
  std::uint64_t dedup_id = 0;  // see publish()
};

struct Message {
  std::uint64_t seq = 0;
  std::string subject;
  TimePoint time;  // when it was published
  std::string payload;
};

enum class Start { first, now };  // the oldest event still kept, or the next one to come

struct ConsumerOptions {
  std::string filter = ">";  // one subject; everything below a prefix ("model.>"); or everything (">")
  Start start = Start::first;
};

struct ConsumerInfo {
  std::string name;
  std::string filter;
  std::uint64_t position = 0;  // everything up to here is dealt with
  std::uint64_t lag = 0;       // events behind the newest one, of any subject
  std::uint64_t missed = 0;    // events that retention removed before this consumer acknowledged them, of any subject
};

struct Stats {
  std::uint64_t first_seq = 0;  // the oldest kept; last_seq + 1 when there is none
  std::uint64_t last_seq = 0;   // 0: nothing was ever published
  std::uint64_t bytes = 0;
  std::uint64_t dedup_id = 0;  // the highest one published
};

// Ends when destroyed; from then on its callback is neither running nor called. The callback runs on a publisher's
// thread, outside the queue's locks: it only wakes somebody up. It must not publish, subscribe or end a subscription.
class Subscription {
 public:
  Subscription() = default;
  explicit Subscription(std::function<void()> end) : end_(std::move(end)) {}
  Subscription(Subscription&& other) noexcept : end_(std::exchange(other.end_, nullptr)) {}
  Subscription& operator=(Subscription&& other) noexcept {
    std::swap(end_, other.end_);
    return *this;
  }
  ~Subscription() {
    if (end_) end_();
  }

 private:
  std::function<void()> end_;
};

class Queue {
 public:
  virtual ~Queue() = default;

  // Durable when it returns; concurrent publishers share one sync. The answer is the event's seq.
  // dedup_id (0: none) makes repeating safe: ids must rise, and an event whose id is not above the highest one ever
  // published is taken as published already; the answer is then 0. A relay gives the outbox's sequence.
  // invalid_argument `queue.bad_subject`, `queue.too_large`; resource_exhausted `queue.full` when too much waits for
  // the disk, `fs.disk_full`. After any other error the event may be there or not: publish it again.
  Result<std::uint64_t> publish(std::string_view subject, std::string_view payload, std::uint64_t dedup_id = 0);
  // The same for many, with one sync. Not all or nothing: after a crash the first few of an unanswered batch may be
  // there.
  virtual Result<std::vector<std::uint64_t>> publish_batch(std::span<const Event> events) = 0;

  // Makes the consumer, durably. Repeating changes nothing; failed_precondition `queue.consumer_differs` when it exists
  // with another filter. invalid_argument `queue.bad_name`, `queue.bad_filter`; resource_exhausted
  // `queue.too_many_consumers`.
  virtual Result<void> add_consumer(std::string_view name, const ConsumerOptions& options = {}) = 0;
  virtual Result<void> remove_consumer(std::string_view name) = 0;  // success also when there is none
  virtual std::vector<ConsumerInfo> consumers() = 0;                // sorted by name

  // The first events after the consumer's position that its filter lets through, in order: at most `max`, fewer when
  // they are large, none when there are none now. not_found `queue.no_consumer`. data_loss `queue.corrupt` names file
  // and offset of damaged events, and which seq to acknowledge in order to go on without them.
  virtual Result<std::vector<Message>> fetch(std::string_view consumer, std::size_t max) = 0;
  // Everything up to and including `seq` is dealt with. Durable when it returns. Going back is no error and does
  // nothing; out_of_range `queue.bad_seq` beyond the newest event.
  virtual Result<void> ack(std::string_view consumer, std::uint64_t seq) = 0;

  // Calls `look_again` after events became fetchable. May come without need, and not once per event.
  [[nodiscard]] virtual Subscription subscribe(std::function<void()> look_again) = 0;

  // Applies the retention now (it is applied by itself while publishing). The answer is how many events went.
  virtual Result<std::uint64_t> trim() = 0;
  virtual Stats stats() = 0;
};

// Pure rules, for implementations and their tests.
bool valid_subject(std::string_view subject);
bool valid_filter(std::string_view filter);
bool valid_name(std::string_view name);  // of a consumer: one word, at most 100 characters
bool matches(std::string_view filter, std::string_view subject);

// The subscribers of one queue. Thread-safe.
class Subscribers {
 public:
  Subscription add(std::function<void()> look_again);
  void notify();

 private:
  struct State {
    std::mutex mutex;
    std::uint64_t next = 0;
    std::map<std::uint64_t, std::function<void()>> callbacks;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace millrace::queue
