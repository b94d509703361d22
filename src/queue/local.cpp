// Opening and writing. One thread at a time writes: the first publisher that finds nobody writing takes everything that
// is pending, its own events among them; those who come meanwhile wait and are written together by one of them.
#include "queue/local.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/clock.hpp"
#include "base/fault.hpp"
#include "base/log.hpp"
#include "base/rng.hpp"
#include "queue/local_internal.hpp"

namespace millrace::queue {
namespace {

constexpr std::string_view suffix = ".log";

std::string segment_name(std::uint64_t first_seq) { return fmt::format("{:020}{}", first_seq, suffix); }

std::uint64_t record_bytes(const Event& event) {
  return record_header_bytes + event.subject.size() + event.payload.size();
}

}  // namespace

std::size_t segments_to_drop(std::span<const SegmentAge> segments, std::uint64_t retain_bytes, Duration retain_age,
                             TimePoint now) {
  std::uint64_t total = 0;
  for (const SegmentAge& segment : segments) total += segment.bytes;
  std::size_t drop = 0;
  while (drop + 1 < segments.size() && (total > retain_bytes || segments[drop].newest < now - retain_age)) {
    total -= segments[drop++].bytes;
  }
  return drop;
}

Result<std::unique_ptr<Queue>> open_local(Env env, LocalConfig config) {
  if (config.payload_bytes_max > payload_bytes_limit) {
    return fail(Code::invalid_argument, "queue.bad_config", "payload_bytes_max may be at most 64 MiB");
  }
  auto queue = std::make_unique<LocalQueue>(env, std::move(config));
  TRY_VOID(queue->recover());
  return queue;
}

LocalQueue::~LocalQueue() {
  // Positions may have moved past events that a filter does not let through; only a hint, so a failure costs nothing.
  if (positions_moved()) (void)save();
}

Result<void> LocalQueue::recover() {
  TRY_VOID(env_.fs.make_dirs(config_.dir));
  auto lock = env_.fs.lock(path("lock"), "millrace (queue)");
  if (!lock) {
    if (lock.error().code != Code::failed_precondition) return fail(lock.error());
    return fail(Code::failed_precondition, "queue.locked", lock.error().message + "; stop it first");
  }
  lock_ = std::move(*lock);
  TRY_VOID(load_segments());
  return load_consumers();
}

Result<std::shared_ptr<LocalQueue::Segment>> LocalQueue::load_segment(const std::string& name) {
  auto segment = std::make_shared<Segment>();
  segment->path = path(name);
  TRY(auto file, env_.fs.open_read(segment->path));
  std::array<std::byte, segment_header_bytes> bytes{};
  TRY(auto got, file->read(0, bytes));
  const auto header = decode_segment_header(std::span(bytes).first(got));
  if (!header || segment_name(header->first_seq) != name) {
    return fail(
        Code::data_loss, "queue.corrupt",
        fmt::format("{} is damaged: its header at offset 0 is not whole. Restore the file from a backup, or move "
                    "it out of the folder: its events are lost then, and consumers look at what is true instead",
                    segment->path));
  }
  if (header->format > format_newest) {
    return fail(Code::failed_precondition, "queue.format",
                fmt::format("{} has format {}, this Millrace reads up to {}; use the newer version that wrote it",
                            segment->path, header->format, format_newest));
  }
  segment->header = *header;
  segment->file = std::move(file);
  return segment;
}

std::uint32_t LocalQueue::new_salt() { return static_cast<std::uint32_t>(env_.rng.next()); }

Result<void> LocalQueue::load_segments() {
  TRY(auto files, env_.fs.list(config_.dir));
  for (const FileInfo& info : files) {
    if (info.name.ends_with(".tmp")) (void)env_.fs.remove(path(info.name));  // never became a segment
    if (!info.name.ends_with(suffix)) continue;
    TRY(auto segment, load_segment(info.name));
    if (!segments_.empty()) segments_.back()->end = segment->header.previous_end;
    segments_.push_back(std::move(segment));
  }
  if (segments_.empty()) {
    return start_segment({.salt = new_salt(), .first_seq = 1, .created = env_.clock.now()}, {});
  }
  Segment& last = *segments_.back();
  TRY(auto scan, scan_segment(*last.file, last.header));
  for (const std::uint64_t offset : scan.damaged) {
    env_.log.error("queue_damaged", {{"path", last.path}, {"offset", offset}});  // fetch says it to whom it concerns
  }
  next_seq_ = durable_seq_ = scan.next_seq;
  dedup_id_ = durable_dedup_id_ = scan.dedup_id;
  TRY(const auto info, env_.fs.info(last.path));
  if (info.size > scan.end) {
    env_.log.warn("queue_torn_end_cut", {{"path", last.path}, {"offset", scan.end}, {"bytes", info.size - scan.end}});
  }
  last.end = synced_to_ = scan.proven;
  if (info.size == segment_header_bytes) {  // nothing in it yet: go on in it
    salt_ = last.header.salt;
    TRY(out_, env_.fs.open_write(last.path, WriteMode::append));
    return env_.fs.sync_dir(config_.dir);
  }
  // Never go on in an old file, and write the events of its last sync anew: they are readable, but perhaps only from
  // memory. When a sync fails, the kernel keeps the bytes, forgets that they are to be written, and answers yes to the
  // next sync, also after the process is another one.
  const auto first_seq = scan.unproven.empty() ? scan.next_seq : scan.unproven.front().first_seq;
  return roll(first_seq, scan.dedup_id, scan.unproven);
}

Result<void> LocalQueue::start_segment(const SegmentHeader& header, std::span<const Chunk> events) {
  auto segment = std::make_shared<Segment>();
  segment->header = header;
  segment->path = path(segment_name(header.first_seq));
  const std::string temporary = segment->path + ".tmp";
  {
    TRY(auto file, env_.fs.open_write(temporary, WriteMode::truncate));
    TRY_VOID(file->append(encode(header)));
    for (const Chunk& chunk : events) {
      TRY_VOID(file->append(millrace::as_bytes(encode_frame(chunk, segment_header_bytes, header.salt))));
    }
    TRY_VOID(env_.faults.reach("queue.segment.before_sync"));
    TRY_VOID(file->sync());
    segment->end = file->size();
  }
  TRY_VOID(env_.faults.reach("queue.segment.before_rename"));
  TRY_VOID(env_.fs.rename(temporary, segment->path));
  TRY_VOID(env_.faults.reach("queue.segment.after_rename"));
  TRY_VOID(env_.fs.sync_dir(config_.dir));
  TRY_VOID(env_.faults.reach("queue.segment.after_folder_sync"));
  TRY(out_, env_.fs.open_write(segment->path, WriteMode::append));
  synced_to_ = segment->end;
  salt_ = header.salt;
  std::lock_guard lock(mutex_);
  // A segment of which nothing is kept is replaced by one of the same name.
  if (!segments_.empty() && segments_.back()->header.first_seq == header.first_seq) segments_.pop_back();
  segments_.push_back(std::move(segment));
  return ok();
}

Result<void> LocalQueue::roll(std::uint64_t first_seq, std::uint64_t dedup_id, std::span<const Chunk> events) {
  SegmentHeader header{.salt = new_salt(), .first_seq = first_seq, .dedup_id = dedup_id, .created = env_.clock.now()};
  {
    std::lock_guard lock(mutex_);
    Segment& last = *segments_.back();
    const bool replaces = last.header.first_seq == first_seq;
    last.end = synced_to_;
    header.previous_end = replaces ? last.header.previous_end : synced_to_;
    // What was synced stays, also when the rest of its batch fails: the new file is named after what comes next.
    if (events.empty()) durable_seq_ = first_seq;
    durable_dedup_id_ = dedup_id;
  }
  TRY_VOID(start_segment(header, events));
  drop_old();
  return ok();
}

Result<void> LocalQueue::check(std::span<const Event> events) const {
  std::uint64_t bytes = 0;
  for (const Event& event : events) {
    if (!valid_subject(event.subject)) {
      return fail(Code::invalid_argument, "queue.bad_subject",
                  fmt::format("'{}' is not a subject; write words of letters, digits, '_' and '-' joined by dots",
                              event.subject.substr(0, 100)));
    }
    if (event.payload.size() > config_.payload_bytes_max) {
      return fail(Code::invalid_argument, "queue.too_large",
                  fmt::format("an event of {} with {} bytes; at most {} are taken: put the content into a blob and its "
                              "digest into the event",
                              event.subject, event.payload.size(), config_.payload_bytes_max));
    }
    bytes += record_bytes(event);
  }
  if (bytes > config_.pending_bytes_max) {
    return fail(Code::invalid_argument, "queue.too_large",
                fmt::format("a batch of {} bytes; at most {} are taken: publish it in parts", bytes,
                            config_.pending_bytes_max));
  }
  return ok();
}

std::uint64_t LocalQueue::enqueue(Batch& batch, const Event& event) {
  if (event.dedup_id != 0) {
    if (event.dedup_id <= dedup_id_) return 0;
    dedup_id_ = event.dedup_id;
  }
  const std::uint64_t seq = next_seq_++;
  if (batch.chunks.empty() || batch.chunks.back().body.size() >= frame_body_wanted) {
    batch.chunks.push_back({.first_seq = seq});
  }
  append_record(batch.chunks.back(), event, env_.clock.now());
  batch.bytes += record_bytes(event);
  batch.next_seq = next_seq_;
  batch.dedup_id = dedup_id_;
  return seq;
}

Result<std::vector<std::uint64_t>> LocalQueue::publish_batch(std::span<const Event> events) {
  TRY_VOID(check(events));
  std::uint64_t bytes = 0;
  for (const Event& event : events) bytes += record_bytes(event);
  std::vector<std::uint64_t> seqs;
  seqs.reserve(events.size());

  std::unique_lock lock(mutex_);
  if (pending_->bytes > 0 && pending_->bytes + bytes > config_.pending_bytes_max) {
    return fail(Code::resource_exhausted, "queue.full", "too many events wait for the disk; publish again in a moment");
  }
  auto batch = pending_;
  for (const Event& event : events) seqs.push_back(enqueue(*batch, event));
  if (batch->chunks.empty()) {
    // Nothing new. What made it old may still be on its way to the disk.
    if (!writing_) return seqs;
    batch = writing_;
  }
  while (!batch->done) {
    if (writing_) {
      settled_.wait(lock);
      continue;
    }
    writing_ = std::exchange(pending_, std::make_shared<Batch>());
    lock.unlock();
    const auto result = write(*writing_);
    lock.lock();
    settle(*writing_, result);
    writing_.reset();
    settled_.notify_all();
  }
  if (batch->error) return fail(*batch->error);
  lock.unlock();
  subscribers_.notify();
  return seqs;
}

Result<void> LocalQueue::write(Batch& batch) {
  auto result = write_frames(batch);
  if (!result) broken_ = true;
  return result;
}

Result<void> LocalQueue::write_frames(Batch& batch) {
  if (std::exchange(broken_, false)) TRY_VOID(roll(batch.chunks.front().first_seq, durable_dedup_id_));
  std::uint64_t dedup_id = durable_dedup_id_;
  for (const Chunk& chunk : batch.chunks) {
    if (out_->size() > segment_header_bytes &&
        out_->size() + frame_header_bytes + chunk.body.size() > config_.segment_bytes) {
      TRY_VOID(out_->sync());
      synced_to_ = out_->size();
      TRY_VOID(roll(chunk.first_seq, dedup_id));
    }
    TRY_VOID(env_.faults.reach("queue.publish.before_write"));
    TRY_VOID(out_->append(millrace::as_bytes(encode_frame(chunk, synced_to_, salt_))));
    for (auto body = millrace::as_bytes(chunk.body); auto record = take_record(body);) {
      dedup_id = std::max(dedup_id, record->dedup_id);
    }
  }
  TRY_VOID(env_.faults.reach("queue.publish.before_sync"));
  TRY_VOID(out_->sync());
  synced_to_ = out_->size();
  return env_.faults.reach("queue.publish.after_sync");
}

void LocalQueue::settle(Batch& batch, const Result<void>& result) {
  batch.done = true;
  if (result) {
    durable_seq_ = batch.next_seq;
    durable_dedup_id_ = batch.dedup_id;
    segments_.back()->end = synced_to_;
    return;
  }
  // Those who came meanwhile have seqs behind the failed ones: they fail too, and the seqs are given out again.
  batch.error = result.error();
  pending_->error = result.error();
  pending_->done = true;
  pending_ = std::make_shared<Batch>();
  next_seq_ = durable_seq_;
  dedup_id_ = durable_dedup_id_;
}

void LocalQueue::drop_old() {
  if (auto dropped = trim(); !dropped) env_.log.warn("queue_trim_failed", {{"error", dropped.error().message}});
}

Result<std::uint64_t> LocalQueue::trim() {
  std::vector<std::string> paths;
  std::uint64_t events = 0;
  {
    std::lock_guard lock(mutex_);
    std::vector<SegmentAge> ages;
    for (std::size_t i = 0; i < segments_.size(); ++i) {
      // No event is younger than the next segment.
      ages.push_back({segments_[i]->end, segments_[std::min(i + 1, segments_.size() - 1)]->header.created});
    }
    const auto drop = segments_to_drop(ages, config_.retain_bytes, config_.retain_age, env_.clock.now());
    events = segments_[drop]->header.first_seq - segments_[0]->header.first_seq;
    for (std::size_t i = 0; i < drop; ++i) paths.push_back(segments_[i]->path);
    segments_.erase(segments_.begin(), segments_.begin() + static_cast<std::ptrdiff_t>(drop));
  }
  // The oldest first, and each for good before the next: no crash leaves a hole.
  for (const std::string& gone : paths) {
    TRY_VOID(env_.faults.reach("queue.trim.before_remove"));
    TRY_VOID(env_.fs.remove(gone));
    TRY_VOID(env_.faults.reach("queue.trim.after_remove"));
    TRY_VOID(env_.fs.sync_dir(config_.dir));
  }
  if (events > 0) env_.log.info("queue_trimmed", {{"events", events}, {"files", paths.size()}});
  return events;
}

Stats LocalQueue::stats() {
  std::lock_guard lock(mutex_);
  Stats stats{
      .first_seq = segments_.front()->header.first_seq, .last_seq = durable_seq_ - 1, .dedup_id = durable_dedup_id_};
  for (const auto& segment : segments_) stats.bytes += segment->end;
  return stats;
}

}  // namespace millrace::queue
