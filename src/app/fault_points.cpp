#include "app/fault_points.hpp"

#include <array>

namespace millrace::app {

std::span<const std::string_view> fault_points() {
  static constexpr auto names = std::to_array<std::string_view>({
      "blob.gc.after_move",
      "blob.gc.before_move",
      "blob.gc.before_remove",
      "blob.quarantine.before_move",
      "blob.write.after_folder_sync",
      "blob.write.after_rename",
      "blob.write.before_rename",
      "blob.write.before_sync",
      "data.ingest.after_part",
      "data.ingest.before_part",
      "flow.complete.before_commit",
      "flow.relay.after_publish",
      "flow.relay.before_publish",
      "label.add.before_commit",
      "label.add.halfway",
      "loop.assemble.before_blob",
      "loop.checkpoint.after_commit",
      "loop.complete.after_commit",
      "loop.complete.before_commit",
      "loop.gc.after_snapshot",
      "loop.ingest.before_commit",
      "loop.promote.after_commit",
      "loop.register.after_number",
      "loop.register.before_commit",
      "loop.retention.before_commit",
      "loop.roll.after_commit",
      "loop.roll.after_part",
      "loop.roll.after_remove",
      "loop.roll.before_commit",
      "loop.roll.before_part",
      "loop.roll.before_remove",
      "loop.rollback.after_commit",
      "meta.commit.after",
      "meta.commit.before",
      "meta.folder.before_format",
      "meta.migrate.before_commit",
      "queue.positions.after_write",
      "queue.positions.before_write",
      "queue.publish.after_sync",
      "queue.publish.before_sync",
      "queue.publish.before_write",
      "queue.segment.after_folder_sync",
      "queue.segment.before_rename",
      "queue.trim.before_remove",
      "serve.load.after_golden",
      "serve.log.after_line",
      "serve.log.before_line",
      "serve.swap.after",
      "serve.swap.before",
      "train.artifact.after",
      "train.checkpoint.after",
      "train.checkpoint.before",
      "train.worker.before_complete",
  });
  return names;
}

}  // namespace millrace::app
