#include <algorithm>

#include "serve/log_walk_internal.hpp"

namespace millrace::serve::log_format {

Result<void> walk_records(std::string_view content, const Walk& walk) {
  constexpr std::uint64_t step = 8;
  DamagedPlace place;
  std::uint64_t unfinished_until = 0;
  std::uint64_t inside_until = 0;  // a damaged record says how far it goes
  auto end_place = [&](bool zeros_follow) {
    if (place.bytes == 0) return;
    // A record's header alone is longer.
    place.stray = zeros_follow && place.bytes <= step;
    walk.on_damage(place);
    place = {};
  };
  std::uint64_t at = segment_header_bytes;
  while (at + sizeof(RecordHeader) <= content.size()) {
    RecordHeader record;
    std::memcpy(&record, content.data() + at, sizeof record);
    const auto room = content.size() - at - sizeof record;
    const auto whole = record.magic == record_magic && record.length <= room;
    const auto payload = whole ? content.substr(at + sizeof record, record.length) : std::string_view();
    if (!whole || record_crc(record.type, payload) != record.crc) {
      const bool zero = record.magic == 0 && record.length == 0;
      // The magic is stored last: what has none was never finished, and goes as far as it says.
      if (record.magic == 0 && !zero && place.bytes == 0 && record.length <= room && at >= unfinished_until)
        unfinished_until = at + padded(record.length);
      if (whole && at >= unfinished_until) inside_until = std::max(inside_until, at + padded(record.length));
      if (zero && at >= inside_until) {
        end_place(true);
      } else if (at >= unfinished_until) {
        if (place.bytes == 0) place.offset = at;
        place.bytes = at + step - place.offset;
      }
      at += step;
      continue;
    }
    end_place(false);
    inside_until = 0;
    TRY_VOID(walk.on_record(at, record.type, payload));
    at += padded(record.length);
  }
  // What is left is too short for a record: of a segment that was cut it may be the beginning of one.
  const auto from = std::min<std::uint64_t>(std::max(at, unfinished_until), content.size());
  const auto rest = content.substr(from);
  const bool alone = place.bytes == 0, zeros = rest.find_first_not_of('\0') == rest.npos;
  if (!zeros) {
    if (alone) place.offset = from;
    place.bytes = content.size() - place.offset;
  }
  end_place(alone || (zeros && !rest.empty()));
  return {};
}

}  // namespace millrace::serve::log_format
