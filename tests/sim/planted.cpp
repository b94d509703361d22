#include "sim/planted.hpp"

#include <array>

namespace millrace::simulator {

std::span<const Planted> planted() {
#define PLANTED(name, what) \
  Planted { Plant::name, #name, what }
  static constexpr auto list = std::to_array<Planted>({
      PLANTED(blob_file_not_synced, "a blob is renamed into its place without a sync"),
      PLANTED(blob_folder_not_synced, "the folder of a new blob is not synced"),
      PLANTED(blob_rename_before_sync, "a blob gets its name before its bytes are synced"),
      PLANTED(queue_file_not_synced, "events are answered without a sync"),
      PLANTED(queue_folder_not_synced, "the folder of a new segment of the queue is not synced"),
      PLANTED(positions_not_synced, "positions of consumers are renamed without a sync"),
      PLANTED(positions_in_place, "positions of consumers are written over the old ones"),
      PLANTED(meta_file_not_synced, "SQLite's syncs do nothing"),
      PLANTED(meta_folder_not_synced, "the data folder is never synced"),
      PLANTED(format_not_synced, "the file that names the folder's format is renamed without a sync"),
      PLANTED(log_not_synced, "the prediction log's syncs do nothing"),
      PLANTED(log_folder_not_synced, "the folder of a new log segment is not synced"),
      PLANTED(torn_line_read, "a reader of the prediction log does not look at the sums"),
      PLANTED(failed_sync_repeated, "a sync that failed is tried again, and then believed"),
      PLANTED(event_outside_transaction, "events are written in a transaction of their own, after the change"),
      PLANTED(effect_after_completion, "a job ends first; its effect follows in another transaction"),
      PLANTED(effect_before_completion, "a job's effect is committed first; its end follows in another transaction"),
      PLANTED(alias_pair_in_two, "previous and current move in two transactions"),
      PLANTED(alias_without_verdict, "promoting does not look at the verdict"),
      PLANTED(label_stored_twice, "a label that was said before is stored again"),
      PLANTED(roll_in_two, "rows of the log are committed, and how far it is rolled in another transaction"),
      PLANTED(relay_forgets_first, "events leave the outbox before the queue has them"),
      PLANTED(relay_without_numbers, "the queue is not told the numbers of events, so repeats are new to it"),
      PLANTED(reference_before_blob, "a record names a blob that is written afterwards"),
      PLANTED(commit_without_token, "a job is finished whatever the token"),
      PLANTED(alias_before_verdict, "the alias moves to a candidate, and then its verdict is recorded"),
      PLANTED(gc_ignores_open_upload, "a collection removes uploads that are open"),
      PLANTED(gc_without_grace, "a collection takes what nobody names yet, however young"),
      PLANTED(gc_by_old_records, "a collection goes by the records of the collection before"),
      PLANTED(segment_removed_before_commit, "log segments are removed before their rows are committed"),
      PLANTED(event_handled_twice, "a consumer does not look whether it handled an event before"),
      PLANTED(ack_before_handling, "a consumer acknowledges events and handles them afterwards"),
      PLANTED(restore_without_verification, "a damaged blob is restored from a copy that is not verified"),
  });
#undef PLANTED
  return list;
}

const Planted* find_planted(std::string_view name) {
  for (const auto& one : planted()) {
    if (one.name == name) return &one;
  }
  return nullptr;
}

}  // namespace millrace::simulator
