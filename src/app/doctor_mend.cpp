// doctor --mend: what can be done in the folder itself. Nothing is removed: what is replaced goes to damaged/MOMENT/,
// under the name that it had.
#include <algorithm>
#include <format>

#include "app/doctor.hpp"
#include "app/once_free.hpp"
#include "base/executor.hpp"
#include "base/fs.hpp"
#include "base/json.hpp"
#include "blob/local.hpp"
#include "loop/care.hpp"
#include "loop/service.hpp"
#include "meta/check.hpp"
#include "meta/folder.hpp"
#include "meta/sqlite.hpp"
#include "queue/check.hpp"
#include "serve/log_check.hpp"

namespace millrace::app {

namespace {

struct FormatFile {
  int format = 0;
  std::string program;
  std::string made;
};

class Mending {
 public:
  Mending(const cli::DoctorOptions& options, const Source* source, Env& env)
      : options_(options), source_(source), env_(env), dir_(options.data_dir) {
    aside_ = std::format("damaged/{:%Y%m%dT%H%M%SZ}", std::chrono::floor<std::chrono::seconds>(env.clock.now()));
    const auto base = aside_;
    for (int n = 2; exists(env_.fs, in(aside_)); ++n) aside_ = std::format("{}-{}", base, n);
  }

  Result<std::vector<std::string>> run(const Look& look) {
    // The folder first, then the records, then what needs them.
    for (const auto act : {Act::write_format, Act::copy_records, Act::read_log, Act::mend_keys}) {
      for (const auto& planned : look.findings) {
        if (planned.act == act) TRY_VOID(mend(planned));
      }
    }
    for (const auto& planned : look.findings) {
      const bool asked = planned.act == Act::give_up && std::ranges::contains(options_.give_up, planned.digest);
      const bool later = planned.act == Act::set_aside || planned.act == Act::mend_segment ||
                         planned.act == Act::fetch_segment || planned.act == Act::fetch_blob ||
                         planned.act == Act::continue_events || planned.act == Act::forget_segment;
      if (asked || later) TRY_VOID(mend(planned));
    }
    return std::move(done_);
  }

 private:
  std::string in(std::string_view path) const { return join_path(dir_, path); }

  void say(const Planned& planned, const std::string& what) {
    done_.push_back(std::format("{}: {}; lost: {}", planned.finding.file, what, planned.finding.lost));
  }

  Result<void> mend(const Planned& planned) {
    const auto& file = planned.finding.file;
    switch (planned.act) {
      case Act::none:
        return {};
      case Act::set_aside:
        TRY_VOID(set_aside(file));
        return say(planned, "moved to " + aside_), Result<void>();
      case Act::write_format:
        TRY_VOID(set_aside(file));
        TRY_VOID(write_file(
            env_.fs, in("format"),
            json::render(FormatFile{meta::folder_format, "millrace doctor", format_time(env_.clock.now())}) + "\n"));
        return say(planned, "made again"), Result<void>();
      case Act::copy_records:
        TRY_VOID(copy_records());
        return say(planned, "written anew; as it was it is in " + aside_), Result<void>();
      case Act::read_log:
        TRY_VOID(copy_aside("meta.db"));
        TRY_VOID(copy_aside("meta.db-wal"));
        TRY_VOID(continue_events());  // SQLite takes what is whole
        return say(planned, "what is whole of it was taken; as it was it is in " + aside_), Result<void>();
      case Act::continue_events:
        TRY_VOID(continue_events());
        return say(planned, "events go on above those that are known"), Result<void>();
      case Act::mend_segment: {
        TRY(const auto bytes, serve::mended_segment(env_.fs, in(file), planned.number));
        TRY_VOID(set_aside(file));
        TRY_VOID(write_file(env_.fs, in(file), bytes));
        return say(planned, "what is whole in it was written anew; as it was it is in " + aside_), Result<void>();
      }
      case Act::fetch_segment:
        TRY_VOID(set_aside(file));
        TRY_VOID(fetch_segment(file));
        return say(planned, "taken from the backup " + source_->manifest.id), Result<void>();
      case Act::forget_segment:
        TRY_VOID(set_aside(file));
        TRY_VOID(with_store([&](meta::Store& store) {
          return store.write([&](meta::Tx& tx) { return loop::forget_segment(tx, planned.number, env_.clock.now()); });
        }));
        return say(planned, "its loss is recorded"), Result<void>();
      case Act::fetch_blob:
        TRY_VOID(fetch_blob(planned.digest));
        return say(planned, "taken from the backup in " + source_->folder), Result<void>();
      case Act::mend_keys:
        TRY_VOID(copy_aside("keys"));
        TRY_VOID(mend_keys(planned.keys));
        return say(planned, planned.keys.empty() ? "what is whole of it was written anew"
                                                 : "keys were taken from the backup in " + source_->folder),
               Result<void>();
      case Act::give_up:
        TRY_VOID(give_up(planned.digest));
        return say(planned, "its loss is recorded"), Result<void>();
    }
    return {};
  }

  Result<void> make_aside(const std::string& file) {
    return env_.fs.make_dirs(parent_path(in(join_path(aside_, file))));
  }

  // Success also where it is missing.
  Result<void> set_aside(const std::string& file) {
    if (!exists(env_.fs, in(file))) return {};
    TRY_VOID(make_aside(file));
    TRY_VOID(env_.fs.rename(in(file), in(join_path(aside_, file))));
    TRY_VOID(env_.fs.sync_dir(parent_path(in(join_path(aside_, file)))));
    return env_.fs.sync_dir(parent_path(in(file)));
  }

  Result<void> copy_aside(const std::string& file) {
    if (!exists(env_.fs, in(file))) return {};
    TRY_VOID(make_aside(file));
    TRY(const auto bytes, read_file(env_.fs, in(file)));
    return write_file(env_.fs, in(join_path(aside_, file)), bytes);
  }

  Result<void> copy_records() {
    const auto made = in("meta.db.tmp");
    TRY_VOID(env_.fs.remove_all(made));
    TRY_VOID(meta::salvage_sqlite(env_.fs, dir_, made));
    for (const char* file : {"meta.db-wal", "meta.db-shm", "meta.db"}) TRY_VOID(set_aside(file));
    TRY_VOID(env_.fs.rename(made, in("meta.db")));
    return env_.fs.sync_dir(dir_);
  }

  template <class F>
  Result<void> with_store(F&& use) {
    InlineExecutor inline_executor;
    auto migrations = loop::all_migrations();
    TRY(auto store,
        once_free(dir_, env_, [&] { return meta::open_sqlite(env_, {.folder = dir_}, inline_executor, migrations); }));
    return use(*store);
  }

  Result<void> continue_events() {
    TRY(const auto events, queue::check_local(env_.fs, in("queue")));
    return with_store(
        [&](meta::Store& store) { return store.outbox_continue_above(static_cast<std::int64_t>(events.dedup_id)); });
  }

  Result<void> fetch_segment(const std::string& file) {
    const auto kept = std::ranges::find(source_->manifest.files, file, &backup::File::path);
    if (kept == source_->manifest.files.end())
      return fail(Code::not_found, "backup.no_file", "the backup has no " + file);
    TRY(const auto digest, Digest::parse(kept->digest));
    TRY(auto bytes, source_->blobs->read(digest, static_cast<std::uint64_t>(kept->kept) + backup::file_mark.size()));
    bytes.resize(static_cast<std::size_t>(kept->kept));
    bytes.resize(static_cast<std::size_t>(kept->bytes), '\0');  // only zeros follow
    TRY_VOID(env_.fs.make_dirs(in("log")));
    return write_file(env_.fs, in(file), bytes);
  }

  // Of the backup's keys only those that are needed: another one may be of what was erased since.
  Result<void> mend_keys(const std::set<Id>& needed) {
    blob::Keys keys(env_, {in("keys"), std::nullopt});
    if (source_) TRY_VOID(keys.take_from(join_path(source_->folder, blob::keys_name), &needed));
    return keys.write_anew();
  }

  // As it is stored there, and with its key where that is not here.
  Result<void> fetch_blob(const std::string& hex) {
    TRY(const auto digest, Digest::parse(hex));
    TRY(const auto blobs, blob::open_local(env_, {in("blobs")}));
    TRY(const auto stored, source_->blobs->stat_stored(digest));
    if (stored.key != Id{}) {
      blob::Keys keys(env_, {in("keys"), std::nullopt});
      const std::set<Id> its = {stored.key};
      TRY_VOID(keys.take_from(join_path(source_->folder, blob::keys_name), &its));
    }
    TRY(const auto from, source_->blobs->open_stored(digest));
    return blobs->put_stored(digest, *from, [](std::uint64_t) { return Result<void>(); });
  }

  Result<void> give_up(const std::string& hex) {
    return with_store([&](meta::Store& store) {
      return store.write([&](meta::Tx& tx) -> Result<void> {
        TRY(const auto references, loop::blob_references(tx, env_.clock.now()));
        for (const auto& reference : references) {
          if (reference.digest.hex() == hex) return loop::give_up(tx, reference, env_.clock.now());
        }
        return {};
      });
    });
  }

  const cli::DoctorOptions& options_;
  const Source* source_;
  Env& env_;
  const std::string dir_;
  std::string aside_;
  std::vector<std::string> done_;
};

}  // namespace

Result<std::vector<std::string>> mend_folder(const cli::DoctorOptions& options, const Look& look, const Source* source,
                                             Env& env) {
  return Mending(options, source, env).run(look);
}

}  // namespace millrace::app
