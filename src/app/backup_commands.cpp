// `backup` and `restore`: copies of a data folder, whether a server has it or not.
#include <cstdlib>
#include <format>
#include <memory>

#include "app/local_commands.hpp"
#include "backup/backup.hpp"
#include "base/executor.hpp"
#include "base/fs.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "blob/local.hpp"
#include "cli/print.hpp"
#include "flow/jobs.hpp"
#include "loop/records.hpp"
#include "loop/service.hpp"
#include "meta/sqlite.hpp"
#include "queue/check.hpp"

namespace millrace::app {

namespace {

Result<void> is_folder_name(const std::string& folder) {
  for (const char* ending : {".tar", ".tar.gz", ".tgz", ".zip"}) {
    if (folder.ends_with(ending)) {
      return fail(Code::unimplemented, "cli.not_available",
                  std::format("not available yet: a backup in one file ({}); name a folder, and pack that", folder));
    }
  }
  return {};
}

backup::Progress told(const cli::Tell& tell) {
  return [&tell, said = std::string()](const backup::Told& now) mutable {
    constexpr std::int64_t step = 10;  // percent
    auto line = now.what;
    if (now.all > 0) line += std::format(" {} %", now.done * 100 / now.all / step * step);
    if (tell && line != said) tell(line);
    said = line;
    return !interrupted();
  };
}

std::string text_of(const backup::Manifest& manifest) {
  return std::format("{}   {} blobs, {}   from {}, {}\n", manifest.id, with_thousands(manifest.blob_count),
                     format_size(manifest.blob_bytes), manifest.from, manifest.program);
}

struct Note {
  std::string folder;
  std::string made;
};

// Where doctor finds it. A folder that can't be written is copied all the same.
void note_backup(const cli::BackupOptions& options, Env& env) {
  std::unique_ptr<char, void (*)(void*)> real(::realpath(options.folder.c_str(), nullptr), std::free);
  const Note note{real ? real.get() : options.folder, format_time(env.clock.now())};
  (void)write_file(env.fs, join_path(options.data_dir, "last_backup"), json::render(note) + "\n");
}

// What was true of the old folder's processes is not of this one: nobody here has a lease, and whoever comes with an
// old one finds a higher token. Returns the project file's text.
Result<std::string> settle(const std::string& data_dir, Env& env) {
  InlineExecutor inline_executor;
  auto migrations = loop::all_migrations();
  TRY(auto store, meta::open_sqlite(env, {.folder = data_dir}, inline_executor, migrations));
  TRY_VOID(store->verify());
  flow::Jobs jobs(env, *store);
  TRY(const auto running, jobs.list({.state = flow::JobState::running, .max = 100'000}));
  for (const auto& job : running) {
    TRY(const auto ended, jobs.worker_gone(job.worker.value_or("")));
    (void)ended;
  }
  // Events were copied after the records: numbers go on above them.
  TRY(const auto events, queue::check_local(env.fs, join_path(data_dir, "queue")));
  TRY_VOID(store->outbox_continue_above(static_cast<std::int64_t>(events.dedup_id)));
  TRY(const auto project, store->read([](meta::Reader& reader) { return loop::newest_project(reader); }));
  return project ? project->text : std::string();
}

}  // namespace

Result<cli::Output> make_backup(const cli::BackupOptions& options, const std::string& version, Env& env) {
  TRY_VOID(is_folder_name(options.folder));
  if (options.list) {
    TRY(const auto all, backup::list(options.folder, env));
    if (options.json) return cli::Output{json::render(all) + "\n"};
    std::string text;
    for (const auto& one : all) text += text_of(one);
    return cli::Output{text.empty() ? "no backups yet\n" : text};
  }
  catch_signals();
  const auto began = env.clock.steady();
  const backup::BackupConfig config{options.data_dir, options.folder, "millrace " + version, options.keep};
  TRY(const auto report, backup::make(config, env, told(options.tell)));
  note_backup(options, env);
  if (options.json) return cli::Output{json::render(report) + "\n"};
  auto text = text_of(report.manifest);
  text +=
      std::format("{} new, {:.1f} s; to use it: millrace restore {} --data-dir NEW\n", format_size(report.new_bytes),
                  std::chrono::duration<double>(env.clock.steady() - began).count(), shell_word(options.folder));
  for (const auto& id : report.removed) text += "removed " + id + " (--keep)\n";
  return cli::Output{text};
}

Result<cli::Output> restore(const cli::RestoreOptions& options, Env& env) {
  TRY_VOID(is_folder_name(options.folder));
  catch_signals();
  std::string project;
  auto settled = [&](const std::string& data_dir) -> Result<void> {
    TRY(project, settle(data_dir, env));
    return {};
  };
  TRY(const auto manifest,
      backup::restore({options.folder, options.id, options.data_dir, options.keys}, env, settled, told(options.tell)));
  if (options.json) return cli::Output{json::render(manifest) + "\n"};
  auto text = "restored " + text_of(manifest) + "into     " + options.data_dir + "\n";
  if (!project.empty() && !exists(env.fs, options.project_file)) {
    TRY_VOID(write_file(env.fs, options.project_file, project));
    text += "wrote    " + options.project_file + ", as it was applied last\n";
  }
  return cli::Output{text + "next     millrace doctor --data-dir " + shell_word(options.data_dir) + "; millrace up\n"};
}

}  // namespace millrace::app
