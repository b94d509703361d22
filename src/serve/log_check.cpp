#include "serve/log_check.hpp"

#include <algorithm>
#include <format>
#include <set>
#include <span>

#include "serve/log_walk_internal.hpp"
#include "serve/prediction_log.hpp"
#include "serve/shipped_internal.hpp"

namespace millrace::serve {

using namespace log_format;

namespace {

constexpr std::uint64_t segment_bytes_max = std::uint64_t{1} << 32;
constexpr std::uint64_t line_bytes_min = 64;  // of the shortest line that there can be, with its record's header

bool all_zero(std::string_view bytes) { return bytes.find_first_not_of('\0') == bytes.npos; }

// What is wrong with a header; "" nothing. The number is looked at by the caller.
std::string judge_header(const SegmentHeader& header, std::string_view bytes) {
  if (!std::equal(std::begin(segment_magic), std::end(segment_magic), header.magic))
    return "it does not begin with MLRPLOG1";
  if (header.format != 1) return std::format("its format is {}", header.format);
  if (header.bytes < segment_header_bytes || header.bytes > segment_bytes_max || header.bytes % 8 != 0)
    return std::format("it says that the file has {} bytes", header.bytes);
  if (!all_zero(bytes.substr(sizeof header))) return "its last bytes are not zero";
  return "";
}

std::optional<TimePoint> time_of(std::string_view payload) {
  Reader in(payload);
  (void)in.number<std::uint32_t>();
  (void)in.raw(16);
  const auto us = in.number<std::int64_t>();
  return in.ok() ? std::optional(TimePoint(Duration(us))) : std::nullopt;
}

struct Looked {
  SegmentCheck check;
  SegmentHeader header{};
  std::vector<DamagedPlace> places;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> orphans;  // offset, bytes
};

Result<Looked> look(std::string_view content, std::uint64_t number) {
  Looked out;
  auto& check = out.check;
  check.bytes = content.size();
  if (all_zero(content)) {
    check.unmade = true;
    return out;
  }
  const auto head = content.substr(0, std::min<std::uint64_t>(content.size(), segment_header_bytes));
  if (head.size() == segment_header_bytes) std::memcpy(&out.header, head.data(), sizeof out.header);
  check.header = head.size() < segment_header_bytes ? "it is shorter than a header" : judge_header(out.header, head);
  check.used = segment_header_bytes;
  std::set<std::uint32_t> schemas;
  auto add_line = [&](std::string_view payload) {
    ++check.lines;
    if (const auto time = time_of(payload)) {
      check.first = std::min(check.first.value_or(*time), *time);
      check.last = std::max(check.last.value_or(*time), *time);
    }
  };
  auto on_record = [&](std::uint64_t at, std::uint32_t type, std::string_view payload) -> Result<void> {
    Reader in(payload);
    const auto schema = in.number<std::uint32_t>();
    check.used = at + padded(payload.size());
    if (type == record_schema) {
      schemas.insert(schema);
    } else if (type == record_shipped) {
      Reader whole(payload);
      TRY_VOID(read_shipped_head(whole));
      TRY_VOID(walk_items(whole, [&](std::uint32_t item, std::string_view line) -> Result<void> {
        if (item == record_prediction) add_line(line);
        return {};
      }));
    } else if (type != record_prediction) {
      // Of a kind that comes later: neither a line nor damage, as for who reads it.
    } else if (!schemas.contains(schema)) {
      ++check.orphans;
      out.orphans.emplace_back(at, padded(payload.size()));
    } else {
      add_line(payload);
    }
    return {};
  };
  auto on_damage = [&](const DamagedPlace& place) {
    out.places.push_back(place);
    if (place.stray) {
      ++check.stray;
      return;
    }
    ++check.damaged;
    check.damaged_bytes += place.bytes;
    check.used = place.offset + place.bytes;
  };
  TRY_VOID(walk_records(content, {on_record, on_damage}));
  if (!check.header.empty()) return out;
  // A byte of the size or of the number that changed: the size tells which of the two stories it is.
  if (out.header.bytes < content.size()) {
    check.header = std::format("it says that the file has {} bytes", out.header.bytes);
    return out;
  }
  check.made = TimePoint(Duration(out.header.created_us));
  check.bytes_meant = out.header.bytes;
  if (out.header.number != number) check.copy_of = out.header.number;
  return out;
}

}  // namespace

std::uint64_t SegmentCheck::lines_lost_max() const {
  auto lost = orphans + damaged_bytes / line_bytes_min + (damaged > 0 ? damaged : 0);
  // Lines are written one after the other: where room is left before the cut, nothing stood behind it.
  if (cut() && bytes - std::min(bytes, used) < line_bytes_min) lost += (bytes_meant - bytes) / line_bytes_min;
  return lost;
}

Result<SegmentCheck> check_segment(Fs& fs, const std::string& path, std::uint64_t number) {
  TRY(const auto content, read_file(fs, path, segment_bytes_max));
  TRY(auto looked, look(content, number));
  return std::move(looked.check);
}

Result<std::string> mended_segment(Fs& fs, const std::string& path, std::uint64_t number) {
  TRY(auto content, read_file(fs, path, segment_bytes_max));
  TRY(const auto looked, look(content, number));
  if (looked.check.unmade) return std::string();
  content.resize(std::max<std::uint64_t>(segment_header_bytes, (content.size() + 7) / 8 * 8), '\0');
  // With the damage gone, what lay in its shadow can turn out to be damaged too. Each round leaves fewer bytes.
  for (bool cleared = true; cleared;) {
    TRY(const auto damage, look(content, number));
    cleared = false;
    auto clear = [&](std::uint64_t at, std::uint64_t bytes) {
      const auto piece = std::span(content).subspan(at, std::min<std::uint64_t>(bytes, content.size() - at));
      cleared = cleared || std::ranges::any_of(piece, [](char c) { return c != 0; });
      std::ranges::fill(piece, '\0');
    };
    for (const auto& place : damage.places) clear(place.offset, place.bytes);
    for (const auto& [at, bytes] : damage.orphans) clear(at, bytes);
  }
  auto header = looked.header;
  if (!looked.check.header.empty()) {
    header = {};
    std::copy(std::begin(segment_magic), std::end(segment_magic), header.magic);
    header.format = 1;
    header.sync_ms = 1000;
    header.created_us = looked.check.first.value_or(TimePoint()).time_since_epoch().count();
  }
  header.number = number;
  // As large as it is: what the header says may be what was damaged.
  header.bytes = content.size();
  std::fill_n(content.begin(), segment_header_bytes, '\0');
  std::memcpy(content.data(), &header, sizeof header);
  return content;
}

}  // namespace millrace::serve
