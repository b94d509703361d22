// What doctor looks at, and in which order, so that a server that goes on meanwhile makes nothing look broken:
//   1. events, before the records: those count at least as far
//   2. garbage collections are held off, then one snapshot of the records: what it names is there till the end
//   3. segments of the log before and after the snapshot: one that it names was in one of the lists, or was rolled
#include <algorithm>
#include <format>
#include <map>
#include <set>
#include <thread>

#include "app/data_files.hpp"
#include "app/doctor.hpp"
#include "app/local_commands.hpp"
#include "base/error_codes.hpp"
#include "base/executor.hpp"
#include "base/fs.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "blob/local.hpp"
#include "loop/care.hpp"
#include "loop/log_records.hpp"
#include "loop/service.hpp"
#include "meta/check.hpp"
#include "meta/folder.hpp"
#include "meta/sqlite.hpp"
#include "net/tls.hpp"
#include "queue/check.hpp"
#include "serve/log_check.hpp"

namespace millrace::app {

namespace {

struct FormatFile {
  int format = 0;
};

constexpr std::string_view line_loss = "lines that are gone can't be joined with labels any more";

class Looking {
 public:
  Looking(const cli::DoctorOptions& options, const Source* source, Env& env)
      : options_(options), source_(source), env_(env), dir_(options.data_dir), keys_(env, {in("keys"), std::nullopt}) {}

  Result<Look> run() {
    look_.alone = alone();
    TRY_VOID(files());
    TRY_VOID(format());
    TRY_VOID(records());
    TRY_VOID(events());
    TRY_VOID(token());
    certificate();
    TRY(blobs_, blob::open_local(env_, {.dir = in("blobs"), .keys = &keys_}));
    TRY(const auto no_collection, patient([&] { return blobs_->hold_garbage(); }));
    TRY(const auto segments_before, serve::list_segments(env_.fs, in("log")));
    if (readable_) TRY_VOID(snapshot());
    TRY_VOID(blobs());
    TRY_VOID(keys());
    TRY_VOID(segments(segments_before));
    return std::move(look_);
  }

 private:
  std::string in(std::string_view path) const { return join_path(dir_, path); }
  std::string mend_command(const std::string& more = "") const {
    return "millrace doctor --mend" + more + data_dir_option(options_);
  }
  std::string up_command() const { return "millrace up" + data_dir_option(options_); }
  std::string client(const std::string& command) const {
    return "millrace " + (data_dir_option(options_).empty() ? "" : "--server-data " + shell_word(dir_) + " ") + command;
  }

  void add(Planned planned) {
    if (planned.finding.commands.empty()) planned.finding.commands = {mend_command(source_ ? source_->option : "")};
    // Who has the folder has to let go first.
    if (planned.act != Act::none && !look_.alone)
      planned.finding.commands.insert(planned.finding.commands.begin(), client("down"));
    for (const auto& command : planned.finding.commands)
      planned.finding.mend += (planned.finding.mend.empty() ? "" : ", then: ") + command;
    look_.findings.push_back(std::move(planned));
  }

  bool alone() {
    const auto lock = env_.fs.lock(in("lock"), "doctor");
    return lock || lock.error().code != Code::failed_precondition;
  }

  // Tried again for ten seconds while somebody else has what is needed alone: a backup, a start, a collection.
  template <class F>
  static auto patient(F&& act) -> decltype(act()) {
    constexpr int looks_max = 100;
    for (int look = 0;; ++look) {
      auto done = act();
      const bool held = !done && (done.error().reason == "blob.gc_running" || done.error().reason == "fs.locked");
      if (!held || look == looks_max) return done;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }

  // ---- files of no kind

  Result<void> walk(const std::string& below) {
    const auto entries = env_.fs.list(in(below));
    if (!entries) return entries.error().code == Code::not_found ? Result<void>() : fail(entries.error());
    for (const auto& entry : *entries) {
      const auto path = join_path(below, entry.name);
      if (entry.is_dir) {
        // Whatever lies in there is of that kind.
        if (const auto* kind = kind_of(path + "/x"); kind && kind->pattern.ends_with("**")) continue;
        TRY_VOID(walk(path));
      } else if (!kind_of(path)) {
        add({.finding = {.file = path,
                         .what = "file of no kind",
                         .needed_by = "nothing: no part of Millrace reads a file of this name here",
                         .problem = "it is none of Millrace's files (millrace doctor --kinds lists them)",
                         .lost = "nothing: it is moved to damaged/"},
             .act = Act::set_aside});
      }
    }
    return {};
  }
  Result<void> files() {
    look_.checked.emplace_back("files: each is of a known kind");
    return walk("");
  }

  // ---- the small ones

  Result<void> format() {
    look_.checked.emplace_back("format");
    const auto text = read_file(env_.fs, in("format"), 4096);
    if (!text && text.error().code != Code::not_found) return fail(text.error());
    const auto known = text ? json::parse_lenient<FormatFile>(*text, "format") : Result<FormatFile>(fail(text.error()));
    if (known && known->format > meta::folder_format) {
      return fail(Code::failed_precondition, "meta.newer_format",
                  std::format("{} says that the folder has format {}, this program knows {}; use a newer one",
                              in("format"), known->format, meta::folder_format));
    }
    if (known && known->format >= 1) return {};
    add({.finding = {.file = "format",
                     .what = "folder format",
                     .needed_by = "every start",
                     .problem = text ? "it can't be read" : "it is missing",
                     .lost = "nothing: there is one format so far, and the records say that they are of this program"},
         .act = Act::write_format});
    return {};
  }

  Result<void> token() {
    constexpr std::size_t token_min = 16, newline = 1;
    const auto info = env_.fs.info(in("token"));
    if (!info || info->size >= token_min + newline) return {};
    add({.finding = {.file = "token",
                     .what = "token",
                     .needed_by = "programs that call the API with it",
                     .problem = "it is too short",
                     .lost = "the token: the next start makes another, and programs that used it have to be told"},
         .act = Act::set_aside});
    return {};
  }

  // Of the server that was started here last, where it speaks TLS.
  void certificate() {
    constexpr std::uint64_t bytes_max = 1u << 20;
    auto path = read_file(env_.fs, in("certificate"), 4096);
    if (!path) return;
    while (path->ends_with('\n')) path->pop_back();
    if (!path->starts_with('/') || printable(*path) != *path) return;  // damaged: the next start writes it anew
    look_.checked.emplace_back("certificate");
    const auto text = read_file(env_.fs, *path, bytes_max);
    const auto facts = text ? read_certificate(*text) : Result<CertificateFacts>(fail(text.error()));
    auto warning = facts ? net::certificate_warning(*facts, env_.clock.now())
                         : std::format("the certificate can't be read: {}", facts.error().message);
    if (!warning.empty()) look_.warnings.push_back(std::format("{}: {}", *path, warning));
  }

  Result<void> events() {
    look_.checked.emplace_back("events");
    TRY(events_, queue::check_local(env_.fs, in("queue")));
    for (const auto& damage : events_.damage) {
      add({.finding = {.file = "queue/" + damage.file,
                       .what = "events",
                       .needed_by = "whoever waits for events",
                       .problem = damage.problem,
                       .lost =
                           "nothing that is true: events are hints to look again, and the records say what there is"},
           .act = Act::set_aside});
    }
    return {};
  }

  // ---- records

  Result<void> records() {
    look_.checked.emplace_back("records");
    TRY(const auto damage, patient([&] { return meta::check_sqlite(env_.fs, dir_, look_.alone); }));
    for (const auto& one : damage) {
      if (one.file == "meta.db-wal") {
        log_damaged_ = true;
        add({.finding = {.file = one.file,
                         .what = "records",
                         .needed_by = "what was recorded last",
                         .problem = one.problem,
                         .lost = std::format("at most the {} commits from there on; all before them is kept",
                                             one.commits_lost)},
             .act = Act::read_log});
        continue;
      }
      readable_ = false;
      if (can_copy()) {
        add({.finding = {.file = one.file,
                         .what = "records",
                         .needed_by = "everything",
                         .problem = one.problem,
                         .lost = "nothing: every table can be read; indexes are made again"},
             .act = Act::copy_records});
      } else {
        add({.finding = {.file = one.file,
                         .what = "records",
                         .needed_by = "everything",
                         .problem = one.problem,
                         .lost = without_records(),
                         .commands = from_backup()}});
      }
    }
    return {};
  }

  std::string without_records() const {
    if (source_) return "what came after the backup of " + source_->manifest.made.substr(0, 19);
    return "all records: no backup is known (millrace doctor --from FOLDER names one). The data file is read and "
           "learned from anew; labels and the history are gone. Kept beside, for whoever can read it";
  }
  std::vector<std::string> from_backup() const {
    auto aside = dir_ + ".damaged";
    for (int n = 2; exists(env_.fs, aside); ++n)
      aside = std::format("{}.damaged-{}", dir_, n);  // mv would move into it
    std::vector<std::string> commands = {std::format("mv {} {}", shell_word(dir_), shell_word(aside))};
    commands.push_back(
        source_ ? std::format("millrace restore {} --data-dir {}", shell_word(source_->folder), shell_word(dir_))
                : up_command());
    return commands;
  }

  bool can_copy() {
    const auto info = env_.fs.info(in("meta.db"));
    if (!info || info->size == 0) return false;  // SQLite would make one
    return in_scratch([&](const std::string& folder) {
             return meta::salvage_sqlite(env_.fs, dir_, join_path(folder, "meta.db"));
           })
        .has_value();
  }

  // A folder that is there as long as `use` runs.
  template <class F>
  Result<void> in_scratch(F&& use) {
    const auto folder = in("scratch-doctor/" + IdMaker(env_.clock, env_.rng).make().text());
    auto attempt = [&](const std::string& there) {
      auto done = env_.fs.make_dirs(there);
      if (done) done = use(there);
      (void)env_.fs.remove_all(there);
      return done;
    };
    auto done = attempt(folder);
    (void)env_.fs.remove(in("scratch-doctor"));  // unless another doctor is at work in it
    // A full disk is when people ask doctor; another disk may have room for a copy of the records.
    if (!done && is_disk_full(done.error())) done = attempt(temp_folder(env_));
    return done;
  }

  // The records as they are at one moment, as a store of its own that may be migrated.
  template <class F>
  Result<void> with_copy(F&& use) {
    return in_scratch([&](const std::string& folder) -> Result<void> {
      TRY_VOID(patient([&] { return meta::copy_sqlite(env_.fs, dir_, join_path(folder, "meta.db")); }));
      TRY_VOID(write_file(env_.fs, join_path(folder, "format"), json::render(FormatFile{meta::folder_format})));
      InlineExecutor inline_executor;
      auto migrations = loop::all_migrations();
      TRY(auto store, meta::open_sqlite(env_, {.folder = folder, .power_safe = false}, inline_executor, migrations));
      return use(*store);
    });
  }

  Result<void> snapshot() {
    look_.checked.emplace_back("references: every dataset part and every artifact is there");
    look_.checked.emplace_back("numbers, aliases, leases");
    return with_copy([&](meta::Store& store) {
      return store.read([&](meta::Reader& reader) -> Result<void> {
        TRY(references_, loop::blob_references(reader, env_.clock.now()));
        TRY(noted_, loop::noted_segments(reader));
        TRY(rolled_, loop::rolled_through(reader));
        TRY(const auto losses, loop::losses(reader));
        for (const auto& loss : losses) {
          lost_.insert(loss.digest);
          look_.losses.push_back(std::format("{} ({}), given up {}", loss.what, loss.digest, loss.at.substr(0, 19)));
        }
        TRY(const auto wrong, loop::contradictions(reader, env_.clock.now()));
        for (const auto& problem : wrong) {
          add({.finding = {.file = "meta.db",
                           .what = "records",
                           .needed_by = "what reads them",
                           .problem = problem,
                           .lost = without_records(),
                           .commands = from_backup()}});
        }
        TRY(const auto newest, meta::newest_event(reader));
        if (log_damaged_ || static_cast<std::uint64_t>(newest) >= events_.dedup_id) return {};
        add({.finding = {.file = "meta.db-wal",
                         .what = "records",
                         .needed_by = "what was recorded last",
                         .problem = std::format("the records end at event {}, and events up to {} were announced: "
                                                "what was recorded between is gone, as when meta.db-wal is lost",
                                                newest, events_.dedup_id),
                         .lost = std::format("what those {} events announced{}",
                                             events_.dedup_id - static_cast<std::uint64_t>(newest),
                                             source_ ? "" : "; the server does again what its rules ask for")},
             .act = Act::continue_events});
        return {};
      });
    });
  }

  // ---- blobs

  Planned planned_for(const loop::BlobReference& blob, const std::string& problem) {
    using loop::BlobUse;
    const auto hex = blob.digest.hex();
    Planned out;
    out.digest = hex;
    auto& finding = out.finding;
    finding.file = std::format("blobs/objects/{}/{}", hex.substr(0, 2), hex);
    finding.problem = problem;
    switch (blob.use) {
      case BlobUse::model:
      case BlobUse::baseline:
        finding.what = blob.of;
        finding.needed_by = blob.of + (blob.state.empty() ? "" : ", " + blob.state) + ": it can't be loaded";
        break;
      case BlobUse::part:
      case BlobUse::rolled:
        finding.what = "part of " + blob.of;
        finding.needed_by =
            std::format("dataset {}, from version {} on", blob.name, blob.of.substr(blob.of.find('@') + 1));
        break;
      case BlobUse::rows:
        finding.what = "rows of " + blob.of;
        finding.needed_by = blob.of + ": models rebuild, runs resume and runs repeat read them";
        break;
      case BlobUse::code:
        finding.what = "code of " + blob.of;
        finding.needed_by = blob.of + ": runs show and runs repeat read it";
        break;
    }
    if (in_source(blob.digest)) {
      out.act = Act::fetch_blob;
      finding.lost = "nothing: the backup in " + source_->folder + " has it";
    } else if (!blob.again.empty()) {
      finding.lost = "nothing: it is trained again to the same bytes";
      finding.commands = {up_command(), client("models rebuild " + blob.again + " --verify")};
    } else if (blob.use == BlobUse::model && !blob.source.empty()) {
      finding.lost = "nothing, as long as that file is there; it becomes a version of its own too";
      finding.commands = {up_command(), client("models import " + blob.source)};
    } else if (blob.use == BlobUse::part && !blob.source.empty()) {
      finding.lost = std::format("nothing, as long as {} holds the same rows", blob.source);
      finding.commands = {up_command(), client("ingest " + blob.name)};
    } else {
      out.act = Act::give_up;
      finding.lost = blob.use == BlobUse::rows || blob.use == BlobUse::code
                         ? "only that: versions that are there serve on"
                         : "it, and nothing else; it is recorded as gone";
      finding.commands = {mend_command(" --give-up " + hex)};
    }
    return out;
  }

  // Also one that an erasure made unreadable since, but not one whose key the backup lacks too.
  bool in_source(const Digest& digest) {
    if (!source_) return false;
    const auto there = source_->blobs->stat_stored(digest);
    if (!there || there->key == Id{}) return there.has_value();
    const auto state = source_->keys->state(there->key);
    return state && *state != blob::KeyState::absent;
  }

  // Sealed blobs are looked at as they are stored: no master key is needed. One whose key was destroyed is whole; it
  // was meant to be gone. One whose key is missing is none.
  Result<bool> has_its_key(const blob::StoredBlob& blob) {
    if (blob.key == Id{}) return true;
    TRY(const auto state, keys_.state(blob.key));
    if (state != blob::KeyState::absent) return true;
    problems_[blob.info.digest] =
        std::format("it is sealed with key {}, which `keys` does not hold{}", blob.key.text(),
                    source_ ? ", and the backup does not either" : "; a backup folder has keys: --from FOLDER");
    if (!source_) return false;
    TRY(const auto there, source_->keys->state(blob.key));
    if (there == blob::KeyState::absent) return false;
    keys_lacking_.insert(blob.key);
    return true;  // with its key it comes back; no finding of its own
  }

  Result<void> keys() {
    look_.checked.emplace_back("keys of sealed blobs");
    TRY(const auto seen, keys_.look());
    if (seen.problem.empty() && keys_lacking_.empty()) return {};
    auto problem = seen.there ? seen.problem : "it is missing";
    if (!keys_lacking_.empty()) {
      problem += std::format("{}{} sealed blob{} lack{} the key", problem.empty() ? "" : "; ", keys_lacking_.size(),
                             keys_lacking_.size() == 1 ? "" : "s", keys_lacking_.size() == 1 ? "s" : "");
    }
    add({.finding = {.file = "keys",
                     .what = "keys of sealed blobs",
                     .needed_by = "every sealed blob, which nothing else opens",
                     .problem = problem,
                     .lost = keys_lacking_.empty()
                                 ? "nothing: no blob needs what can't be read"
                                 : std::format("nothing: the backup has the keys. What was erased since {} has to be "
                                               "erased again",
                                               source_->manifest.made.substr(0, 19))},
         .act = Act::mend_keys,
         .keys = keys_lacking_});
    return {};
  }

  Result<void> blobs() {
    look_.checked.emplace_back("blobs: every digest matches");
    std::map<Digest, const loop::BlobReference*> uses;
    for (const auto& reference : references_) uses[reference.digest] = &reference;
    std::set<Digest> whole;
    TRY(const auto list, blobs_->list());
    for (const auto& one : list) {
      ++look_.blobs;
      const auto verified = blobs_->verify_stored(one.digest);
      if (verified) {
        TRY(const auto has_key, has_its_key(*verified));
        if (has_key) whole.insert(one.digest);
        continue;
      }
      if (verified.error().code != Code::data_loss) return fail(verified.error());
      problems_[one.digest] = verified.error().message;
      if (uses.contains(one.digest)) continue;
      const auto hex = one.digest.hex();
      add({.finding = {.file = std::format("blobs/objects/{}/{}", hex.substr(0, 2), hex),
                       .what = "blob " + hex,
                       .needed_by = readable_
                                        ? "no record; perhaps work that is under way, which then fails and says so"
                                        : "not known: the records can't be read",
                       .problem = verified.error().message,
                       .lost = "nothing: it was moved to blobs/quarantine, and goes from there in 30 days",
                       .commands = {"millrace doctor" + data_dir_option(options_)}}});
    }
    for (const auto& reference : references_) {
      if (whole.contains(reference.digest) || lost_.contains(reference.digest.hex())) continue;
      // Written, or taken back from the trash, since the list was made.
      const auto there = blobs_->verify_stored(reference.digest);
      const auto problem = problems_.find(reference.digest);
      if (there && problem == problems_.end()) continue;
      add(planned_for(reference, problem == problems_.end() ? there.error().message : problem->second));
    }
    return {};
  }

  // ---- prediction log

  Result<void> segments(const std::vector<serve::SegmentFile>& before) {
    look_.checked.emplace_back("prediction log");
    TRY(const auto now, serve::list_segments(env_.fs, in("log")));
    std::set<std::uint64_t> there;
    for (const auto* list : {&before, &now}) {
      for (const auto& segment : *list) there.insert(segment.number);
    }
    for (const auto& range : noted_) {
      for (auto number = range.first; number <= range.last; ++number) {
        if (!there.contains(number)) lost_segment(number, "it is missing");
      }
    }
    for (const auto& segment : now) {
      if (segment.number <= rolled_) continue;  // its lines are rows of a dataset, and it goes soon
      auto looked = serve::check_segment(env_.fs, segment.path, segment.number);
      // Rolled meanwhile.
      if (!looked && looked.error().code == Code::not_found) continue;
      if (!looked) return fail(looked.error());
      look_.predictions += static_cast<std::int64_t>(looked->lines);
      checks_.emplace(segment.number, std::move(*looked));
    }
    for (const auto& [number, check] : checks_) judge(number, check);
    return {};
  }

  bool was_made(std::uint64_t number) const {
    return std::ranges::any_of(noted_, [&](const auto& r) { return r.first <= number && number <= r.last; });
  }
  // Or its number is damaged.
  bool is_copy(std::uint64_t number, const serve::SegmentCheck& check) const {
    const auto original = checks_.find(*check.copy_of);
    if (original != checks_.end()) return original->second.made == check.made;
    return *check.copy_of <= rolled_ && !was_made(number);
  }
  static std::string segment_name(std::uint64_t number) { return std::format("log/{:012}.mpl", number); }

  void lost_segment(std::uint64_t number, const std::string& problem) {
    const auto file = segment_name(number);
    const bool kept = source_ && std::ranges::contains(source_->manifest.files, file, &backup::File::path);
    add({.finding = {.file = file,
                     .what = "prediction log",
                     .needed_by = "labels for its predictions, live quality, why",
                     .problem = problem,
                     .lost = kept ? "its lines since the backup of " + source_->manifest.made.substr(0, 19)
                                  : "the predictions of this one file; " + std::string(line_loss)},
         .act = kept ? Act::fetch_segment : Act::forget_segment,
         .number = number});
  }

  void judge(std::uint64_t number, const serve::SegmentCheck& check) {
    const auto file = segment_name(number);
    if (check.unmade) {
      // One whose maker died at once is as empty; but this one had a header when it was noted.
      if (was_made(number)) lost_segment(number, "it is empty, and was not");
      return;
    }
    if (check.whole()) return;
    if (check.copy_of && is_copy(number, check)) {
      look_.predictions -= static_cast<std::int64_t>(check.lines);
      add({.finding = {.file = file,
                       .what = "prediction log",
                       .needed_by = "nothing: its lines would count twice",
                       .problem = std::format("it is a copy of segment {}", *check.copy_of),
                       .lost = "nothing: it is moved to damaged/"},
           .act = Act::set_aside});
      return;
    }
    std::string problem;
    auto say = [&](const std::string& text) { problem += (problem.empty() ? "" : "; ") + text; };
    if (check.copy_of) say(std::format("its header says that it is number {}", *check.copy_of));
    if (!check.header.empty()) say("its header is damaged: " + check.header);
    if (check.cut()) say(std::format("it has {} of {} bytes", check.bytes, check.bytes_meant));
    if (check.damaged > 0)
      say(std::format("{} damaged place{}; {} lines around are whole", check.damaged, check.damaged == 1 ? "" : "s",
                      check.lines));
    if (check.orphans > 0) say(std::format("{} lines whose schema is damaged", check.orphans));
    if (check.stray > 0) say("bytes in room that was never used");
    const auto lost = check.lines_lost_max();
    std::string between;
    if (check.first && lost > 0)
      between =
          std::format(", of {} to {}", format_time(*check.first).substr(0, 19), format_time(*check.last).substr(0, 19));
    add({.finding = {.file = file,
                     .what = "prediction log",
                     .needed_by = "labels for its predictions, live quality, why",
                     .problem = problem,
                     .lost = lost == 0 ? "nothing: every line in it can be read once that is mended"
                                       : std::format("at most {} predictions{}; {}", lost, between, line_loss)},
         .act = Act::mend_segment,
         .number = number});
  }

  const cli::DoctorOptions& options_;
  const Source* source_;
  Env& env_;
  const std::string dir_;
  Look look_;
  bool readable_ = true;
  bool log_damaged_ = false;
  queue::Check events_;
  blob::Keys keys_;
  std::set<Id> keys_lacking_;  // of blobs here, and known to the backup
  std::unique_ptr<blob::Store> blobs_;
  std::vector<loop::BlobReference> references_;
  std::vector<serve::PredictionLog::Made> noted_;
  std::uint64_t rolled_ = 0;
  std::map<std::uint64_t, serve::SegmentCheck> checks_;
  std::set<std::string> lost_;
  std::map<Digest, std::string> problems_;
};

}  // namespace

Result<Look> look_at_folder(const cli::DoctorOptions& options, const Source* source, Env& env) {
  return Looking(options, source, env).run();
}

}  // namespace millrace::app
