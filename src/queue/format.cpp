#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "queue/format_internal.hpp"

namespace millrace::queue {
namespace {

constexpr std::string_view segment_magic("\x89MRQUEU\n", 8);
constexpr std::string_view frame_magic("\xf7MRF", 4);
constexpr std::size_t window_bytes = 256u << 10;

template <class T>
void put(std::byte* out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) out[i] = static_cast<std::byte>(value >> (8 * i));
}
template <class T>
T get(const std::byte* in) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(in[i]) << (8 * i);
  return value;
}

std::uint32_t checksum(std::uint32_t salt, const std::byte* data, std::size_t size) {
  return static_cast<std::uint32_t>(::crc32_z(salt, reinterpret_cast<const Bytef*>(data), size));
}

std::uint64_t microseconds(TimePoint time) { return static_cast<std::uint64_t>(time.time_since_epoch().count()); }
TimePoint from_microseconds(std::uint64_t value) { return TimePoint(Duration(static_cast<std::int64_t>(value))); }

std::optional<FrameHeader> decode_frame_header(std::span<const std::byte> bytes, std::uint32_t salt) {
  if (bytes.size() < frame_header_bytes) return std::nullopt;
  const std::byte* in = bytes.data();
  if (std::memcmp(in, frame_magic.data(), frame_magic.size()) != 0) return std::nullopt;
  if (get<std::uint32_t>(in + 36) != checksum(salt, in, 36)) return std::nullopt;
  FrameHeader header{.body_bytes = get<std::uint32_t>(in + 4),
                     .first_seq = get<std::uint64_t>(in + 8),
                     .synced_to = get<std::uint64_t>(in + 16),
                     .count = get<std::uint32_t>(in + 24),
                     .body_crc = get<std::uint32_t>(in + 28)};
  if (header.body_bytes > frame_body_max || header.count == 0) return std::nullopt;
  return header;
}

}  // namespace

std::array<std::byte, segment_header_bytes> encode(const SegmentHeader& header) {
  std::array<std::byte, segment_header_bytes> out{};
  std::memcpy(out.data(), segment_magic.data(), segment_magic.size());
  put(out.data() + 8, header.format);
  put(out.data() + 12, header.salt);
  put(out.data() + 16, header.first_seq);
  put(out.data() + 24, header.previous_end);
  put(out.data() + 32, header.dedup_id);
  put(out.data() + 40, microseconds(header.created));
  put(out.data() + 60, checksum(0, out.data(), 60));
  return out;
}

std::optional<SegmentHeader> decode_segment_header(std::span<const std::byte> bytes) {
  if (bytes.size() < segment_header_bytes) return std::nullopt;
  const std::byte* in = bytes.data();
  if (std::memcmp(in, segment_magic.data(), segment_magic.size()) != 0) return std::nullopt;
  if (get<std::uint32_t>(in + 60) != checksum(0, in, 60)) return std::nullopt;
  return SegmentHeader{.format = get<std::uint32_t>(in + 8),
                       .salt = get<std::uint32_t>(in + 12),
                       .first_seq = get<std::uint64_t>(in + 16),
                       .previous_end = get<std::uint64_t>(in + 24),
                       .dedup_id = get<std::uint64_t>(in + 32),
                       .created = from_microseconds(get<std::uint64_t>(in + 40))};
}

void append_record(Chunk& chunk, const Event& event, TimePoint time) {
  std::byte head[record_header_bytes];
  put(head, static_cast<std::uint32_t>(event.subject.size()));
  put(head + 4, static_cast<std::uint32_t>(event.payload.size()));
  put(head + 8, microseconds(time));
  put(head + 16, event.dedup_id);
  chunk.body.append(reinterpret_cast<const char*>(head), sizeof head);
  chunk.body += event.subject;
  chunk.body += event.payload;
  ++chunk.count;
}

std::string encode_frame(const Chunk& chunk, std::uint64_t synced_to, std::uint32_t salt) {
  std::string out;
  out.reserve(frame_header_bytes + chunk.body.size());
  out.resize(frame_header_bytes);
  auto* head = reinterpret_cast<std::byte*>(out.data());
  std::memcpy(head, frame_magic.data(), frame_magic.size());
  put(head + 4, static_cast<std::uint32_t>(chunk.body.size()));
  put(head + 8, chunk.first_seq);
  put(head + 16, synced_to);
  put(head + 24, chunk.count);
  put(head + 28, checksum(salt, reinterpret_cast<const std::byte*>(chunk.body.data()), chunk.body.size()));
  put(head + 36, checksum(salt, head, 36));
  return out += chunk.body;
}

std::optional<RecordView> take_record(std::span<const std::byte>& body) {
  if (body.size() < record_header_bytes) return std::nullopt;
  const std::uint64_t subject = get<std::uint32_t>(body.data()), payload = get<std::uint32_t>(body.data() + 4);
  if (body.size() - record_header_bytes < subject + payload) return std::nullopt;
  const auto* text = reinterpret_cast<const char*>(body.data()) + record_header_bytes;
  RecordView record{.dedup_id = get<std::uint64_t>(body.data() + 16),
                    .time = from_microseconds(get<std::uint64_t>(body.data() + 8)),
                    .subject = {text, subject},
                    .payload = {text + subject, payload}};
  body = body.subspan(record_header_bytes + subject + payload);
  return record;
}

Result<std::span<const std::byte>> FrameReader::window(std::uint64_t offset, std::size_t length) {
  if (offset >= end_) return std::span<const std::byte>{};
  length = std::min<std::uint64_t>(length, end_ - offset);
  if (offset < buffer_at_ || offset + length > buffer_at_ + buffer_size_) {
    const auto wanted = std::min<std::uint64_t>(std::max(length, window_bytes), end_ - offset);
    if (buffer_.size() < wanted) buffer_.resize(wanted);
    buffer_size_ = 0;
    TRY(buffer_size_, file_.read(offset, std::span(buffer_).first(wanted)));
    buffer_at_ = offset;
  }
  const auto skip = offset - buffer_at_;
  return std::span<const std::byte>(buffer_).subspan(skip, std::min<std::uint64_t>(length, buffer_size_ - skip));
}

Result<std::optional<Frame>> FrameReader::header_at(std::uint64_t offset) {
  TRY(auto bytes, window(offset, frame_header_bytes));
  const auto header = decode_frame_header(bytes, salt_);
  if (!header || end_ - offset - frame_header_bytes < header->body_bytes) return std::nullopt;
  return Frame{.header = *header, .offset = offset, .next = offset + frame_header_bytes + header->body_bytes};
}

Result<std::optional<Frame>> FrameReader::at(std::uint64_t offset) {
  TRY(auto frame, header_at(offset));
  if (!frame) return frame;
  TRY(auto bytes, window(offset, frame_header_bytes + frame->header.body_bytes));
  if (bytes.size() != frame_header_bytes + frame->header.body_bytes) return std::nullopt;
  frame->body = bytes.subspan(frame_header_bytes);
  if (checksum(salt_, frame->body.data(), frame->body.size()) != frame->header.body_crc) return std::nullopt;
  return frame;
}

Result<std::optional<Frame>> FrameReader::search(std::uint64_t from) {
  while (from < end_) {
    TRY(auto bytes, window(from, window_bytes));
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const auto found = text.find(frame_magic);
    if (found == std::string_view::npos) {
      if (bytes.size() < frame_magic.size()) break;
      from += bytes.size() - (frame_magic.size() - 1);  // the magic may lie across two windows
      continue;
    }
    TRY(auto frame, at(from + found));
    if (frame) return frame;
    from += found + 1;
  }
  return std::nullopt;
}

Result<Scan> scan_segment(const ReadableFile& file, const SegmentHeader& header) {
  FrameReader reader(file, file.size(), header.salt);
  Scan scan{.end = segment_header_bytes,
            .proven = segment_header_bytes,
            .next_seq = header.first_seq,
            .dedup_id = header.dedup_id};
  for (;;) {
    TRY(auto frame, reader.at(scan.end));
    if (!frame) {
      const std::uint64_t bad = scan.end;
      TRY(frame, reader.search(bad + 1));
      while (frame && frame->header.synced_to <= bad) {
        TRY(frame, reader.search(frame->next));
      }
      if (!frame) return scan;
      scan.damaged.push_back(bad);
    }
    if (frame->header.synced_to > scan.proven) {
      scan.proven = frame->header.synced_to;
      scan.unproven.clear();
    }
    scan.unproven.push_back(
        {.first_seq = frame->header.first_seq,
         .count = frame->header.count,
         .body = std::string(reinterpret_cast<const char*>(frame->body.data()), frame->body.size())});
    for (auto body = frame->body; auto record = take_record(body);) {
      scan.dedup_id = std::max(scan.dedup_id, record->dedup_id);
    }
    scan.end = frame->next;
    scan.next_seq = frame->header.first_seq + frame->header.count;
  }
}

}  // namespace millrace::queue
