// SQLite's files on the simulated disk: the real database code, crashes included, with nothing outside of the test's
// hand.
//   SimVfs vfs(disk, clock, rng);
//   auto store = open_sqlite(env, {.folder = "data", .vfs = vfs.name()}, writer, migrations);
// It does what SQLite's own layer for Unix (os_unix.c) does and nothing more careful, because that one is what runs in
// production:
// - a journal's or write-ahead log's first sync syncs its folder too, and does not say when that fails;
// - removing a file syncs the folder only when SQLite asks for it;
// - a file that is there and empty counts as not there when SQLite looks for a journal.
// No memory mapping (mmap_size is 0 in production too). Locks and the shared memory of the write-ahead log live in
// memory and belong to one boot of the disk: a crash or a kill drops them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock.hpp"
#include "base/rng.hpp"
#include "base/testing/sim_fs.hpp"

namespace millrace::meta {

// What the disk promises to SQLite. The first is what os_unix.c says of every file system.
struct SimVfsOptions {
  // A write leaves the bytes beside it alone, whenever the power goes. Off: nothing is promised and sectors have 512
  // bytes, for a disk with SimFs::set_sector_damage. Never promised: atomic writes, writes in order, that a file grows
  // only after its bytes are there.
  bool powersafe_overwrite = true;
  // SQLite waits for a lock (threads only). Nothing: it tries again at once.
  std::function<void(Duration)> sleep;
  // Planted faults, to see whether a test finds them: syncs say yes and do nothing.
  bool skip_sync = false;
  bool skip_sync_dir = false;
};

// Registered with SQLite as long as it lives; outlives the stores on it. Thread-safe, as SQLite needs it.
// SQLite's own random numbers (they salt its log) belong to the process: they start from `rng` here, so
// one simulated store at a time is the same story each time.
class SimVfs {
 public:
  SimVfs(SimFs& fs, Clock& clock, Rng& rng, SimVfsOptions options = {});
  ~SimVfs();
  SimVfs(const SimVfs&) = delete;
  SimVfs& operator=(const SimVfs&) = delete;

  const std::string& name() const;

  struct State;  // opaque

 private:
  std::unique_ptr<State> state_;
};

}  // namespace millrace::meta
