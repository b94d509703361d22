// The records of a segment's bytes, one after the other, and what lies between them that is none.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "base/result.hpp"
#include "serve/log_format_internal.hpp"

namespace millrace::serve::log_format {

// Bytes where a record was, or should be. `stray`: a few in room that was never used; no record fits in there.
struct DamagedPlace {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  bool stray = false;
};

struct Walk {
  std::function<Result<void>(std::uint64_t at, std::uint32_t type, std::string_view payload)> on_record;
  std::function<void(const DamagedPlace&)> on_damage;
};

// All of `content` behind the segment's header. Room not used, and a record that its writer never finished (it did not
// get its magic, and nobody was answered), are neither. Stops at the first error of on_record.
Result<void> walk_records(std::string_view content, const Walk& walk);

}  // namespace millrace::serve::log_format
