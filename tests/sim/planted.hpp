// Faults that are planted on purpose, to see that the simulator would find them. Each is one mistake that somebody
// could make in the product: on the way to the disk (disk.hpp lies), in what is written (tamper.hpp), or in the order
// of calls (the operations ask `has`).
#pragma once

#include <span>
#include <string_view>

namespace millrace::simulator {

enum class Plant {
  none,
  // The disk.
  blob_file_not_synced,
  blob_folder_not_synced,
  blob_rename_before_sync,
  queue_file_not_synced,
  queue_folder_not_synced,
  positions_not_synced,
  positions_in_place,
  meta_file_not_synced,
  meta_folder_not_synced,
  format_not_synced,
  log_not_synced,
  log_folder_not_synced,
  torn_line_read,
  failed_sync_repeated,
  // What is written.
  event_outside_transaction,
  effect_after_completion,
  effect_before_completion,
  alias_pair_in_two,
  alias_without_verdict,
  label_stored_twice,
  roll_in_two,
  relay_forgets_first,
  relay_without_numbers,
  // The order of calls.
  reference_before_blob,
  commit_without_token,
  alias_before_verdict,
  gc_ignores_open_upload,
  gc_without_grace,
  gc_by_old_records,
  segment_removed_before_commit,
  event_handled_twice,
  ack_before_handling,
  restore_without_verification,
};

struct Planted {
  Plant plant;
  std::string_view name;
  std::string_view what;  // the mistake, for people
};

std::span<const Planted> planted();
const Planted* find_planted(std::string_view name);

}  // namespace millrace::simulator
