// The queue in a local folder, of one process at a time:
//   00000000000000000001.log   a segment, named after the first event that it may hold
//   consumers.json             names, filters and positions, replaced atomically
//   lock                       held by the process that has the folder open
// Publishers hand their events to whoever is writing already: one append and one sync serve all that came meanwhile.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/env.hpp"
#include "queue/queue.hpp"

namespace millrace::queue {

struct LocalConfig {
  std::string dir;                                   // made when missing
  std::uint64_t segment_bytes = 16u << 20;           // a new file after that; retention removes whole files
  std::uint64_t retain_bytes = 1u << 30;             // the oldest segments go beyond that,
  Duration retain_age = std::chrono::hours(24 * 7);  // and when all their events are older than this
  std::uint64_t payload_bytes_max = 1u << 20;        // of one event; at most 64 MiB
  std::uint64_t pending_bytes_max = 64u << 20;       // waiting for the disk, and of one batch
  std::uint64_t fetch_bytes_max = 8u << 20;          // of one fetch (at least one event is returned)
  std::size_t consumers_max = 1000;
};

// failed_precondition `queue.locked` names the process that has the folder open, `queue.format` when a newer Millrace
// wrote it; data_loss `queue.corrupt` when a segment's header or consumers.json is damaged.
Result<std::unique_ptr<Queue>> open_local(Env env, LocalConfig config);

}  // namespace millrace::queue
