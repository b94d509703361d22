#include "app/data_files.hpp"

#include <algorithm>
#include <array>

namespace millrace::app {

namespace {

constexpr std::string_view blob_pattern = "blobs/objects/*/@";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); }

}  // namespace

std::span<const FileKind> file_kinds() {
  static constexpr auto kinds = std::to_array<FileKind>({
      {"folder format", "format", "the first start", "every start: a newer program's folder is refused by it", ""},
      {"folder lock", "lock", "whoever has the folder", "one server at a time",
       "its text only names who has it, or had it; the lock is the kernel's and dies with the process"},
      {"records", "meta.db", "the server, in transactions", "everything: what exists and what it is called", ""},
      {"records, newest commits", "meta.db-wal", "the server, in transactions",
       "what was recorded since the last checkpoint", ""},
      {"index of the newest commits", "meta.db-shm", "SQLite", "processes that read the records together",
       "made again from meta.db-wal by the first that opens the records"},
      {"journal of the first transaction", "meta.db-journal", "SQLite, before its log is switched on", "a first start",
       "there is nothing in the records yet"},
      {"records before the last upgrade", "meta.before-*.db", "the first start of a newer program",
       "people, to go back", "nothing reads it; the records are in meta.db"},
      {"room that is held back", "reserve", "the server", "rollback and garbage collection on a full disk",
       "nothing is in it; the server makes it again"},
      {"lock of copies", "meta.copy", "backup, doctor, a start", "one copy of the records at a time",
       "it holds nothing"},
      {"token", "token", "the first start", "programs that call the API with it", ""},
      {"address", "address", "a start", "commands, to find the server", "written anew by each start"},
      {"where the certificate is", "certificate", "a start with TLS", "commands, to know the server; doctor",
       "written anew by each start"},
      {"last words", "last_words", "the server, before a new version is loaded and as it answers",
       "the next start: what is new, and what the server died of",
       "nothing is in it but after a death that has not been recorded yet; made anew"},
      {"the server's log", "millrace.log", "the server", "people", "told to people; nothing reads it"},
      {"the server's log, earlier", "millrace.#.log", "the server", "people", "told to people; nothing reads it"},
      {"the access log", "access.log", "the server", "people", "told to people; nothing reads it"},
      {"the access log, earlier", "access.#.log", "the server", "people", "told to people; nothing reads it"},
      {"where the last backup went", "last_backup", "millrace backup", "doctor, to name a command with its folder",
       "written anew by the next backup; until then a folder is named by hand: doctor --from FOLDER"},
      {"keys of sealed blobs", "keys", "the server and jobs, before a sealed blob has its name",
       "each sealed blob: its key is here, wrapped by the master key", ""},
      {"lock of the keys", "keys.lock", "the server and jobs", "one change of the keys at a time",
       "its text only names who has it, or had it; the lock is the kernel's and dies with the process"},
      {"blob", blob_pattern, "jobs and uploads", "what names its digest: dataset versions, model versions, trainings",
       ""},
      {"upload under way", "blobs/tmp/*.part", "jobs and uploads", "whoever writes it",
       "nobody was told that it is stored; a garbage collection removes it"},
      {"pin", "blobs/pins/@", "who gives a blob a new reference", "garbage collections",
       "its time is what counts: it restarts a day's grace, after which the reference itself protects the blob"},
      {"blob set aside by a garbage collection", "blobs/trash/@", "a garbage collection",
       "the next start, which puts it back", "no record named it when it was set aside"},
      {"pin set aside by a garbage collection", "blobs/trash/@.pin", "a garbage collection", "the next start",
       "as a pin"},
      {"damaged blob", "blobs/quarantine/@", "whoever found the damage", "people", "kept to be looked at, 30 days"},
      {"damaged blob, further copy", "blobs/quarantine/@.#", "whoever found the damage", "people",
       "kept to be looked at, 30 days"},
      {"note about a damaged blob", "blobs/quarantine/*.txt", "whoever found the damage", "people",
       "kept to be looked at, 30 days"},
      {"lock of garbage collections", "blobs/gc.lock", "garbage collection, backup, doctor", "one of them at a time",
       "its text only names who has it"},
      {"segment of the prediction log", "log/#.mpl", "the server, before each answer",
       "labels, live quality, why, trainings on labelled predictions", ""},
      {"events", "queue/#.log", "the server", "whoever waits for events", ""},
      {"positions of consumers", "queue/consumers.json", "the server", "whoever waits for events", ""},
      {"lock of the queue", "queue/lock", "the server", "one server at a time", "its text only names who has it"},
      {"what a job printed", "runs/*.txt", "the job's process", "people: millrace runs logs",
       "told to people; nothing reads it"},
      {"folder of a running attempt", "scratch/**", "the worker and its job", "that attempt",
       "emptied by each start; the job is done again from its last checkpoint"},
      {"folder of another worker's attempts", "scratch-*/**", "millrace worker, doctor", "that attempt",
       "removed a day later; the job is done again from its last checkpoint"},
      {"temporary file of an upload", "tmp/**", "the HTTP library", "a request under way",
       "nobody was told that it is stored"},
      {"damaged file, set aside", "damaged/**", "millrace doctor --mend", "people",
       "kept to be looked at; remove it when you like"},
      {"interrupted write", "*.tmp", "whoever was to replace the file", "nothing",
       "the file that it was to replace is as it was"},
      {"interrupted write of the queue", "queue/*.tmp", "the server", "nothing",
       "the file that it was to replace is as it was"},
  });
  return kinds;
}

bool matches(std::string_view pattern, std::string_view path) {
  constexpr std::size_t digest_chars = 64;
  if (pattern == "**") return true;
  if (pattern.empty()) return path.empty();
  const auto rest = pattern.substr(1);
  switch (pattern.front()) {
    case '#': {
      const auto digits = std::ranges::find_if_not(path, is_digit) - path.begin();
      return digits > 0 && matches(rest, path.substr(static_cast<std::size_t>(digits)));
    }
    case '@':
      return path.size() >= digest_chars && std::ranges::all_of(path.substr(0, digest_chars), is_hex) &&
             matches(rest, path.substr(digest_chars));
    case '*':
      for (std::size_t n = 0; n <= path.size(); ++n) {
        if (matches(rest, path.substr(n))) return true;
        if (n < path.size() && path[n] == '/') return false;
      }
      return false;
    default:
      return !path.empty() && path.front() == pattern.front() && matches(rest, path.substr(1));
  }
}

const FileKind* kind_of(std::string_view path) {
  for (const auto& kind : file_kinds()) {
    if (!matches(kind.pattern, path)) continue;
    // A blob lies in the folder of its first two digits, and is looked for nowhere else.
    constexpr std::size_t folder_at = std::string_view("blobs/objects/").size();
    const auto slash = path.rfind('/');
    if (kind.pattern == blob_pattern && path.substr(folder_at, slash - folder_at) != path.substr(slash + 1, 2))
      continue;
    return &kind;
  }
  return nullptr;
}

}  // namespace millrace::app
