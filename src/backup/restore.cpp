#include <algorithm>
#include <format>

#include "backup/folder_internal.hpp"
#include "base/fault.hpp"
#include "base/fs.hpp"
#include "blob/keys.hpp"
#include "blob/local.hpp"

namespace millrace::backup {

namespace {

Result<std::vector<BlobLine>> lines_of(const Manifest& manifest, blob::Store& store) {
  TRY(const auto digest, Digest::parse(manifest.blobs));
  TRY(const auto text, store.read(digest, lines_bytes_max));
  return parse_lines(text);
}

// A name in a manifest is a path below the data folder, whoever wrote it.
bool stays_inside(const std::string& path) {
  if (path.empty() || path.starts_with('/')) return false;
  for (std::size_t at = 0; at <= path.size();) {
    const auto end = std::min(path.find('/', at), path.size());
    const auto part = std::string_view(path).substr(at, end - at);
    if (part.empty() || part == "." || part == "..") return false;
    at = end + 1;
  }
  return true;
}

std::unexpected<Error> impossible(const Manifest& manifest, const std::string& what) {
  return fail(
      Code::data_loss, "backup.damaged",
      "backup " + manifest.id + " can't be right: it names " + what + "; take another one (millrace backup --list)");
}

// Reads all that a backup names. `store` of the backup folder.
Result<void> verify_in(const Manifest& manifest, blob::Store& store, const Progress& progress) {
  std::string damaged;
  int count = 0;
  auto look = [&](const std::string& what, const std::string& hex) {
    auto digest = Digest::parse(hex);
    auto verified = digest ? store.verify_stored(*digest) : Result<blob::StoredBlob>(fail(digest.error()));
    if (verified) return;
    constexpr int named_max = 10;
    if (++count <= named_max) damaged += "\n  " + what + ": " + verified.error().message;
  };
  auto told = [&] {
    return fail(
        Code::data_loss, "backup.damaged",
        std::format("backup {} is damaged in {} place{}; take another one (millrace backup --list), or bring the "
                    "files back:{}",
                    manifest.id, count, count == 1 ? "" : "s", damaged));
  };
  for (const auto& file : manifest.files) {
    if (!stays_inside(file.path))
      return impossible(manifest, "the file '" + file.path + "', which is outside of the data folder");
    if (file.kept < 0 || file.bytes < file.kept)
      return impossible(manifest, std::format("the file {} with {} of {} bytes", file.path, file.kept, file.bytes));
  }
  look("its list of blobs", manifest.blobs);
  if (count > 0) return told();
  TRY(const auto lines, lines_of(manifest, store));
  std::int64_t all = manifest.blob_bytes;
  for (const auto& file : manifest.files) all += file.kept;
  Meter meter(progress, "verifying", all);
  for (const auto& file : manifest.files) {
    look(file.path, file.digest);
    TRY_VOID(meter.add(static_cast<std::uint64_t>(file.kept)));
  }
  for (const auto& line : lines) {
    look("blob " + line.digest.hex(), line.digest.hex());
    TRY_VOID(meter.add(line.bytes));
  }
  if (count > 0) return told();
  return {};
}

Result<void> write_zeros(WritableFile& file, std::int64_t bytes) {
  const std::vector<std::byte> zeros(static_cast<std::size_t>(std::min<std::int64_t>(bytes, blob::piece_bytes_max)));
  for (; bytes > 0; bytes -= static_cast<std::int64_t>(zeros.size()))
    TRY_VOID(file.append(std::span(zeros).first(
        static_cast<std::size_t>(std::min<std::int64_t>(bytes, static_cast<std::int64_t>(zeros.size()))))));
  return {};
}

Result<void> write_file_back(const File& file, blob::Store& store, const std::string& root, Env& env, Meter& meter) {
  const auto path = join_path(root, file.path);
  TRY_VOID(env.fs.make_dirs(parent_path(path)));
  TRY(auto out, env.fs.open_write(path, WriteMode::create_new));
  TRY(const auto digest, Digest::parse(file.digest));
  TRY(const auto in, store.open(digest));
  std::vector<std::byte> piece(blob::piece_bytes_max);
  const auto kept = static_cast<std::uint64_t>(file.kept);
  if (in->size() < kept) return fail(Code::data_loss, "backup.damaged", file.path + " is shorter than it was");
  for (std::uint64_t at = 0; at < kept;) {
    TRY(const auto got, in->read(at, std::span(piece).first(std::min<std::uint64_t>(piece.size(), kept - at))));
    if (got == 0) break;
    TRY_VOID(out->append(std::span<const std::byte>(piece).first(got)));
    TRY_VOID(meter.add(got));
    at += got;
  }
  TRY_VOID(write_zeros(*out, file.bytes - file.kept));
  TRY_VOID(out->sync());
  return env.fs.sync_dir(parent_path(path));
}

// Sealed blobs are of no use without their keys: said before anything is written. Which of them are destroyed, or were
// lost before the backup, is another matter.
Result<void> check_keys(const RestoreConfig& config, const Manifest& manifest, blob::Store& store, Env& env) {
  if (!config.keys.empty()) {
    TRY(const auto given, blob::Keys(env, {config.keys, std::nullopt}).look());
    if (!given.there) return fail(Code::not_found, "backup.no_keys", "there is no keys file " + config.keys);
    return {};
  }
  const auto path = join_path(config.folder, blob::keys_name);
  TRY(const auto kept, blob::Keys(env, {path, std::nullopt}).look());
  if (!kept.problem.empty()) {
    return fail(Code::data_loss, "backup.damaged",
                path + " holds the keys of sealed blobs, and " + kept.problem +
                    "; name another one besides: --keys FILE (the file `keys` of the data folder, or of another backup "
                    "folder); what is whole in this one counts too");
  }
  if (kept.there) return {};
  const auto lines = lines_of(manifest, store);
  if (!lines) return {};  // told with the rest
  for (const auto& line : *lines) {
    const auto stored = store.stat_stored(line.digest);
    if (!stored || stored->key == Id{}) continue;  // what is wrong with it is told with the rest
    return fail(Code::failed_precondition, "backup.no_keys",
                "the backup has sealed blobs, and their keys should be in " + path +
                    ", which is missing; bring it back, or name another one: --keys FILE (the file `keys` of the data "
                    "folder, or of another backup folder)");
  }
  return {};
}

Result<void> write_keys(const RestoreConfig& config, const std::string& made, Env& env) {
  blob::Keys keys(env, {join_path(made, blob::keys_name), std::nullopt});
  // The second is merged into the first: what either knows to be destroyed is.
  TRY_VOID(keys.take_from(join_path(config.folder, blob::keys_name)));
  if (!config.keys.empty()) TRY_VOID(keys.take_from(config.keys));
  return env.fs.remove_all(join_path(made, std::string(blob::keys_name) + ".lock"));
}

Result<Manifest> choose(const RestoreConfig& config, Env& env) {
  TRY(auto all, list(config.folder, env));
  std::string names;
  for (auto& one : all) {
    if (config.id.empty() || one.id == config.id) return std::move(one);
    names += (names.empty() ? "" : ", ") + one.id;
  }
  return fail(Code::not_found, "backup.no_backup",
              names.empty() ? config.folder + " holds no backup yet"
                            : std::format("{} has no backup '{}'; it has: {}", config.folder, config.id, names));
}

}  // namespace

Result<void> verify(const Manifest& manifest, const std::string& folder, Env& env, const Progress& progress) {
  TRY_VOID(check_folder(folder, env));
  TRY(const auto store, blob::open_local(env, {join_path(folder, "blobs")}));
  return verify_in(manifest, *store, progress);
}

Result<Manifest> restore(const RestoreConfig& config, Env& env,
                         const std::function<Result<void>(const std::string& data_dir)>& settle,
                         const Progress& progress) {
  TRY(auto manifest, choose(config, env));
  if (const auto there = env.fs.list(config.data_dir); there && !there->empty()) {
    return fail(Code::failed_precondition, "backup.not_empty",
                config.data_dir + " holds something; restore into a folder that is empty or not there: --data-dir");
  }
  TRY(const auto store, blob::open_local(env, {join_path(config.folder, "blobs")}));
  TRY_VOID(check_keys(config, manifest, *store, env));
  TRY_VOID(verify_in(manifest, *store, progress));

  const auto made = config.data_dir + ".restoring";
  TRY_VOID(env.fs.remove_all(made));  // of an interrupted one
  TRY_VOID(env.fs.make_dirs(made));
  auto write = [&]() -> Result<void> {
    Meter files(progress, "files", 0), blobs(progress, "blobs", manifest.blob_bytes);
    for (const auto& file : manifest.files) TRY_VOID(write_file_back(file, *store, made, env, files));
    TRY(const auto to, blob::open_local(env, {join_path(made, "blobs")}));
    TRY(const auto lines, lines_of(manifest, *store));
    for (const auto& line : lines) TRY_VOID(copy_blob(*store, *to, line.digest, blobs));
    TRY_VOID(write_keys(config, made, env));
    TRY_VOID(env.faults.reach("backup.restore.before_settle"));
    return settle(made);
  };
  if (auto written = write(); !written) {
    (void)env.fs.remove_all(made);
    return fail(written.error());
  }
  TRY_VOID(env.faults.reach("backup.restore.before_rename"));
  if (exists(env.fs, config.data_dir)) TRY_VOID(env.fs.remove(config.data_dir));  // empty: looked at above
  TRY_VOID(env.fs.rename(made, config.data_dir));
  TRY_VOID(env.fs.sync_dir(parent_path(config.data_dir)));
  TRY_VOID(env.faults.reach("backup.restore.after_rename"));
  return manifest;
}

}  // namespace millrace::backup
