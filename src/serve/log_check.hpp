// A look at one segment of the prediction log, whatever its state, and the same segment with what is whole in it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/fs.hpp"
#include "base/result.hpp"

namespace millrace::serve {

struct SegmentCheck {
  // Its maker died at once, and there is no line in it: an empty file, or an all-zero header and nothing after it.
  bool unmade = false;
  std::string header;             // what is wrong with the first 64 bytes; they can be made again
  std::uint64_t bytes = 0;        // of the file
  std::uint64_t bytes_meant = 0;  // as the header says; 0 when that is damaged
  std::uint64_t used = 0;         // where the last record or damaged place ends
  std::uint64_t lines = 0;        // that can be read
  std::uint64_t damaged = 0;      // places where a line may have been
  std::uint64_t damaged_bytes = 0;
  std::uint64_t orphans = 0;             // whole lines whose schema is damaged: nobody can say what they mean
  std::uint64_t stray = 0;               // bytes in room that was never used
  std::optional<TimePoint> first, last;  // moments of the lines around
  // The number in a whole header, where it is another one than the name's: it is damaged, or the file is a copy of that
  // segment, which was then made at the same moment.
  std::optional<std::uint64_t> copy_of;
  std::optional<TimePoint> made;
  bool cut() const { return bytes_meant > bytes; }
  bool whole() const { return header.empty() && !cut() && damaged + orphans + stray == 0 && !copy_of; }
  // At most so many lines stood where the damage is.
  std::uint64_t lines_lost_max() const;
};

// `number`: of the file's name. Errors are those of reading the file.
Result<SegmentCheck> check_segment(Fs& fs, const std::string& path, std::uint64_t number);

// The bytes of a segment that reads without complaint and holds every line that `path` has: its header is made again,
// what is damaged is room not used.
Result<std::string> mended_segment(Fs& fs, const std::string& path, std::uint64_t number);

}  // namespace millrace::serve
