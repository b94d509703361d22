#include <algorithm>
#include <format>

#include "backup/folder_internal.hpp"
#include "base/fs.hpp"
#include "base/json.hpp"

namespace millrace::backup {

namespace stored {

struct FormatFile {
  int format = 0;
};

}  // namespace stored

using namespace stored;

namespace {

constexpr std::uint64_t manifest_bytes_max = 64u << 20;

}  // namespace

std::string render_lines(const std::vector<BlobLine>& lines) {
  std::string out;
  for (const auto& line : lines) out += std::format("{} {}\n", line.digest.hex(), line.bytes);
  return out;
}

Result<std::vector<BlobLine>> parse_lines(std::string_view text) {
  std::vector<BlobLine> lines;
  while (!text.empty()) {
    const auto end = text.find('\n'), blank = text.find(' ');
    if (end == text.npos || blank == text.npos || blank > end)
      return fail(Code::data_loss, "backup.damaged", "a list of blobs is damaged");
    TRY(const auto digest, Digest::parse(text.substr(0, blank)));
    const auto number = std::string(text.substr(blank + 1, end - blank - 1));
    lines.push_back({digest, std::strtoull(number.c_str(), nullptr, 10)});
    text.remove_prefix(end + 1);
  }
  return lines;
}

std::string render(const Manifest& manifest) { return json::render(manifest); }

Result<Manifest> parse_manifest(std::string_view text, const std::string& path) {
  // What a newer program wrote may have keys that this one does not know: its number is looked at first.
  TRY(const auto head, json::parse_lenient<FormatFile>(text, path));
  if (head.format > backup_format) {
    return fail(
        Code::failed_precondition, "backup.newer_format",
        std::format("{} has format {}, this program knows {}; use a newer one", path, head.format, backup_format));
  }
  return json::parse<Manifest>(text, path);
}

Result<void> check_folder(const std::string& folder, Env& env) {
  const auto path = join_path(folder, "format");
  auto text = read_file(env.fs, path, 4096);
  auto head = text ? json::parse_lenient<FormatFile>(*text, path) : Result<FormatFile>(fail(text.error()));
  if (!head || !exists(env.fs, join_path(folder, "backups"))) {
    return fail(Code::not_found, "backup.no_backups",
                folder + " holds no backups of Millrace; make one with: millrace backup " + folder);
  }
  if (head->format > backup_format) {
    return fail(
        Code::failed_precondition, "backup.newer_format",
        std::format("{} has format {}, this program knows {}; use a newer one", path, head->format, backup_format));
  }
  return {};
}

Result<void> make_folder(const std::string& folder, Env& env) {
  if (exists(env.fs, join_path(folder, "format"))) return check_folder(folder, env);
  TRY_VOID(env.fs.make_dirs(folder));
  TRY(const auto files, env.fs.list(folder));
  // "backups" and "lock" alone: an interrupted first time.
  const bool ours = std::ranges::all_of(files, [](const auto& f) { return f.name == "backups" || f.name == "lock"; });
  if (!ours) {
    return fail(Code::failed_precondition, "backup.no_backups",
                folder + " holds other things than backups; name a folder that is empty or not there yet");
  }
  TRY_VOID(env.fs.make_dirs(join_path(folder, "backups")));
  return write_file(env.fs, join_path(folder, "format"), json::render(FormatFile{backup_format}));
}

Result<void> Meter::add(std::uint64_t bytes) {
  told_.done += static_cast<std::int64_t>(bytes);
  if (!progress_ || progress_(told_)) return {};
  return fail(Code::cancelled, "backup.interrupted", "interrupted; nothing of it is visible");
}

Result<Extent> extent_of(const ReadableFile& file) {
  const auto bytes = file.size();  // asked once: a second answer may be larger
  std::vector<std::byte> piece(blob::piece_bytes_max);
  for (auto end = bytes; end > 0;) {
    const auto begin = end - std::min<std::uint64_t>(end, piece.size());
    TRY(const auto got, file.read(begin, std::span(piece).first(end - begin)));
    for (auto at = got; at > 0; --at) {
      if (piece[at - 1] != std::byte{0}) return Extent{bytes, begin + at};
    }
    end = begin;
  }
  return Extent{bytes, 0};
}

Result<blob::BlobInfo> put_file(const ReadableFile& file, std::uint64_t bytes, blob::Store& to, Meter& meter) {
  TRY(auto writer, to.create());
  std::vector<std::byte> piece(blob::piece_bytes_max);
  for (std::uint64_t at = 0; at < bytes;) {
    TRY(const auto got, file.read(at, std::span(piece).first(std::min<std::uint64_t>(piece.size(), bytes - at))));
    if (got == 0) return fail(Code::data_loss, "backup.damaged", "a file became shorter while it was copied");
    TRY_VOID(writer->append(std::span<const std::byte>(piece).first(got)));
    TRY_VOID(meter.add(got));
    at += got;
  }
  TRY_VOID(writer->append(file_mark));
  return writer->commit();
}

Result<void> copy_blob(blob::Store& from, blob::Store& to, const Digest& digest, Meter& meter) {
  TRY(const auto file, from.open_stored(digest));
  return to.put_stored(digest, *file, [&](std::uint64_t bytes) { return meter.add(bytes); });
}

Result<std::vector<Manifest>> list(const std::string& folder, Env& env) {
  TRY_VOID(check_folder(folder, env));
  TRY(const auto files, env.fs.list(join_path(folder, "backups")));
  std::vector<Manifest> out;
  for (const auto& file : files) {
    if (!file.name.ends_with(".json")) continue;
    const auto path = join_path(folder, "backups/" + file.name);
    TRY(const auto text, read_file(env.fs, path, manifest_bytes_max));
    TRY(auto manifest, parse_manifest(text, path));
    out.push_back(std::move(manifest));
  }
  std::ranges::sort(out, std::greater(), &Manifest::made);
  return out;
}

std::string make_id(TimePoint made, const std::vector<std::string>& taken) {
  const auto base = std::format("{:%Y%m%dT%H%M%SZ}", std::chrono::floor<std::chrono::seconds>(made));
  auto id = base;
  for (int n = 2; std::ranges::contains(taken, id); ++n) id = std::format("{}-{}", base, n);
  return id;
}

std::vector<std::string> outdated(std::vector<std::string> ids, int keep) {
  if (keep <= 0 || ids.size() <= static_cast<std::size_t>(keep)) return {};
  std::ranges::sort(ids, std::greater());
  return {ids.begin() + keep, ids.end()};
}

}  // namespace millrace::backup
