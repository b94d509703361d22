// Making a backup. Why the order is as it is:
//   1. The prediction log, as it is. A segment goes once its lines are in a dataset, which is a commit: so whoever
//   reads the records first may find the lines in neither.
//   2. The records, in one SQLite snapshot: this is the backup's point in time.
//   3. The log again: the same files have grown, and new ones came.
//   4. Events: those that the records do not hold any more are in the queue by now; positions before what they count.
//   5. Blobs. What the records name was durable before, and no collection runs meanwhile.
//   6. Keys of sealed blobs: each was durable before its blob had a name. Before all else too: what was destroyed since
//   the last backup is destroyed in the backups even if nothing else can be copied.
#include <algorithm>
#include <format>
#include <map>
#include <set>

#include "backup/folder_internal.hpp"
#include "base/fault.hpp"
#include "base/fs.hpp"
#include "blob/keys.hpp"
#include "blob/local.hpp"
#include "meta/sqlite.hpp"

namespace millrace::backup {

namespace {

Result<void> files_below(Fs& fs, const std::string& root, const std::string& path, std::vector<std::string>& out) {
  auto entries = fs.list(join_path(root, path));
  if (!entries) return entries.error().code == Code::not_found ? Result<void>() : fail(entries.error());
  for (const auto& entry : *entries) {
    const auto below = join_path(path, entry.name);
    if (entry.is_dir) {
      TRY_VOID(files_below(fs, root, below, out));
    } else if (entry.name != "lock" && !entry.name.ends_with(".tmp")) {
      out.push_back(below);
    }
  }
  return {};
}

class Copying {
 public:
  Copying(const BackupConfig& config, Env& env, const Progress& progress)
      : config_(config),
        env_(env),
        progress_(progress),
        source_keys_(env, {join_path(config.data_dir, blob::keys_name), std::nullopt}),
        keys_(env, {join_path(config.folder, blob::keys_name), std::nullopt}) {}

  Result<BackupReport> run() {
    if (!exists(env_.fs, join_path(config_.data_dir, "format"))) {
      return fail(Code::not_found, "backup.no_folder",
                  config_.data_dir + " is no data folder of Millrace; name one with --data-dir");
    }
    TRY_VOID(make_folder(config_.folder, env_));
    TRY(const auto lock, hold());
    TRY(source_, blob::open_local(env_, {.dir = join_path(config_.data_dir, "blobs"), .keys = &source_keys_}));
    TRY(target_, blob::open_local(env_, {.dir = join_path(config_.folder, "blobs"), .keys = &keys_}));
    TRY_VOID(copy_keys());
    TRY(const auto no_collection, source_->hold_garbage());
    TRY(const auto bytes_before, stored_bytes());
    TRY(auto before, list(config_.folder, env_));
    std::vector<std::string> ids;
    for (const auto& one : before) ids.push_back(one.id);

    auto& manifest = report_.manifest;
    const auto now = env_.clock.now();
    manifest.id = make_id(now, ids);
    manifest.made = format_time(now);
    manifest.program = config_.program;
    manifest.from = config_.data_dir;

    TRY_VOID(copy_files("log"));
    TRY_VOID(copy_records());
    TRY_VOID(env_.faults.reach("backup.make.after_records"));
    TRY_VOID(copy_files("log"));
    TRY_VOID(copy_files("queue"));
    TRY_VOID(copy_files("runs"));
    TRY_VOID(copy_file("format"));
    TRY_VOID(copy_blobs());
    TRY_VOID(copy_keys());
    for (auto& [path, file] : files_) manifest.files.push_back(std::move(file));
    TRY_VOID(env_.faults.reach("backup.make.before_manifest"));
    const auto path = join_path(config_.folder, "backups/" + manifest.id + ".json");
    TRY_VOID(write_file(env_.fs, path, render(manifest)));
    TRY_VOID(env_.faults.reach("backup.make.after_manifest"));
    TRY(const auto bytes_after, stored_bytes());
    report_.new_bytes = bytes_after - bytes_before + static_cast<std::int64_t>(render(manifest).size());
    ids.push_back(manifest.id);
    TRY_VOID(let_go(outdated(ids, config_.keep)));
    return std::move(report_);
  }

 private:
  Result<std::unique_ptr<FileLock>> hold() {
    auto lock = env_.fs.lock(join_path(config_.folder, "lock"), "backup");
    if (lock || lock.error().code != Code::failed_precondition) return lock;
    return fail(Code::failed_precondition, "backup.locked",
                "another backup into " + config_.folder + " is under way; try again when it is over");
  }

  Result<std::int64_t> stored_bytes() {
    std::int64_t bytes = 0;
    TRY_VOID(target_->each([&](const blob::BlobInfo& blob) -> Result<void> {
      bytes += static_cast<std::int64_t>(blob.size);
      return {};
    }));
    return bytes;
  }

  Result<void> copy_file(const std::string& path) {
    auto file = env_.fs.open_read(join_path(config_.data_dir, path));
    // Rolled or trimmed since it was listed: what it held is in the records, which come later.
    if (!file && file.error().code == Code::not_found) return {};
    if (!file) return fail(file.error());
    return keep(path, **file);
  }

  Result<void> keep(const std::string& path, const ReadableFile& file) {
    TRY(const auto extent, extent_of(file));
    Meter meter(progress_, path == "meta.db" ? "records" : "files", 0);
    TRY(const auto blob, put_file(file, extent.used, *target_, meter));
    files_[path] = {path, blob.digest.hex(), static_cast<std::int64_t>(extent.bytes),
                    static_cast<std::int64_t>(extent.used)};
    return {};
  }

  Result<void> copy_files(const std::string& folder) {
    std::vector<std::string> paths;
    TRY_VOID(files_below(env_.fs, config_.data_dir, folder, paths));
    std::ranges::stable_partition(paths, [](const auto& path) { return !path.ends_with(".log"); });
    for (const auto& path : paths) TRY_VOID(copy_file(path));
    return {};
  }

  Result<void> copy_records() {
    const auto path = join_path(config_.folder, "records.tmp");
    TRY_VOID(env_.fs.remove_all(path));
    TRY_VOID(meta::copy_sqlite(env_.fs, config_.data_dir, path));
    TRY(const auto file, env_.fs.open_read(path));
    TRY_VOID(keep("meta.db", *file));
    return env_.fs.remove_all(path);
  }

  Result<void> copy_keys() {
    TRY(const auto changed, keys_.take_from(join_path(config_.data_dir, blob::keys_name)));
    return changed ? env_.faults.reach("backup.make.after_keys") : ok();
  }

  // Is the blob in the backup folder as it should be? Stored under another key, the data folder's counts: it was erased
  // there, or written again after that. Only what can't be opened any more is not worth taking.
  Result<bool> is_there(const BlobLine& line) {
    const auto there = target_->stat_stored(line.digest);
    if (!there || there->info.size != line.bytes) return false;
    TRY(const auto here, source_->stat_stored(line.digest));
    if (there->key == here.key) return true;
    if (here.key == Id{}) return false;
    TRY(const auto state, keys_.state(here.key));
    return state == blob::KeyState::destroyed;
  }

  Result<void> copy_blobs() {
    std::vector<BlobLine> lines;
    TRY_VOID(source_->each([&](const blob::BlobInfo& blob) -> Result<void> {
      lines.push_back({blob.digest, blob.size});
      return {};
    }));
    auto& manifest = report_.manifest;
    manifest.blob_count = static_cast<std::int64_t>(lines.size());
    std::vector<BlobLine> missing;
    std::int64_t missing_bytes = 0;
    for (const auto& line : lines) {
      manifest.blob_bytes += static_cast<std::int64_t>(line.bytes);
      auto there = is_there(line);
      if (!there && there.error().code != Code::data_loss) return fail(there.error());
      if (there && *there) continue;  // what is damaged here is told below
      missing.push_back(line);
      missing_bytes += static_cast<std::int64_t>(line.bytes);
    }
    Meter meter(progress_, "blobs", missing_bytes);
    std::string damaged;
    for (const auto& line : missing) {
      auto copied = copy_blob(*source_, *target_, line.digest, meter);
      if (!copied && copied.error().code == Code::data_loss) {
        damaged += "\n  " + copied.error().message;
        continue;
      }
      TRY_VOID(copied);
      ++report_.new_blobs;
    }
    if (!damaged.empty()) {
      return fail(Code::data_loss, "backup.damaged",
                  "no backup was made, because blobs of " + config_.data_dir +
                      " are damaged; millrace doctor says what "
                      "needs them and how to mend that:" +
                      damaged);
    }
    TRY(const auto list, target_->put(render_lines(lines)));
    manifest.blobs = list.digest.hex();
    return {};
  }

  // Manifests first: a backup is never listed that lacks something.
  Result<void> let_go(const std::vector<std::string>& ids) {
    if (ids.empty()) return {};
    for (const auto& id : ids) TRY_VOID(env_.fs.remove(join_path(config_.folder, "backups/" + id + ".json")));
    TRY_VOID(env_.fs.sync_dir(join_path(config_.folder, "backups")));
    report_.removed = ids;
    TRY_VOID(env_.faults.reach("backup.keep.after_manifests"));
    std::set<std::string> needed;
    TRY(const auto kept, list(config_.folder, env_));
    for (const auto& manifest : kept) {
      for (const auto& file : manifest.files) needed.insert(file.digest);
      needed.insert(manifest.blobs);
      TRY(const auto digest, Digest::parse(manifest.blobs));
      TRY(const auto text, target_->read(digest, lines_bytes_max));
      TRY(const auto lines, parse_lines(text));
      for (const auto& line : lines) needed.insert(line.digest.hex());
    }
    auto reachable = [&](const Digest& digest) { return needed.contains(digest.hex()); };
    TRY_VOID(target_->collect_garbage(reachable, Duration(0), false));
    return {};
  }

  const BackupConfig& config_;
  Env& env_;
  const Progress& progress_;
  blob::Keys source_keys_, keys_;
  std::unique_ptr<blob::Store> source_, target_;
  std::map<std::string, File> files_;
  BackupReport report_;
};

}  // namespace

Result<BackupReport> make(const BackupConfig& config, Env& env, const Progress& progress) {
  return Copying(config, env, progress).run();
}

}  // namespace millrace::backup
