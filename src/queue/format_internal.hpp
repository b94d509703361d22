// The bytes of a segment file: a header, then frames of events. docs/formats/queue.md describes them for somebody who
// has only the bytes. No I/O but reading through a ReadableFile, no state.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/fs.hpp"
#include "base/result.hpp"
#include "queue/queue.hpp"

namespace millrace::queue {

inline constexpr std::uint32_t format_newest = 1;
inline constexpr std::size_t segment_header_bytes = 64;
inline constexpr std::size_t frame_header_bytes = 40;
inline constexpr std::size_t record_header_bytes = 24;
inline constexpr std::size_t frame_body_wanted = 256u << 10;   // a frame is closed when it has so much
inline constexpr std::size_t payload_bytes_limit = 64u << 20;  // no configuration goes beyond
inline constexpr std::size_t frame_body_max = frame_body_wanted + payload_bytes_limit + 1024;

struct SegmentHeader {
  std::uint32_t format = format_newest;
  std::uint32_t salt = 0;          // begins every checksum of this file, so that no payload can look like a frame
  std::uint64_t first_seq = 0;     // of the first event that this file may hold
  std::uint64_t previous_end = 0;  // the segment before ends at this offset, whatever follows there; 0: there was none
  std::uint64_t dedup_id = 0;      // the highest one published when this file was made
  TimePoint created;
  bool operator==(const SegmentHeader&) const = default;
};

struct FrameHeader {
  std::uint32_t body_bytes = 0;
  std::uint64_t first_seq = 0;
  std::uint64_t synced_to = 0;  // everything before this offset was on the disk when the frame was written
  std::uint32_t count = 0;
  std::uint32_t body_crc = 0;
};

std::array<std::byte, segment_header_bytes> encode(const SegmentHeader& header);
std::optional<SegmentHeader> decode_segment_header(std::span<const std::byte> bytes);

// Events with consecutive seqs on their way into one frame.
struct Chunk {
  std::uint64_t first_seq = 0;
  std::uint32_t count = 0;
  std::string body;
};
void append_record(Chunk& chunk, const Event& event, TimePoint time);
std::string encode_frame(const Chunk& chunk, std::uint64_t synced_to, std::uint32_t salt);

struct RecordView {
  std::uint64_t dedup_id = 0;
  TimePoint time;
  std::string_view subject;
  std::string_view payload;
};
// Takes the next record off `body`; empty when the bytes don't make one.
std::optional<RecordView> take_record(std::span<const std::byte>& body);

struct Frame {
  FrameHeader header;
  std::uint64_t offset = 0;
  std::uint64_t next = 0;                // where the frame after it begins
  std::span<const std::byte> body = {};  // valid until the reader's next call
};

// Reads frames of one file, from anywhere, through a window.
class FrameReader {
 public:
  // Nothing at or after `end` is looked at.
  FrameReader(const ReadableFile& file, std::uint64_t end, std::uint32_t salt) : file_(file), end_(end), salt_(salt) {}
  // The whole frame at `offset`, or empty when there is none (damaged or cut).
  Result<std::optional<Frame>> at(std::uint64_t offset);
  // Its header alone (the frame's `body` stays empty and unchecked).
  Result<std::optional<Frame>> header_at(std::uint64_t offset);
  // The first whole frame that begins at or after `from`, for getting past damage.
  Result<std::optional<Frame>> search(std::uint64_t from);

 private:
  Result<std::span<const std::byte>> window(std::uint64_t offset, std::size_t length);  // shorter at the end

  const ReadableFile& file_;
  std::uint64_t end_;
  std::uint32_t salt_;
  std::vector<std::byte> buffer_;
  std::uint64_t buffer_at_ = 0;
  std::size_t buffer_size_ = 0;
};

// What a walk over a segment's frames found.
struct Scan {
  std::uint64_t end = 0;               // the valid bytes end here: what follows was never acknowledged
  std::uint64_t proven = 0;            // a later frame says that everything before was on the disk
  std::vector<Chunk> unproven;         // the events from there on, at most those of one sync
  std::uint64_t next_seq = 0;          // after the last event
  std::uint64_t dedup_id = 0;          // the highest one
  std::vector<std::uint64_t> damaged;  // offsets of damage among acknowledged events
};
// Tells the torn end of an interrupted write from damage: an invalid place is damage when a frame after it was written
// at a time when that place was on the disk already.
Result<Scan> scan_segment(const ReadableFile& file, const SegmentHeader& header);

}  // namespace millrace::queue
