// Pieces of a prediction log on their way into the log of another process: read from a segment here, one record there.
// A piece is a list of items (u32 type, u32 length, payload), each a record of the segment; the schemas that its lines
// need come first. The bytes are described in docs/formats/prediction_log.md.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/fs.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

namespace millrace::serve {

inline constexpr std::uint64_t kPieceBytes = 256u << 10;   // of lines; a longer line is a piece of its own
inline constexpr std::uint64_t kPieceBytesMax = 3u << 20;  // of all items
inline constexpr std::size_t kShippedNameBytesMax = 128;   // of a predictor's id, and of a segment's key

// Tells a segment from every other one that its predictor ever made, also where numbers began anew: "7-1764000000000".
// Nothing where its maker died before it said when that was: then there is no line in it.
Result<std::optional<std::string>> segment_key(Fs& fs, const std::string& path, std::uint64_t number);

struct LogPiece {
  std::string items;
  std::uint64_t from = 0;  // place in the segment behind which the lines stand
  std::uint64_t to = 0;    // up to which they are all in `items`
  std::uint64_t lines = 0;
};
// Finished lines behind `from`, up to kPieceBytes of them; none: there are no more now. Of a segment that is still
// written to (`closed` false) only those before the first line that somebody has not finished yet.
Result<LogPiece> read_piece(Fs& fs, const std::string& path, std::uint64_t from, bool closed);

// Where a piece came from. The same place has the same lines, whenever it is read.
struct ShippedFrom {
  std::string predictor;
  std::string segment;
  std::uint64_t from = 0, to = 0;
};
// invalid_argument `serve.bad_piece` for items that the log could not be read with. How many lines they are.
Result<std::uint64_t> check_piece(const ShippedFrom& from, std::string_view items);

// What labels are joined with a line by.
struct ShippedLine {
  std::string model;
  Id id;
  std::string key;  // "": it has none
  TimePoint time{};
};
// Of items that check_piece takes.
std::vector<ShippedLine> shipped_lines(std::string_view items);

// Pieces in a log folder's segments above `after`, in their order.
Result<void> read_shipped(Fs& fs, const std::string& dir, std::uint64_t after,
                          const std::function<void(const ShippedFrom&, std::string_view items)>& on_piece);

}  // namespace millrace::serve
