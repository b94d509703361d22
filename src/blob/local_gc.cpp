// Garbage collection. The race to get right: a reference or a second upload of the same content that appears while a
// collection runs, perhaps in another process. Nothing is removed in place: a blob is first set aside by rename, then
// pins and references are looked at once more, and only then it is removed or put back. Whoever adds a reference to an
// existing blob pins first and looks for the blob afterwards (and takes it back when it finds it set aside). So in
// every order one of the two sees the other.
#include <utility>

#include "base/fault.hpp"
#include "base/log.hpp"
#include "blob/local_internal.hpp"

namespace millrace::blob {

struct LocalStore::Collection {
  const std::function<bool(const Digest&)>& reachable;
  TimePoint born_before;  // what is younger than this is kept
  bool dry_run;
  GcReport report;
  std::set<Id> keys;  // of what was removed
  bool young(const FileInfo& info) const { return info.modified > born_before; }
};

bool LocalStore::pinned(const Digest& digest, const Collection& c) {
  const auto info = env_.fs.info(in("pins", digest));
  if (info) return c.young(*info);
  return info.error().code != Code::not_found;  // in doubt, keep
}

Result<void> LocalStore::restore_trash() {
  TRY(auto files, env_.fs.list(in("trash")));
  for (const FileInfo& file : files) {
    const std::string path = join_path(in("trash"), file.name);
    if (const auto digest = Digest::parse(file.name)) {
      // Written again since: its age protects the new one, and the old one would take that away. A power cut may also
      // bring back what was removed from here before.
      if (exists(env_.fs, object_path(*digest))) {
        TRY_VOID(env_.fs.remove(path));
        continue;
      }
      TRY_VOID(env_.faults.reach("blob.gc.before_restore"));
      TRY_VOID(make_object_dir(*digest));
      TRY_VOID(env_.fs.rename(path, object_path(*digest)));
      TRY_VOID(env_.fs.sync_dir(object_dir(*digest)));
      env_.log.warn("blob_restored_from_trash", {{"digest", file.name}});
    } else if (const auto pin = join_path(in("pins"), file.name.substr(0, file.name.find('.'))); exists(env_.fs, pin)) {
      TRY_VOID(env_.fs.remove(path));
    } else {
      TRY_VOID(env_.fs.rename(path, pin));  // it may have been renewed just before it was set aside; else it goes again
    }
  }
  return ok();
}

Result<void> LocalStore::collect_uploads(Collection& c) {
  TRY(auto files, env_.fs.list(in("tmp")));
  for (const FileInfo& file : files) {
    {
      std::lock_guard lock(mutex_);
      if (uploads_.contains(file.name)) continue;
    }
    if (c.young(file)) continue;
    if (!c.dry_run) {
      auto removed = env_.fs.remove(join_path(in("tmp"), file.name));
      if (!removed && removed.error().code != Code::not_found) return removed;
    }
    ++c.report.uploads;
  }
  return ok();
}

Result<void> LocalStore::collect_object(Collection& c, const Digest& digest, const FileInfo& info) {
  if (c.young(info)) return ++c.report.kept_young, ok();
  if (pinned(digest, c)) return ++c.report.kept_pinned, ok();
  if (c.reachable(digest)) return ++c.report.kept_reachable, ok();

  StoredBlob stored;
  if (c.dry_run) {
    stored = stored_of(digest, object_path(digest), info);
  } else {
    const std::string aside = in("trash", digest);
    TRY_VOID(env_.faults.reach("blob.gc.before_move"));
    auto moved = env_.fs.rename(object_path(digest), aside);
    if (!moved) return moved.error().code == Code::not_found ? ok() : moved;
    TRY_VOID(env_.faults.reach("blob.gc.after_move"));
    const auto now = env_.fs.info(aside);
    if (now) stored = stored_of(digest, aside, *now);
    const bool keep = !now || c.young(*now) || pinned(digest, c) || c.reachable(digest);
    if (!keep) TRY_VOID(env_.faults.reach("blob.gc.before_remove"));
    const bool back = keep && !exists(env_.fs, object_path(digest));  // one that was written anew stays instead
    const auto gone = back ? env_.fs.rename(aside, object_path(digest)) : env_.fs.remove(aside);
    if (!gone && gone.error().code != Code::not_found) return gone;
    TRY_VOID(env_.faults.reach("blob.gc.after_remove"));
    if (keep || !gone) {  // not there any more: somebody pinned it and took it back
      TRY_VOID(env_.fs.sync_dir(object_dir(digest)));
      return ++c.report.kept_by_race, ok();
    }
    std::lock_guard lock(mutex_);
    verified_.erase(digest);
  }
  c.report.removed.push_back(stored.info);
  c.report.bytes += stored.info.size;
  if (stored.key != Id{}) c.keys.insert(stored.key);
  return ok();
}

Result<void> LocalStore::expire_pins(Collection& c) {
  TRY(auto files, env_.fs.list(in("pins")));
  for (const FileInfo& file : files) {
    if (c.young(file) || c.dry_run) continue;
    // The same dance: aside, look again (it may have been renewed), then away.
    const std::string path = join_path(in("pins"), file.name), aside = join_path(in("trash"), file.name + ".pin");
    auto moved = env_.fs.rename(path, aside);
    if (!moved) {
      if (moved.error().code == Code::not_found) continue;
      return moved;
    }
    TRY_VOID(env_.faults.reach("blob.gc.after_pin"));
    TRY(auto now, env_.fs.info(aside));
    if (c.young(now)) {
      TRY_VOID(env_.fs.rename(aside, path));
    } else {
      TRY_VOID(env_.fs.remove(aside));
    }
  }
  return ok();
}

// A rename keeps the time of writing, so the age is that of the note beside it, written at the move. A note alone is
// what a process left that died between the two.
Result<void> LocalStore::expire_quarantine(Collection& c) {
  TRY(auto files, env_.fs.list(in("quarantine")));
  const TimePoint before = env_.clock.now() - config_.quarantine_keep;
  for (const FileInfo& file : files) {
    const std::string here = join_path(in("quarantine"), file.name);
    const bool is_note = file.name.ends_with(".txt");
    const std::string path = is_note ? here.substr(0, here.size() - 4) : here, note = path + ".txt";
    if (is_note && exists(env_.fs, path)) continue;
    const auto noted = env_.fs.info(note);
    if ((noted ? noted->modified : file.modified) > before) continue;
    if (!is_note) ++c.report.quarantined;
    if (c.dry_run) continue;
    for (const std::string& each : {path, note}) {
      auto removed = env_.fs.remove(each);
      if (!removed && removed.error().code != Code::not_found) return removed;
      TRY_VOID(env_.faults.reach("blob.gc.after_quarantined"));
    }
  }
  return ok();
}

namespace {

std::unexpected<Error> gc_running(const std::string& detail) {
  return fail(Code::failed_precondition, "blob.gc_running", "another garbage collection is running" + detail);
}

}  // namespace

Result<std::unique_ptr<FileLock>> LocalStore::hold_garbage() {
  auto lock = env_.fs.lock(in("gc.lock"), "a copy that is being made: no garbage collection until its end");
  if (!lock && lock.error().code == Code::failed_precondition) return gc_running(": " + lock.error().message);
  return lock;
}

Result<GcReport> LocalStore::collect_garbage(const std::function<bool(const Digest&)>& reachable, Duration grace,
                                             bool dry_run) {
  std::unique_lock single(gc_mutex_, std::try_to_lock);
  if (!single) return gc_running(" in this process; wait for its end");
  auto lock = env_.fs.lock(in("gc.lock"), "garbage collection");
  if (!lock) {
    if (lock.error().code == Code::failed_precondition) return gc_running(": " + lock.error().message);
    return fail(lock.error());
  }
  TRY_VOID(restore_trash());

  Collection c{.reachable = reachable, .born_before = env_.clock.now() - grace, .dry_run = dry_run};
  TRY_VOID(collect_uploads(c));
  TRY(auto folders, env_.fs.list(in("objects")));
  for (const FileInfo& folder : folders) {
    if (!folder.is_dir) continue;
    TRY(auto files, env_.fs.list(join_path(in("objects"), folder.name)));
    for (const FileInfo& file : files) {
      if (auto digest = Digest::parse(file.name)) TRY_VOID(collect_object(c, *digest, file));
    }
  }
  TRY_VOID(expire_pins(c));
  TRY_VOID(expire_quarantine(c));
  if (config_.forget_keys && !dry_run && !c.keys.empty()) TRY_VOID(config_.keys->forget(c.keys));
  env_.log.info("blob_garbage_collected", {{"removed", c.report.removed.size()},
                                           {"bytes", c.report.bytes},
                                           {"uploads", c.report.uploads},
                                           {"quarantined", c.report.quarantined},
                                           {"kept_by_race", c.report.kept_by_race},
                                           {"dry_run", dry_run}});
  return std::move(c.report);
}

}  // namespace millrace::blob
