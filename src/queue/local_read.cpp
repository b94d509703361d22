// Reading: a consumer walks the frames from where its next event can be, and remembers how far it came.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "queue/local_internal.hpp"

namespace millrace::queue {

LocalQueue::View LocalQueue::view() {
  std::lock_guard lock(mutex_);
  View view{.next_seq = durable_seq_};
  for (const auto& segment : segments_) view.parts.push_back({segment, segment->end});
  return view;
}

Result<std::shared_ptr<const ReadableFile>> LocalQueue::file_of(Segment& segment) {
  std::lock_guard lock(segment.mutex);
  if (!segment.file) {
    TRY(segment.file, env_.fs.open_read(segment.path));
  }
  return segment.file;
}

Result<std::pair<std::size_t, std::uint64_t>> LocalQueue::begin_of(const Consumer& consumer, const View& view) {
  const std::uint64_t wanted = consumer.position + 1;
  const auto part_of = [&](std::uint64_t seq) {
    std::size_t i = view.parts.size() - 1;
    while (i > 0 && view.parts[i].segment->header.first_seq > seq) --i;
    return i;
  };
  if (consumer.scan.offset != 0) {
    const std::size_t i = part_of(consumer.scan.segment);
    if (view.parts[i].segment->header.first_seq == consumer.scan.segment) return std::pair{i, consumer.scan.offset};
  }
  // The first fetch after a start: a walk over the headers.
  const std::size_t i = part_of(wanted);
  const View::Part& part = view.parts[i];
  TRY(auto file, file_of(*part.segment));
  FrameReader reader(*file, part.end, part.segment->header.salt);
  std::uint64_t offset = segment_header_bytes;
  while (offset < part.end) {
    TRY(auto frame, reader.header_at(offset));
    if (!frame) break;  // damaged: fetch_from decides what that means
    if (frame->header.first_seq + frame->header.count > wanted) break;
    offset = frame->next;
  }
  return std::pair{i, offset};
}

Result<std::vector<Message>> LocalQueue::fetch_from(Consumer& consumer, const View& view, std::size_t max) {
  std::vector<Message> out;
  if (consumer.position + 1 < view.first_seq()) {
    const std::uint64_t missed = view.first_seq() - 1 - consumer.position;
    env_.log.warn("queue_consumer_missed_events", {{"consumer", consumer.name}, {"events", missed}});
    consumer.missed += missed;
    consumer.position = view.first_seq() - 1;
  }
  TRY(auto begin, begin_of(consumer, view));
  auto [i, offset] = begin;
  std::uint64_t bytes = 0;
  const auto stop = [&] {
    consumer.fetched_to = out.back().seq;
    consumer.fetched_end = {view.parts[i].segment->header.first_seq, offset};
    return std::move(out);
  };
  for (;;) {
    const View::Part& part = view.parts[i];
    TRY(auto file, file_of(*part.segment));
    FrameReader reader(*file, part.end, part.segment->header.salt);
    while (offset < part.end) {
      TRY(auto frame, reader.at(offset));
      if (!frame) {
        if (!out.empty()) return stop();
        TRY(auto next, reader.search(offset + 1));
        const std::uint64_t next_seq = next ? next->header.first_seq : view.after(i);
        if (consumer.position + 1 < next_seq) {
          return fail(Code::data_loss, "queue.corrupt",
                      fmt::format("{} is damaged at offset {}: events {} to {} can't be read. Restore the file from a "
                                  "backup, or acknowledge {} for consumer {} to go on without them",
                                  part.segment->path, offset, consumer.position + 1, next_seq - 1, next_seq - 1,
                                  consumer.name));
        }
        offset = next ? next->offset : part.end;  // acknowledged: past it
        continue;
      }
      std::uint64_t seq = frame->header.first_seq;
      for (auto body = frame->body; auto record = take_record(body); ++seq) {
        if (seq <= consumer.position || !matches(consumer.filter, record->subject)) continue;
        const auto size = record->subject.size() + record->payload.size();
        if (out.size() == max || (!out.empty() && bytes + size > config_.fetch_bytes_max)) return stop();
        bytes += size;
        out.push_back({seq, std::string(record->subject), record->time, std::string(record->payload)});
      }
      offset = frame->next;
      if (out.empty()) consumer.scan = {part.segment->header.first_seq, offset};
    }
    if (i + 1 == view.parts.size()) break;
    ++i;
    offset = segment_header_bytes;
  }
  if (!out.empty()) return stop();
  // Nothing for this filter up to here; the next write of consumers.json will know.
  consumer.position = std::max(consumer.position.load(), view.next_seq - 1);
  return out;
}

Result<std::vector<Message>> LocalQueue::fetch(std::string_view name, std::size_t max) {
  const auto consumer = find(name);
  if (!consumer) {
    return fail(Code::not_found, "queue.no_consumer", fmt::format("there is no consumer '{}'; add it first", name));
  }
  if (max == 0) return std::vector<Message>{};
  std::lock_guard lock(consumer->mutex);
  for (int attempt = 0;; ++attempt) {
    auto messages = fetch_from(*consumer, view(), max);
    // Retention may have removed the file after we looked at the list.
    if (messages || messages.error().code != Code::not_found || attempt == 3) return messages;
  }
}

Result<void> LocalQueue::ack(std::string_view name, std::uint64_t seq) {
  const auto consumer = find(name);
  if (!consumer) {
    return fail(Code::not_found, "queue.no_consumer", fmt::format("there is no consumer '{}'; add it first", name));
  }
  {
    std::lock_guard one(consumer->mutex);
    {
      std::lock_guard lock(mutex_);
      if (seq >= durable_seq_) {
        return fail(
            Code::out_of_range, "queue.bad_seq",
            fmt::format("consumer {} acknowledges event {}, but the newest is {}", name, seq, durable_seq_ - 1));
      }
    }
    if (seq <= consumer->saved_position) return ok();
    if (seq >= consumer->fetched_to && consumer->fetched_end.offset != 0) {
      consumer->scan = std::exchange(consumer->fetched_end, {});
    }
    consumer->position = std::max(consumer->position.load(), seq);
  }
  return save();
}

}  // namespace millrace::queue
