#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/env.hpp"
#include "base/fs.hpp"
#include "queue/format_internal.hpp"
#include "queue/local.hpp"

namespace millrace::queue {

// How many of the oldest segments go. The last one always stays. Pure.
struct SegmentAge {
  std::uint64_t bytes = 0;
  TimePoint newest;  // no event in it is younger
};
std::size_t segments_to_drop(std::span<const SegmentAge> segments, std::uint64_t retain_bytes, Duration retain_age,
                             TimePoint now);

// consumers.json
struct StoredConsumer {
  std::string name;
  std::string filter;
  std::uint64_t position = 0;
};
std::string render_consumers(const std::vector<StoredConsumer>& consumers);
Result<std::vector<StoredConsumer>> parse_consumers(std::string_view text, const std::string& path);

class LocalQueue final : public Queue {
 public:
  LocalQueue(Env env, LocalConfig config) : env_(env), config_(std::move(config)) {}
  ~LocalQueue() override;
  Result<void> recover();

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
  struct Segment {
    SegmentHeader header;
    std::string path;
    std::uint64_t end = segment_header_bytes;  // guarded by LocalQueue::mutex_
    std::mutex mutex;
    std::shared_ptr<const ReadableFile> file;  // opened at the first fetch; guarded by mutex
  };
  // The log as a reader sees it: everything in it is durable.
  struct View {
    struct Part {
      std::shared_ptr<Segment> segment;
      std::uint64_t end = 0;
    };
    std::vector<Part> parts;     // in order, never empty
    std::uint64_t next_seq = 0;  // after the last event
    std::uint64_t first_seq() const { return parts.front().segment->header.first_seq; }
    // The first event after part `i`.
    std::uint64_t after(std::size_t i) const {
      return i + 1 < parts.size() ? parts[i + 1].segment->header.first_seq : next_seq;
    }
  };
  struct Place {                // where a frame begins
    std::uint64_t segment = 0;  // its header.first_seq
    std::uint64_t offset = 0;   // 0: unknown
  };
  struct Consumer {
    std::string name;
    std::string filter;
    std::atomic<std::uint64_t> position = 0;
    std::atomic<std::uint64_t> saved_position = 0;  // in consumers.json
    std::atomic<std::uint64_t> missed = 0;
    std::mutex mutex;  // one fetch or ack at a time; taken before LocalQueue::mutex_. Guards what follows
    Place scan;        // no unacknowledged event of ours lies before it
    std::uint64_t fetched_to = 0;
    Place fetched_end;  // the place after event `fetched_to`
  };
  // Events that share one sync, and what became of them.
  struct Batch {
    std::vector<Chunk> chunks;
    std::uint64_t bytes = 0;
    std::uint64_t next_seq = 0;  // after its last event
    std::uint64_t dedup_id = 0;  // the highest one, these events included
    bool done = false;
    std::optional<Error> error;
  };

  // local.cpp: opening and writing
  std::string path(std::string_view name) const { return join_path(config_.dir, name); }
  std::uint32_t new_salt();
  Result<void> load_segments();
  Result<std::shared_ptr<Segment>> load_segment(const std::string& name);
  // Makes the file with these events in it, whole before it gets its name, and goes on in it.
  Result<void> start_segment(const SegmentHeader& header, std::span<const Chunk> events);
  Result<void> check(std::span<const Event> events) const;
  std::uint64_t enqueue(Batch& batch, const Event& event);  // mutex_ held
  Result<void> write(Batch& batch);                         // by the one writing thread
  Result<void> write_frames(Batch& batch);
  Result<void> roll(std::uint64_t first_seq, std::uint64_t dedup_id, std::span<const Chunk> events = {});
  void settle(Batch& batch, const Result<void>& result);  // mutex_ held

  void drop_old();

  // local_read.cpp
  View view();
  std::shared_ptr<Consumer> find(std::string_view name);
  Result<std::vector<Message>> fetch_from(Consumer& consumer, const View& view, std::size_t max);
  // Where the walk for the consumer's next event begins: an index into view.parts and an offset there.
  Result<std::pair<std::size_t, std::uint64_t>> begin_of(const Consumer& consumer, const View& view);
  Result<std::shared_ptr<const ReadableFile>> file_of(Segment& segment);

  // local_consumers.cpp
  Result<void> load_consumers();
  bool positions_moved() const;  // only where nobody else calls
  Result<void> save();           // every position, durable when it returns; concurrent callers share one write

  Env env_;
  LocalConfig config_;
  std::unique_ptr<FileLock> lock_;
  Subscribers subscribers_;

  std::mutex mutex_;  // guards what follows; never held during I/O
  std::condition_variable settled_;
  std::vector<std::shared_ptr<Segment>> segments_;  // never empty after recover()
  std::shared_ptr<Batch> pending_ = std::make_shared<Batch>();
  std::shared_ptr<Batch> writing_;
  std::uint64_t next_seq_ = 1;     // to give out
  std::uint64_t durable_seq_ = 1;  // everything before is durable
  std::uint64_t dedup_id_ = 0;     // the highest one given out
  std::uint64_t durable_dedup_id_ = 0;

  // Owned by the writing thread.
  std::unique_ptr<WritableFile> out_;
  std::uint64_t synced_to_ = 0;
  std::uint32_t salt_ = 0;
  bool broken_ = false;  // a write failed: what follows the durable end is unknown, so go on in another segment

  std::mutex consumers_mutex_;  // guards the map; no other lock is taken while it is held
  std::map<std::string, std::shared_ptr<Consumer>, std::less<>> consumers_;
  std::mutex add_mutex_;  // one add or remove at a time

  std::mutex save_mutex_;
  std::condition_variable saved_;
  std::uint64_t wanted_save_ = 0, done_save_ = 0;
  bool saving_ = false;
};

}  // namespace millrace::queue
