#include "meta/check.hpp"

#include <array>
#include <cstring>
#include <format>
#include <optional>

#include "meta/sqlite.hpp"
#include "meta/sqlite_session_internal.hpp"

namespace millrace::meta {

namespace {

// SQLite's file format, section 4.1: a header, then frames of a page each; numbers are big endian.
constexpr std::uint64_t header_bytes = 32, frame_header_bytes = 24, log_bytes_max = std::uint64_t{4} << 30;

std::uint32_t big(std::string_view bytes, std::size_t at) {
  std::uint32_t out = 0;
  for (std::size_t i = 0; i < 4; ++i) out = out << 8 | static_cast<unsigned char>(bytes[at + i]);
  return out;
}

struct Sum {
  bool big_endian = false;
  std::uint32_t first = 0, second = 0;
  void add(std::string_view bytes) {
    auto word = [&](std::size_t at) {
      const auto value = big(bytes, at);
      return big_endian ? value : __builtin_bswap32(value);
    };
    for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8) {
      first += word(at) + second;
      second += word(at + 4) + first;
    }
  }
  bool is(std::string_view bytes, std::size_t at) const {
    return first == big(bytes, at) && second == big(bytes, at + 4);
  }
};

// Commits from frame `at` on that carry these salts.
std::int64_t commits_from(std::string_view log, std::uint64_t at, std::uint64_t frame_bytes, std::string_view salts) {
  std::int64_t commits = 0;
  for (; at + frame_bytes <= log.size(); at += frame_bytes)
    commits += log.substr(at + 8, 8) == salts && big(log, at + 4) != 0;
  return commits;
}

std::optional<RecordsDamage> judge_log(std::string_view log) {
  if (log.size() < header_bytes) return std::nullopt;  // nothing was committed through it
  constexpr std::uint32_t magic = 0x377f0682;
  const auto page_bytes = big(log, 8);
  const bool power_of_two = page_bytes >= 512 && page_bytes <= 65536 && (page_bytes & (page_bytes - 1)) == 0;
  Sum sum{.big_endian = (big(log, 0) & 1) != 0};
  sum.add(log.substr(0, 24));
  const bool header = (big(log, 0) & ~1u) == magic && power_of_two && sum.is(log, 24);
  // What the first frame says may be whole where the header is not.
  const auto salts = header || log.size() < header_bytes + 16 ? log.substr(16, 8) : log.substr(header_bytes + 8, 8);
  const auto frame_bytes = frame_header_bytes + (power_of_two ? page_bytes : 4096);
  std::uint64_t at = header_bytes;
  std::int64_t frame = 1;
  for (; header && at + frame_bytes <= log.size(); at += frame_bytes, ++frame) {
    if (log.substr(at + 8, 8) != salts) break;  // of an earlier round: the log's end
    auto next = sum;
    next.add(log.substr(at, 8));
    next.add(log.substr(at + frame_header_bytes, frame_bytes - frame_header_bytes));
    if (!next.is(log, at + 16)) break;
    sum = next;
  }
  const auto lost = commits_from(log, at, frame_bytes, salts);
  // The last commit alone may be a torn one, that nobody was told of.
  if (lost <= (header ? 1 : 0)) return std::nullopt;
  return RecordsDamage{"meta.db-wal",
                       std::format("{} is damaged, and SQLite leaves out what comes from there on: {} commits",
                                   header ? std::format("frame {} at offset {}", frame, at) : "its header", lost),
                       lost};
}

Result<std::optional<RecordsDamage>> check_database(Fs& fs, const std::string& folder) {
  const auto path = join_path(folder, "meta.db");
  const auto info = fs.info(path);
  if (!info && info.error().code != Code::not_found) return fail(info.error());
  if (!info) return RecordsDamage{"meta.db", "it is missing"};
  if (info->size == 0) return RecordsDamage{"meta.db", "it is empty"};
  // Whoever has the folder may write the log anew at a start: not while somebody has it open.
  TRY(const auto lock, fs.lock(join_path(folder, copy_lock), "checking the records"));
  auto found = [&]() -> Result<Rows> {
    TRY(auto session, SqliteSession::open({.path = path, .read_only = true, .busy_timeout = std::chrono::seconds(30)}));
    return session->pragma("PRAGMA integrity_check(10)");
  }();
  if (!found && found.error().code == Code::data_loss) return RecordsDamage{"meta.db", found.error().message};
  if (!found) return fail(found.error());
  if (found->size() == 1 && found->at(0).text(0) == "ok") return std::nullopt;
  std::string text;
  for (const auto& row : *found) text += (text.empty() ? "" : "; ") + row.text(0);
  return RecordsDamage{"meta.db", text};
}

}  // namespace

Result<void> salvage_sqlite(Fs& fs, const std::string& folder, const std::string& to) {
  TRY_VOID(copy_sqlite(fs, folder, to));
  TRY(auto session, SqliteSession::open({.path = to}));
  TRY_VOID(session->control("REINDEX"));  // a copy takes indexes as they are
  TRY(const auto found, session->pragma("PRAGMA integrity_check(1)"));
  if (found.size() == 1 && found[0].text(0) == "ok") return {};
  return fail(Code::data_loss, "meta.corrupt", "what can be read of " + folder + " is not whole");
}

Result<std::vector<RecordsDamage>> check_sqlite(Fs& fs, const std::string& folder, bool alone) {
  std::vector<RecordsDamage> out;
  if (alone) {
    const auto log = read_file(fs, join_path(folder, "meta.db-wal"), log_bytes_max);
    if (!log && log.error().code != Code::not_found) return fail(log.error());
    if (log) {
      if (auto damage = judge_log(*log)) out.push_back(std::move(*damage));
    }
  }
  TRY(auto damage, check_database(fs, folder));
  if (damage) out.push_back(std::move(*damage));
  return out;
}

}  // namespace millrace::meta
